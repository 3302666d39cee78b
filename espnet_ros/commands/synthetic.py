"""`espnet_ros synthetic`: record a drive through a procedural street with exact ground truth."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from tqdm import tqdm

from espnet_ros.commands.options import add_command
from espnet_ros.errors import ParameterError
from espnet_ros.types import ImageSize

_STORAGES = ("mcap", "sqlite3")


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "synthetic",
        "Drive through a procedural street and record images with exact labels, camera_info, odometry and transforms.",
        "espnet_ros synthetic --out drive --seed 3 --frames 200 --storage sqlite3",
    )
    parser.add_argument("--out", type=Path, metavar="BAG", help="rosbag2 to write; the folder must not exist")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="or write PNG files to DIR/images and DIR/labels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the street and its light (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=100, metavar="N", help="number of frames (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="frames/s (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=5.0, metavar="M/S", help="driving speed (default: %(default)s)")
    parser.add_argument("--height", type=int, default=360, metavar="PIXELS", help="image height (default: %(default)s)")
    parser.add_argument("--width", type=int, default=480, metavar="PIXELS", help="image width (default: %(default)s)")
    parser.add_argument(
        "--camera-height",
        type=float,
        default=1.4,
        metavar="M",
        help="height above the ground (default: %(default)s)",
    )
    parser.add_argument(
        "--camera-pitch",
        type=float,
        default=0.0,
        metavar="DEGREES",
        help="pitch, positive down (default: %(default)s)",
    )
    parser.add_argument("--storage", choices=_STORAGES, default="mcap", help="format of the bag (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render the drive, write it, and print a summary.

    Raises:
        ParameterError: an option is missing or out of range.
        DatasetError: the bag or the files cannot be written.
    """
    from espnet_ros.synthetic import Mount, SyntheticStreet, default_camera
    from espnet_ros.synthetic.recording import record_drive, save_folders

    if (args.out is None) == (args.folder is None):
        raise ParameterError("synthetic needs either --out (a bag) or --folder (image files)")
    for name in ("height", "width"):
        if not 8 <= getattr(args, name) <= 8192:
            raise ParameterError(f"--{name} must be 8 to 8192 pixels, is {getattr(args, name)}")
    if not 0 < args.camera_height <= 100:
        raise ParameterError(f"--camera-height must be above 0 and at most 100 m, is {args.camera_height}")
    if not -80 <= args.camera_pitch <= 80:
        raise ParameterError(f"--camera-pitch must be -80 to 80 degrees, is {args.camera_pitch}")
    camera = default_camera(ImageSize(args.height, args.width))
    mount = Mount(args.camera_height, math.radians(args.camera_pitch))
    street = SyntheticStreet(args.seed, args.frames, args.rate, args.speed, camera, mount)
    frames = tqdm(street.frames(), total=len(street), unit="image", desc="synthetic")
    if args.out is not None:
        count = record_drive(frames, mount, args.out, args.storage)
    else:
        count = save_folders(frames, args.folder, f"{args.seed}_")
    print(f"wrote {args.out or args.folder}: {count} images with labels, {count / args.rate:.1f} s at {args.rate:g} Hz")
    return 0
