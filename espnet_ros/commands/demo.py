"""`espnet_ros demo`: play a drive into the node and report what it publishes."""

from __future__ import annotations

import argparse
import itertools
import random
from pathlib import Path
from typing import Any, Dict, Iterable, NamedTuple, Optional, Sequence, Tuple

from tqdm import tqdm

from espnet_ros.classes import ClassTable
from espnet_ros.commands.options import (
    add_command,
    add_engine_options,
    add_frame_options,
    config_from,
    frames_from,
    print_losses,
)
from espnet_ros.commands.segment_files import make_folder
from espnet_ros.config import NodeConfig, default_of
from espnet_ros.demo.alpha_table import format_alphas, is_by_alpha
from espnet_ros.demo.alphas import ALL_ALPHAS, SECONDS_EACH, build_ahead, check_alphas, default_alphas, parse_alphas
from espnet_ros.demo.costmaps import IOU_DEFINITION, CostmapRecorder, CostmapReport
from espnet_ros.demo.drive import DriveRecorder, DriveReport
from espnet_ros.demo.page import headline_numbers, write_page
from espnet_ros.demo.picture import write_picture
from espnet_ros.demo.run_description import describe_run
from espnet_ros.demo.street import StreetDrive
from espnet_ros.demo.switcher import AlphaSwitcher
from espnet_ros.errors import DatasetError, NodeError, ParameterError
from espnet_ros.evaluation.frames import FrameSource
from espnet_ros.evaluation.images import DEFAULT_RATE_HZ
from espnet_ros.loading import resolve_spec
from espnet_ros.reporting.tables import aligned_columns
from espnet_ros.synthetic import SyntheticStreet

_EXAMPLE = "espnet_ros demo --images drive/images --weights cityscapes"
_DEFAULT_OUT = "demo_output"
_STREET_SEED = 8
_STREET_RATE_HZ = 10.0
_STREET_FRAMES = 120
_STREET_SPEED = 5.0  # m/s


class _Extent(NamedTuple):
    """Rate in Hz and number of frames. 0 frames plays all of a source of unknown length."""

    rate: float
    num_frames: int


class _Drive(NamedTuple):
    """The frames to play, the values of alpha in their order, and the recorder of the costmaps."""

    source: FrameSource
    extent: _Extent
    alphas: Sequence[int]
    costmaps: Optional[CostmapRecorder]


class _Outcome(NamedTuple):
    """The results of a drive."""

    report: DriveReport
    costmaps: Optional[CostmapReport]
    description: Dict[str, str]


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "demo",
        "Play a drive into the node over DDS. Report its frame rate and latency, and write a page with the labels.",
        _EXAMPLE,
    )
    add_frame_options(parser, with_video=True)
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"without an input: seed of the synthetic street (default: {_STREET_SEED})",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="HZ",
        help=f"images per second (default: {DEFAULT_RATE_HZ:g}; {_STREET_RATE_HZ:g} in the synthetic street)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=0,
        metavar="N",
        help=f"stop after N images (default: all; {_STREET_FRAMES} in the synthetic street)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path(_DEFAULT_OUT), metavar="DIR", help="folder for the page (default: %(default)s)"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="also write a picture of one frame, its labels and its costmap"
    )
    parser.add_argument(
        "--picture-at",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="with --picture: position of that frame in the drive, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--alphas",
        metavar="A,B,...",
        help="values of alpha (8, 5, 3) to set during the drive, each for an equal share of the images (default: "
        f"{','.join(map(str, ALL_ALPHAS))} in a synthetic street of at least {SECONDS_EACH * len(ALL_ALPHAS):g} s if "
        "the weights are a family that has them all, else --alpha only)",
    )
    add_engine_options(parser)
    # The default depends on the input: see _choose_alphas.
    parser.set_defaults(run=run, alpha=None)


def run(args: argparse.Namespace) -> int:
    """Play the drive, print the numbers and write the page.

    Raises:
        EspnetError: the input, the weights or the node is unavailable, or no image was answered with some alpha.
    """
    _check_numbers(args)
    source = frames_from(args)
    if source is not None and args.seed is not None:
        raise ParameterError("--seed selects a synthetic street and cannot be combined with --images, --video or --bag")
    extent = _extent(args, source)
    alphas, config = _choose_alphas(args, extent, is_street=source is None)
    make_folder(args.out)
    # Download weights here, where a progress bar is visible.
    specs = [resolve_spec(config.changed({"alpha": alpha}), show_progress=True) for alpha in alphas]
    build_ahead(specs[1:], print)
    # A single checkpoint has its own alpha.
    alphas = [spec.checkpoint.alpha for spec in specs]
    table = specs[0].class_table
    drive = _Drive(source, extent, alphas, None) if source is not None else _street_drive(args, extent, alphas, table)
    outcome = _play(drive, config, table, args.out)
    page = write_page(outcome.report, drive.source.name, table, outcome.description, args.out, outcome.costmaps)
    _print_numbers(outcome)
    if outcome.costmaps is None and drive.source.has_labels:
        print(f"  (the true labels are read as ids of class table '{table.name}')")
    print_losses(drive.source)
    print(f"\npage: {page}")
    if args.picture is not None:
        print(f"picture: {write_picture(outcome.report, outcome.costmaps, args.picture, args.picture_at)}")
    _require_answers(outcome.report, alphas)
    return 0


