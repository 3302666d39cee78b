"""``espnet_ros benchmark power``: speed, power and accuracy in every power mode of the board."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

from tqdm import tqdm

from espnet_ros.benchmark.power_charts import accuracy_energy_chart, speed_power_chart
from espnet_ros.benchmark.power_networks import prepare_networks
from espnet_ros.benchmark.power_report import as_document, format_csv, format_page, format_table
from espnet_ros.benchmark.power_sweep import PowerSweep, SweepSettings, sweep_board
from espnet_ros.benchmark.street import FIRST_EVALUATION_SEED
from espnet_ros.board.host import host_root
from espnet_ros.board.jetson import Board, find_board
from espnet_ros.board.nvpmodel import Mode
from espnet_ros.board.profile_file import known_profiles
from espnet_ros.board.profiles import resolve_mode
from espnet_ros.commands.benchmark_options import (
    image_size,
    not_negative,
    positive,
    whole_number,
    write_json,
    write_text,
)
from espnet_ros.config import NodeConfig, default_of, rule_of
from espnet_ros.errors import PowerError
from espnet_ros.reporting.machine import describe_environment
from espnet_ros.telemetry.sampler import TelemetrySampler, TelemetrySnapshot, default_sources
from espnet_ros.types import ImageSize

_ALPHAS = rule_of("alpha").choices
_SPEED_CHART, _ACCURACY_CHART = "speed_power.svg", "accuracy_energy.svg"
_LONGEST_PERIOD = 0.5  # seconds between two readings
_READINGS_PER_POINT = 8
_SUMMARY = (
    "Sweep power modes, input sizes, alphas and precisions. Writes frames per second, watts, joules per frame and mean "
    "IoU of each as a table, CSV (which the governor reads), JSON and charts. Restores the board's initial mode."
)


def add_subject(subjects: Any) -> None:
    """Register the subject."""
    parser = subjects.add_parser(
        "power",
        help="speed, power and accuracy in every power mode of the board",
        description=_SUMMARY,
        epilog="example:\n  espnet_ros benchmark power --modes MAXQ MAXN --alpha 3 8 --rate 10",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_sweep_options(parser)
    parser.add_argument(
        "--seconds", type=positive, default=20.0, metavar="S", help="measured time per point (default: %(default)g)"
    )
    parser.add_argument(
        "--settle",
        type=not_negative,
        default=3.0,
        metavar="S",
        help="warm-up time before each measurement (default: %(default)g)",
    )
    parser.add_argument(
        "--rest",
        type=not_negative,
        default=10.0,
        metavar="S",
        help="time for measuring idle power, once per mode; 0 skips it (default: %(default)g)",
    )
    parser.add_argument(
        "--rate",
        type=positive,
        default=0.0,
        metavar="HZ",
        help="frames per second, as from a camera (default: as fast as possible)",
    )
    parser.add_argument(
        "--frames",
        type=whole_number,
        default=8,
        metavar="N",
        help="synthetic street frames to measure the accuracy on; 0 skips it (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("power_benchmark"), metavar="DIR", help="output folder (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def _add_sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--modes",
        nargs="+",
        metavar="MODE",
        help="names or ids from the board's table, or power profiles, of which only the mode is used (default: all "
        "modes that need no reboot)",
    )
    parser.add_argument(
        "--precisions", nargs="+", default=["auto"], metavar="NAME", help="engine precisions (default: auto)"
    )
    _add_common(
        parser,
        "--alpha",
        type=int,
        nargs="+",
        choices=_ALPHAS,
        metavar="ALPHA",
        help=f"alphas (default: {' '.join(map(str, _ALPHAS))})",
    )
    _add_common(
        parser,
        "--sizes",
        type=image_size,
        nargs="+",
        metavar="HxW",
        help="input sizes of the network (default: the training size of the weights)",
    )
    _add_common(parser, "--weights", help=f"family, checkpoint or file (default: {default_of('weights')})")
    _add_common(parser, "--backend", help="engine backend (default: auto)")
    _add_common(parser, "--threads", type=int, help="CPU threads of the engine; 0 uses all cores (default: 0)")


def _add_common(parser: argparse.ArgumentParser, name: str, **options: Any) -> None:
    """Add an option that the parent parser has, too; a value given there still applies."""
    parser.add_argument(name, default=argparse.SUPPRESS, **options)


def run(args: argparse.Namespace) -> int:
    """Sweep, print the table and write the files.

    Raises:
        EspnetError: the board, the weights or the engines are unavailable, or the initial mode could not be restored.
    """
    args.weights = args.weights or default_of("weights")
    configs = _list_configs(args)
    board = find_board(host_root())
    period = min(_LONGEST_PERIOD, args.seconds / _READINGS_PER_POINT)
    sampler = TelemetrySampler(default_sources(period, host_root()), period)
    try:
        modes = _choose_modes(args.modes, board)
        conditions = _describe(args, board, _wait_for_source(sampler))
        for line in _heading(conditions):
            print(line)
        sweep = _sweep(args, configs, board, modes, sampler, conditions, period)
    finally:
        sampler.close()
        board.close()
    if not sweep.points:
        raise PowerError(f"nothing was measured: {'; '.join(f'{key}: {why}' for key, why in sweep.left_out.items())}")
    print(f"\n{format_table(sweep)}\n")
    charts = [args.out / _SPEED_CHART, args.out / _ACCURACY_CHART]
    missing = _explain_missing([path.name for path in charts if path.exists()])
    print(missing or f"charts: {', '.join(map(str, charts))}")
    print(f"results: {args.out / 'power.md'}, power.csv, power.json")
    return 0


def _sweep(
    args: argparse.Namespace,
    configs: Sequence[NodeConfig],
    board: Board,
    modes: Sequence[Mode],
    sampler: TelemetrySampler,
    conditions: Dict[str, Any],
    period: float,
) -> PowerSweep:
    sweep = PowerSweep()
    prepared = prepare_networks(configs, args.frames, lambda each: tqdm(each, unit="network", desc="building"))
    sweep.left_out.update(prepared.left_out)
    rest = args.rest if conditions["power_source"] != "none" else 0.0
    settings = SweepSettings(args.seconds, args.settle, rest, args.rate, period)
    with tqdm(total=max(1, len(modes)) * len(prepared.networks), unit="point", desc="measuring") as bar:

        def keep_point() -> None:
            """Keep the results so far, in case the sweep is killed. Drawing would warm the board up."""
            _remove_charts(args.out)
            _write_tables(args.out, sweep, conditions)
            _write_page(args.out, sweep, conditions, (), "The charts are drawn at the end of the sweep.")
            bar.update()

        try:
            sweep_board(board, modes, prepared.networks, sampler, settings, sweep, bar.set_postfix_str, keep_point)
        finally:
            if sweep.points:
                _write_tables(args.out, sweep, conditions)  # includes what was left out after the last point
                drawn = _draw_charts(args.out, sweep)
                _write_page(args.out, sweep, conditions, drawn, _explain_missing(drawn))
    return sweep


def _list_configs(args: argparse.Namespace) -> List[NodeConfig]:
    """Return one configuration per size, alpha and precision."""
    return [
        NodeConfig(
            weights=args.weights,
            alpha=alpha,
            backend=args.backend,
            precision=precision,
            threads=args.threads,
            input_height=size.height,
            input_width=size.width,
        )
        for size in args.sizes or [ImageSize(0, 0)]
        for alpha in args.alpha or _ALPHAS
        for precision in args.precisions
    ]


def _choose_modes(names: Sequence[str], board: Board) -> List[Mode]:
    """Return the requested modes, or all modes of the board; none on a machine without modes.

    Raises:
        PowerError: a name is not a mode of the board, or modes were requested on a machine without modes.
    """
    if not board.applies:
        if names:
            raise PowerError(f"--modes {' '.join(names)}: {board.describe()}")
        return []
    table = board.list_modes()
    if not names:
        return list(table.modes)
    profiles = known_profiles()
    modes: List[Mode] = []
    for name in names:
        mode = resolve_mode(name, table, profiles)
        if mode is None:
            raise PowerError(f"--modes: power profile '{name}' must name a mode of the board, names none")
        if mode not in modes:
            modes.append(mode)
    return modes


def _wait_for_source(sampler: TelemetrySampler) -> TelemetrySnapshot:
    """Wait until the first source has answered, or until it is clear that there is none."""
    while True:
        telemetry = sampler.latest()
        if telemetry.source == "none" or telemetry.reading is not None or telemetry.stalled:
            return telemetry
        time.sleep(0.05)


def _describe(args: argparse.Namespace, board: Board, telemetry: TelemetrySnapshot) -> Dict[str, Any]:
    """Return the conditions of the measurements, for JSON."""
    covers = telemetry.reading.covers if telemetry.reading is not None else ""
    return {
        **describe_environment(),
        "board": board.describe(),
        "found_mode": board.current_mode().name if board.applies else "",
        "power_source": telemetry.source,
        "power_covers": covers,
        "power_refusals": list(telemetry.refusals),
        "weights": args.weights,
        "seconds": args.seconds,
        "settle": args.settle,
        "rest": args.rest,
        "rate": args.rate or None,
        "judged_frames": args.frames,
        "first_judged_seed": FIRST_EVALUATION_SEED,
    }


def _heading(conditions: Dict[str, Any]) -> List[str]:
    """Return the conditions as lines of text."""
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    found = f"; initially in mode {conditions['found_mode']}" if conditions["found_mode"] else ""
    power = f"power: {conditions['power_source']}, {conditions['power_covers'] or 'no readings'}"
    if conditions["power_source"] in ("none", ""):
        power = f"power: unknown, no source ({'; '.join(conditions['power_refusals'])})"
    rate = f"at {conditions['rate']:g} frames/s" if conditions["rate"] else "as fast as possible"
    return [
        f"{conditions['machine']}; {versions}",
        f"{conditions['board']}{found}",
        power,
        f"{conditions['weights']} weights, {conditions['seconds']:g} s per point, {rate}; mean IoU on "
        f"{conditions['judged_frames']} synthetic frames",
    ]


def _write_tables(folder: Path, sweep: PowerSweep, conditions: Dict[str, Any]) -> None:
    write_text(folder / "power.csv", format_csv(sweep.points))
    write_json(folder / "power.json", as_document(sweep, conditions))


def _write_page(
    folder: Path, sweep: PowerSweep, conditions: Dict[str, Any], charts: Sequence[str], missing: str
) -> None:
    write_text(folder / "power.md", format_page(sweep, _heading(conditions), charts, missing))


def _remove_charts(folder: Path) -> None:
    """Remove the charts of an earlier sweep, which would not fit the tables."""
    for name in (_SPEED_CHART, _ACCURACY_CHART):
        if (folder / name).exists():
            (folder / name).unlink()


def _draw_charts(folder: Path, sweep: PowerSweep) -> List[str]:
    """Write the charts; return the names of those that could be drawn."""
    charts = {_SPEED_CHART: speed_power_chart(sweep.points), _ACCURACY_CHART: accuracy_energy_chart(sweep.points)}
    drawn = [name for name, chart in charts.items() if chart]
    for name in drawn:
        write_text(folder / name, charts[name])
    return drawn


def _explain_missing(drawn: Sequence[str]) -> str:
    """Return why charts are missing; "" if none is."""
    missing = [name for name in (_SPEED_CHART, _ACCURACY_CHART) if name not in drawn]
    if not missing:
        return ""
    unknown = "power" if _SPEED_CHART in missing else "accuracy"
    return f"Not drawn, because the {unknown} is unknown: {', '.join(missing)}"
