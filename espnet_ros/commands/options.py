"""Options that several subcommands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Optional, Sequence

from espnet_ros.config import SECTIONS, NodeConfig, default_of, option_names, rule_of
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import FrameSource
from espnet_ros.evaluation.images import VideoFile, open_folder
from espnet_ros.evaluation.losses import losses_of

ENGINE_OPTIONS = option_names("engine")
"""Parameters that every command with an engine offers as options."""


def add_command(subparsers: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Register a subcommand whose help ends with an example.

    Args:
        subparsers: from `argparse.ArgumentParser.add_subparsers`.
        name: of the subcommand.
        summary: one sentence.
        example: one or more command lines.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary[0].lower() + summary[1:].rstrip("."),
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_engine_options(parser: argparse.ArgumentParser, names: Sequence[str] = ENGINE_OPTIONS) -> None:
    """Add an option for each of the named parameters, with its description, choices and default, by section."""
    for section in SECTIONS:
        offered = [name for name in section.names if name in names]
        group = parser.add_argument_group(section.title.lower()) if offered else None
        for name in offered:
            _add_parameter(group, name)


def _add_parameter(group: Any, name: str) -> None:
    rule, default = rule_of(name), default_of(name)
    is_bool = isinstance(default, bool)
    metavar = "true|false" if is_bool else rule.unit.upper() or name.upper()
    text = rule.description if default == "" else f"{rule.description} (default: {default})"
    group.add_argument(
        "--" + name.replace("_", "-"),
        type=_parse_bool if is_bool else type(default),
        default=default,
        choices=rule.choices or None,
        metavar=None if rule.choices else metavar,
        help=text.replace("%", "%%"),
    )


def _parse_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, is '{text}'")
    return text.lower() == "true"


def config_from(args: argparse.Namespace, names: Sequence[str] = ENGINE_OPTIONS) -> NodeConfig:
    """Return the configuration from the options of `add_engine_options`.

    Raises:
        ParameterError: a value breaks its rule.
    """
    return NodeConfig(**{name: getattr(args, name) for name in names})


def add_frame_options(parser: argparse.ArgumentParser, with_video: bool) -> None:
    """Add the options that select a source of frames."""
    group = parser.add_argument_group("input (one of these)")
    source = group.add_mutually_exclusive_group()
    source.add_argument("--images", type=Path, metavar="DIR", help="folder of images, read in the order of their names")
    source.add_argument(
        "--bag", type=Path, metavar="BAG", help="rosbag2 folder or file (mcap or sqlite3), or ROS 1 .bag file"
    )
    if with_video:
        source.add_argument("--video", type=Path, metavar="FILE", help="video file")
    group.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="with --images: folder of label images with the same stems, 8-bit class ids, 255 for unlabelled "
        "(default: the folder 'labels' beside the images, if it exists)",
    )
    group.add_argument(
        "--image-topic",
        default="",
        metavar="TOPIC",
        help="with --bag: topic of the images (default: the only one)",
    )
    group.add_argument(
        "--label-topic",
        default="",
        metavar="TOPIC",
        help="with --bag: topic of the true labels (default: the only topic that ends in label_image)",
    )


def frames_from(args: argparse.Namespace) -> Optional[FrameSource]:
    """Return the source that the options of `add_frame_options` select, or None if they select none.

    Raises:
        DatasetError: the source cannot be read, or --labels was given without --images.
    """
    if args.labels is not None and args.images is None:
        raise DatasetError("--labels needs --images; a bag has its labels in a topic")
    if args.images is not None:
        return open_folder(args.images, args.labels)
    if args.bag is not None:
        from espnet_ros.evaluation.bag import BagFrames

        return BagFrames(args.bag, args.image_topic, args.label_topic)
    if getattr(args, "video", None) is not None:
        return VideoFile(args.video)
    return None


def print_losses(source: FrameSource) -> None:
    """Say what of a source could not be read."""
    losses = losses_of(source)
    if losses:
        print(f"\n{source.name} was read in part:")
    for loss in losses:
        print(f"  {loss}")
