"""``espnet_ros demo``: plays a drive into the node, and shows what came out."""

from __future__ import annotations

import argparse
import itertools
import random
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from tqdm import tqdm

from espnet_ros.classes import ClassTable
from espnet_ros.commands.options import add_command, add_engine_options, add_frame_options, config_from, open_frames
from espnet_ros.config import NodeConfig, default_of
from espnet_ros.demo.costmaps import IOU_IS, CostmapRecorder, CostmapReport
from espnet_ros.demo.drive import DriveRecorder, DriveReport
from espnet_ros.demo.machine import describe_machine
from espnet_ros.demo.page import headline_numbers, write_page
from espnet_ros.demo.picture import write_picture
from espnet_ros.demo.street import StreetDrive
from espnet_ros.engines.resolve import resolve_spec
from espnet_ros.errors import DatasetError, NodeError, ParameterError
from espnet_ros.evaluation.frames import FrameSource
from espnet_ros.evaluation.images import DEFAULT_RATE_HZ
from espnet_ros.synthetic import SyntheticStreet

_EXAMPLE = "espnet_ros demo --images drive/images --weights cityscapes"
_DEFAULT_OUT = "demo_output"
_STREET_SEED = 8
_STREET_RATE_HZ = 10.0
_STREET_FRAMES = 120
_STREET_SPEED = 5.0  # m/s
_STREET_WEIGHTS = "camvid"


class _Drive(NamedTuple):
    """What is played: frames at a rate in Hz, how many (0: all of a source that does not know), and their costmaps."""

    source: FrameSource
    rate: float
    num_frames: int
    costmaps: Optional[CostmapRecorder]


class _Outcome(NamedTuple):
    """What came out of it."""

    report: DriveReport
    costmaps: Optional[CostmapReport]
    facts: Dict[str, str]


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "demo",
        "Play a drive into the node over DDS; show its frame rate, latency, and a page with the labels.",
        _EXAMPLE,
    )
    add_frame_options(parser, with_video=True)
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="without an input, the synthetic street of this seed is driven, with --weights camvid if nothing else is "
        f"asked for (default: {_STREET_SEED})",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="HZ",
        help=f"images a second (default: {DEFAULT_RATE_HZ:g}; {_STREET_RATE_HZ:g} in the synthetic street)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=0,
        metavar="N",
        help=f"stop after N images (default: all; {_STREET_FRAMES} in the synthetic street)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path(_DEFAULT_OUT), metavar="DIR", help="folder of the page (default: %(default)s)"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="also write one frame, its labels and its costmap as one picture"
    )
    parser.add_argument(
        "--picture-at",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="with --picture: where in the drive that frame is, 0 to 1 (default: %(default)s)",
    )
    add_engine_options(parser)
    # Which weights are the default depends on the input.
    parser.set_defaults(run=run, weights=None)


def run(args: argparse.Namespace) -> int:
    """Play, print the numbers, write the page.

    Raises:
        EspnetError: the input, the weights or the node cannot be had.
    """
    if args.rate is not None and not 0 < args.rate <= 1000:
        raise ParameterError(f"--rate must be above 0 and at most 1000 Hz, is {args.rate}")
    if args.limit < 0:
        raise ParameterError(f"--limit must be at least 0, is {args.limit}")
    if not 0 <= args.picture_at <= 1:
        raise ParameterError(f"--picture-at must be 0 to 1, is {args.picture_at}")
    source = open_frames(args)
    if source is not None and args.seed is not None:
        raise ParameterError("--seed chooses a synthetic street, so it takes no --images, --video or --bag")
    if args.weights is None:
        args.weights = _STREET_WEIGHTS if source is None else default_of("weights")
    config = config_from(args).changed({"autostart": True})
    folder = _make_folder(args.out)
    # Weights are downloaded here, where a progress bar can be seen.
    table = resolve_spec(config, show_progress=True).class_table
    drive = _street_drive(args, table) if source is None else _given_drive(args, source)
    outcome = _play(drive, config, table, folder)
    page = write_page(outcome.report, drive.source.name, table, outcome.facts, args.out, outcome.costmaps)
    _print_numbers(outcome)
    if outcome.costmaps is None and drive.source.has_labels:
        print(f"  (ids of the true labels are read as those of class table '{table.name}')")
    print(f"\npage: {page}")
    if args.picture is not None:
        print(f"picture: {write_picture(outcome.report, outcome.costmaps, args.picture, args.picture_at)}")
    return 0