def _check_numbers(args: argparse.Namespace) -> None:
    if args.rate is not None and not 0 < args.rate <= 1000:
        raise ParameterError(f"--rate must be above 0 and at most 1000 Hz, is {args.rate}")
    if args.limit < 0:
        raise ParameterError(f"--limit must be at least 0, is {args.limit}")
    if not 0 <= args.picture_at <= 1:
        raise ParameterError(f"--picture-at must be 0 to 1, is {args.picture_at}")


def _choose_alphas(args: argparse.Namespace, extent: _Extent, is_street: bool) -> Tuple[Sequence[int], NodeConfig]:
    """Return the values of alpha in their order, and the node's parameters with the first of them."""
    asked = None if args.alphas is None else parse_alphas(args.alphas)
    if asked is not None and args.alpha is not None:
        raise ParameterError("--alphas includes the first alpha and cannot be combined with --alpha")
    is_open = asked is None and args.alpha is None
    if args.alpha is None:
        args.alpha = default_of("alpha")
    config = config_from(args).changed({"autostart": True})
    if asked is not None:
        check_alphas(asked, config, extent.num_frames)
    elif is_open and is_street:
        asked = default_alphas(config, extent.num_frames / extent.rate)
    else:
        asked = (config.alpha,)
    return asked, config.changed({"alpha": asked[0]})


def _require_answers(report: DriveReport, alphas: Iterable[int]) -> None:
    answered = {entry.alpha for entry in report.alphas if entry.answered}
    missing = [str(alpha) for alpha in dict.fromkeys(alphas) if alpha not in answered]
    if missing:
        too_few = "too few images were left; use more images (--limit) or a lower --rate"
        reason = next((switch.failure for switch in report.switches if switch.failure), too_few)
        raise NodeError(f"no image was answered with alpha {', '.join(missing)}: {reason}")


def _print_numbers(outcome: _Outcome) -> None:
    numbers = headline_numbers(outcome.report, outcome.costmaps)
    print()
    for line in aligned_columns(numbers, "ll"):
        print(f"  {line}")
    if outcome.costmaps is not None:
        print(f"  (IoU of a costmap: {IOU_DEFINITION})")
    if is_by_alpha(outcome.report):
        print()
        for line in format_alphas(outcome.report):
            print(f"  {line}")


def _extent(args: argparse.Namespace, source: Optional[FrameSource]) -> _Extent:
    if source is None:
        return _Extent(args.rate or _STREET_RATE_HZ, args.limit or _STREET_FRAMES)
    known = len(source)
    count = min(known, args.limit) if known and args.limit else known or args.limit
    return _Extent(args.rate or DEFAULT_RATE_HZ, count)


def _street_drive(args: argparse.Namespace, extent: _Extent, alphas: Sequence[int], table: ClassTable) -> _Drive:
    """Render a drive through the synthetic street."""
    count = extent.num_frames
    street = SyntheticStreet(_STREET_SEED if args.seed is None else args.seed, count, extent.rate, _STREET_SPEED)
    frames = StreetDrive(street, table, lambda drawn: tqdm(drawn, total=count, unit="image", desc="render the street"))
    return _Drive(frames, extent, alphas, CostmapRecorder(frames.track, frames.world, table))


def _play(drive: _Drive, config: NodeConfig, table: ClassTable, folder: Path) -> _Outcome:
    """Start the node and play the frames into it."""
    from espnet_ros.ros.node_process import run_node, use_large_image_profile

    use_large_image_profile()
    # The profile must be set before rclpy is imported.
    from espnet_ros.ros.player import open_player

    source, costmaps = drive.source, drive.costmaps
    if costmaps is not None:
        config = config.changed(costmaps.parameters)
    rate, num_frames = drive.extent
    recorder = DriveRecorder(table, source.has_labels, drive.alphas[0])
    domain_id = random.randint(1, 101)
    print(f"starting the node (ROS_DOMAIN_ID={domain_id}, log: {folder / 'node.log'})")
    with run_node(config, domain_id, folder / "node.log") as process, open_player(domain_id, costmaps) as player:
        first = next(iter(source), None)
        if first is None:
            raise DatasetError(f"{source.name}: must have at least one frame, has none")
        player.wait_until_ready(process, first.image, lambda line: print(f"  {line}"))
        switcher = AlphaSwitcher(drive.alphas, num_frames, recorder, player.request_alpha)
        frames = itertools.islice(source, num_frames or None)
        with tqdm(total=num_frames or None, unit="image", desc="drive") as bar:
            player.play(frames, rate, recorder, process, switcher, lambda: _show(bar, recorder))
        player.wait_for_last_answers(recorder)
        switcher.finish()
        report = recorder.report()
        if not report.answered:
            raise NodeError(f"the node answered none of {report.sent} images: {process.last_line()}")
        sent = f"{report.sent} images at {rate:g} Hz, over DDS from another process"
        description = describe_run(player.status, list(switcher.engines.values()), config.threads, sent)
    names = [sample.name for sample in report.samples]
    return _Outcome(report, None if costmaps is None else costmaps.report(names), description)


def _show(bar: Any, recorder: DriveRecorder) -> None:
    latency = recorder.recent_latency()
    late = "" if latency is None else f", latency {1000 * latency:.0f} ms"
    bar.set_postfix_str(f"answered {recorder.answered}, {recorder.recent_rate():.1f} Hz{late}", refresh=False)
    bar.update()
