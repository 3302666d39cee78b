"""``espnet_ros benchmark``: our engines beside the published pipeline, or the costmap, on this machine."""

from __future__ import annotations

import argparse
import itertools
import platform
from pathlib import Path
from typing import Any, Callable, Dict, List

import cv2
import numpy as np
from tqdm import tqdm

from espnet_ros.benchmark.costmap import LABEL_SIZE, measure_costmap
from espnet_ros.benchmark.engines import Contender, compare_engines, format_table
from espnet_ros.commands.options import add_command
from espnet_ros.config import NodeConfig
from espnet_ros.costmap.costmap import Costmap
from espnet_ros.engines.resolve import resolve_spec
from espnet_ros.errors import DatasetError
from espnet_ros.synthetic import StreetWorld, default_camera, drive
from espnet_ros.types import ImageSize


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "benchmark",
        "Time image to label map: the published pipeline's steps in eager PyTorch and our engines, interleaved; "
        "or labels to costmap messages.",
        "espnet_ros benchmark --weights cityscapes --rounds 15\n  espnet_ros benchmark costmap",
    )
    parser.add_argument(
        "subject", nargs="?", choices=tuple(_SUBJECTS), default="engines", help="what to time (default: %(default)s)"
    )
    parser.add_argument("--weights", default="cityscapes", help="registry family (default: %(default)s)")
    parser.add_argument("--alpha", type=int, nargs="+", default=[3, 5, 8], choices=(3, 5, 8), help="default: 3 5 8")
    parser.add_argument(
        "--engines",
        nargs="+",
        default=["torch/fp32", "openvino/fp32", "openvino/auto"],
        metavar="BACKEND/PRECISION",
        help="our engines to time (default: %(default)s)",
    )
    parser.add_argument(
        "--images", type=Path, help="folder of images to run on (default: a synthetic street at the network's size)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="counted calls of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    _SUBJECTS[args.subject](args)
    return 0


def _time_engines(args: argparse.Namespace) -> None:
    rows: List[Contender] = []
    for alpha in args.alpha:
        config = NodeConfig(weights=args.weights, alpha=alpha, threads=args.threads)
        spec = resolve_spec(config, show_progress=True)
        images = _load_images(args.images, spec.input_size)
        with tqdm(total=args.rounds + 1, desc=f"alpha {alpha} at {spec.input_size}", leave=False) as bar:
            rows += compare_engines(spec, args.engines, images, args.rounds, on_round=bar.update)
    print(f"image to label map, {platform.machine()}, medians of {args.rounds} interleaved calls\n")
    print(format_table(rows))


def _time_costmap(args: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    timings = measure_costmap(_build_all_messages, max(args.rounds, _COSTMAP_ROUNDS))
    print(f"labels {LABEL_SIZE} to 8 layers of 200x200 cells as messages, {platform.machine()}, one thread\n")
    print("| camera | median ms | best ms |\n|---|---:|---:|")
    for name, timing in timings.items():
        print(f"| {name} | {timing.median * 1e3:.2f} | {timing.best * 1e3:.2f} |")


def _build_all_messages(costmap: Costmap, stamp: int) -> List[Any]:
    from espnet_ros.ros.grid_messages import list_messages

    return list_messages(costmap, stamp)


_COSTMAP_ROUNDS = 100
_STREET_IMAGES = 4
_SUBJECTS: Dict[str, Callable[[argparse.Namespace], None]] = {"engines": _time_engines, "costmap": _time_costmap}


def _load_images(folder: Any, size: ImageSize) -> List[np.ndarray]:
    if folder is None:
        frames = drive(StreetWorld(seed=0), default_camera(size), rate=1.0)
        return [frame.image for frame in itertools.islice(frames, _STREET_IMAGES)]
    images = [image for image in map(cv2.imread, map(str, sorted(folder.iterdir()))) if image is not None]
    if not images:
        raise DatasetError(f"{folder} holds no image that can be read")
    return images