def _print_numbers(outcome: _Outcome) -> None:
    numbers = headline_numbers(outcome.report, outcome.costmaps)
    width = max(len(name) for name, _ in numbers)
    print()
    for name, value in numbers:
        print(f"  {name:<{width}}  {value}")
    if outcome.costmaps is not None:
        print(f"  (IoU of a costmap: {IOU_IS})")


def _given_drive(args: argparse.Namespace, source: FrameSource) -> _Drive:
    known = len(source)
    count = min(known, args.limit) if known and args.limit else known or args.limit
    return _Drive(source, args.rate or DEFAULT_RATE_HZ, count, None)


def _street_drive(args: argparse.Namespace, table: ClassTable) -> _Drive:
    """A drive through the synthetic street, drawn here and now."""
    rate, count = args.rate or _STREET_RATE_HZ, args.limit or _STREET_FRAMES
    street = SyntheticStreet(_STREET_SEED if args.seed is None else args.seed, count, rate, _STREET_SPEED)
    frames = StreetDrive(street, table, lambda drawn: tqdm(drawn, total=count, unit="image", desc="draw the street"))
    return _Drive(frames, rate, count, CostmapRecorder(frames.track, frames.world, table))


def _play(drive: _Drive, config: NodeConfig, table: ClassTable, folder: Path) -> _Outcome:
    """Run the node and play the frames into it."""
    from espnet_ros.ros.node_process import run_node, use_large_image_profile

    use_large_image_profile()
    # The profile must be set before rclpy is loaded.
    from espnet_ros.ros.player import open_player

    source, costmaps = drive.source, drive.costmaps
    if costmaps is not None:
        config = config.changed(costmaps.parameters)
    recorder = DriveRecorder(table, source.has_labels)
    domain_id = random.randint(1, 101)
    print(f"starting the node (ROS_DOMAIN_ID={domain_id}, log: {folder / 'node.log'})")
    with run_node(config, domain_id, folder / "node.log") as process, open_player(domain_id, costmaps) as player:
        first = next(iter(source), None)
        if first is None:
            raise DatasetError(f"{source.name}: must hold at least one frame, holds none")
        player.wait_until_ready(process, first.image, lambda line: print(f"  {line}"))
        frames = itertools.islice(source, drive.num_frames or None)
        with tqdm(total=drive.num_frames or None, unit="image", desc="drive") as bar:
            player.play(frames, drive.rate, recorder, process, lambda: _show(bar, recorder))
        player.wait_for_last_answers(recorder)
        report = recorder.report()
        if not report.answered:
            raise NodeError(f"the node answered none of {report.sent} images: {process.last_line()}")
        facts = _facts(player.status, drive.rate, config, report)
    names = [sample.name for sample in report.samples]
    return _Outcome(report, None if costmaps is None else costmaps.report(names), facts)


def _show(bar: Any, recorder: DriveRecorder) -> None:
    latency = recorder.recent_latency()
    late = "" if latency is None else f", latency {1000 * latency:.0f} ms"
    bar.set_postfix_str(f"answered {recorder.answered}, {recorder.recent_rate():.1f} Hz{late}", refresh=False)
    bar.update()


def _facts(status: Any, rate: float, config: NodeConfig, report: DriveReport) -> Dict[str, str]:
    """What ran, by the node's own word."""
    return {
        "weights": status.weights,
        "weights' SHA-256": status.weights_sha256,
        "network": f"{status.network}, alpha {status.alpha}",
        "class table": status.class_table,
        "input size": f"{status.input_height}x{status.input_width} (height x width)",
        "engine": f"{status.backend}, {status.precision}, on {status.device}",
        "why this engine": status.reason,
        "threads": str(config.threads or "all cores"),
        "engine's own time": f"{1000 * status.inference_time:.1f} ms (median)",
        "sent": f"{report.sent} images at {rate:g} Hz, over DDS from another process",
        "node's own count": (
            f"{status.received} received, {status.answered} answered, {status.dropped} dropped, "
            f"{status.refused} refused, {status.failed} failed (probes before the drive included)"
        ),
        "machine": describe_machine(),
    }


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"folder {folder}: cannot be made: {error.strerror}") from error
    return folder
