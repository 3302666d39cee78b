"""`espnet_ros bag`: create recordings for replay and evaluation."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from tqdm import tqdm

from espnet_ros.commands.options import add_command
from espnet_ros.errors import ParameterError
from espnet_ros.evaluation.images import DEFAULT_RATE_HZ, open_folder

_DEFAULT_FOV_DEGREES = 60.0
_STORAGES = ("mcap", "sqlite3")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "bag",
        "Create recordings for replay and evaluation.",
        "espnet_ros bag create --images val/images --labels val/labels --out drive",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="create")
    creating = add_command(
        actions,
        "create",
        "Write a folder of images and their labels as a rosbag2.",
        "espnet_ros bag create --images val/images --labels val/labels --out drive --storage sqlite3 --rate 15",
    )
    creating.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of images, in the order of their names"
    )
    creating.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="folder of label images with the same stems (default: the folder 'labels' beside the images, if any)",
    )
    creating.add_argument("--out", type=Path, required=True, metavar="BAG", help="folder to create; it must not exist")
    creating.add_argument("--storage", choices=_STORAGES, default=_STORAGES[0], help="format (default: %(default)s)")
    creating.add_argument(
        "--rate", type=float, default=DEFAULT_RATE_HZ, metavar="HZ", help="images per second (default: %(default)s)"
    )
    creating.add_argument(
        "--fov",
        type=float,
        default=_DEFAULT_FOV_DEGREES,
        metavar="DEGREES",
        help="horizontal field of view to write to camera_info (default: %(default)s)",
    )
    creating.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the bag and print a summary.

    Raises:
        ParameterError: the rate or the field of view is out of range.
        DatasetError: the images cannot be read, or the bag cannot be written.
    """
    from espnet_ros.evaluation.bag_writer import create_bag

    if not 0 < args.rate <= 1000:
        raise ParameterError(f"--rate must be above 0 and at most 1000 Hz, is {args.rate}")
    if not 1 <= args.fov <= 170:
        raise ParameterError(f"--fov must be 1 to 170 degrees, is {args.fov}")
    source = open_folder(args.images, args.labels, args.rate)
    frames = tqdm(source, total=len(source), unit="image", desc="bag create")
    count = create_bag(frames, args.out, args.storage, math.radians(args.fov))
    labels = "with labels" if source.has_labels else "without labels"
    print(f"wrote {args.out}: {count} images {labels}, {count / args.rate:.1f} s at {args.rate:g} Hz, {args.storage}")
    return 0
