"""Options that several subcommands share, and what is made of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Optional, Sequence

from espnet_ros.config import NodeConfig, default_of, option_names, rule_of
from espnet_ros.engines import build_engine
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import FrameSource
from espnet_ros.evaluation.images import ImageFolder, VideoFile, sibling_labels
from espnet_ros.loading import resolve_spec
from espnet_ros.segmenter import Segmenter

ENGINE_OPTIONS = option_names("engine")
"""Parameters that every command with an engine offers as options."""


def add_command(subparsers: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Register a subcommand whose help ends with an example."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary[0].lower() + summary[1:].rstrip("."),
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_engine_options(parser: argparse.ArgumentParser, names: Sequence[str] = ENGINE_OPTIONS) -> None:
    """Offer parameters of the node as options, with their descriptions, choices and defaults."""
    group = parser.add_argument_group("engine")
    for name in names:
        rule, default = rule_of(name), default_of(name)
        group.add_argument(
            "--" + name.replace("_", "-"),
            type=type(default),
            default=default,
            choices=rule.choices or None,
            metavar=None if rule.choices else (rule.unit.upper() or name.upper()),
            help=f"{rule.description} (default: {default})".replace("%", "%%"),
        )


def config_from(args: argparse.Namespace, names: Sequence[str] = ENGINE_OPTIONS) -> NodeConfig:
    """The parameters that the options of ``add_engine_options`` ask for.

    Raises:
        ParameterError: a value breaks its rule.
    """
    return NodeConfig(**{name: getattr(args, name) for name in names})


def build_segmenter(config: NodeConfig, show_progress: bool = True) -> Segmenter:
    """A segmenter with the engine that ``config`` asks for; downloads weights where they are missing.

    Raises:
        WeightsError, ClassTableError, EngineError: what is asked for cannot be had.
    """
    return Segmenter(build_engine(resolve_spec(config, show_progress)), config.min_confidence)


def add_frame_options(parser: argparse.ArgumentParser, with_video: bool) -> None:
    """Offer the sources of frames as options."""
    group = parser.add_argument_group("input (one of them)")
    source = group.add_mutually_exclusive_group()
    source.add_argument("--images", type=Path, metavar="DIR", help="folder of images, in the order of their names")
    source.add_argument("--bag", type=Path, metavar="BAG", help="rosbag2 folder (mcap or sqlite3), or ROS 1 .bag file")
    if with_video:
        source.add_argument("--video", type=Path, metavar="FILE", help="video file")
    group.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="with --images: folder of label images of the same stems, one 8-bit class id a pixel, 255 unlabelled"
        " (default: the folder 'labels' beside the images, where there is one)",
    )
    group.add_argument(
        "--image-topic", default="", metavar="TOPIC", help="with --bag: topic of the images (default: the only one)"
    )
    group.add_argument(
        "--label-topic",
        default="",
        metavar="TOPIC",
        help="with --bag: topic of the true labels (default: the only one that ends in label_image)",
    )


def open_frames(args: argparse.Namespace) -> Optional[FrameSource]:
    """The source that the options of ``add_frame_options`` ask for; None where they name none.

    Raises:
        DatasetError: it cannot be used, or labels were given for a source that takes none.
    """
    if args.labels is not None and args.images is None:
        raise DatasetError("--labels belongs to --images, which is missing; a bag has its labels in a topic")
    if args.images is not None:
        labels = args.labels if args.labels is not None else sibling_labels(args.images)
        return ImageFolder(args.images, labels)
    if args.bag is not None:
        from espnet_ros.evaluation.bag import BagFrames

        return BagFrames(args.bag, args.image_topic, args.label_topic)
    if getattr(args, "video", None) is not None:
        return VideoFile(args.video)
    return None
