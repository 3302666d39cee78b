"""``espnet_ros benchmark``: measure speed and power on this machine."""

from __future__ import annotations

import argparse
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import cv2
import numpy as np
from tqdm import tqdm

from espnet_ros.benchmark.comparison import Comparison, compare
from espnet_ros.benchmark.contenders import OUR_ENGINES, PUBLISHED_CONTENDERS, check_name
from espnet_ros.benchmark.costmap import LABEL_SIZE, measure_costmap
from espnet_ros.benchmark.frame import format_frames, frames_as_document, measure_frames
from espnet_ros.benchmark.node_steps import ENCODINGS, camera_message, node_steps
from espnet_ros.benchmark.report import as_document, comparison_chart, format_table
from espnet_ros.benchmark.street import street_images
from espnet_ros.commands import benchmark_power
from espnet_ros.commands.benchmark_options import image_size, whole_positive, write_json, write_text
from espnet_ros.commands.options import add_command
from espnet_ros.commands.segment_files import read_image
from espnet_ros.config import NodeConfig, rule_of
from espnet_ros.costmap.costmap import Costmap
from espnet_ros.errors import DatasetError
from espnet_ros.loading import build_segmenter, resolve_spec
from espnet_ros.reporting.machine import describe_environment
from espnet_ros.reporting.tables import markdown_table
from espnet_ros.types import ImageSize

_ROUNDS = {"engines": 15, "frame": 50, "costmap": 100}
_WEIGHTS = "cityscapes"
_ALPHAS = rule_of("alpha").choices
_NETWORK_SIZES = [ImageSize(256, 512), ImageSize(512, 1024)]
_CAMERA_SIZES = [ImageSize(512, 1024), ImageSize(1080, 1920)]
_DEFAULTS = {
    "subject": "engines",
    "contenders": [*PUBLISHED_CONTENDERS, *OUR_ENGINES],
    "threads": 0,
    "encoding": ENCODINGS[0],
    "backend": "auto",
    "precision": "auto",
}


def add_parser(subparsers: Any) -> None:
    """Register the subcommand and its subjects; the first subject is the default."""
    parser = add_command(
        subparsers,
        "benchmark",
        "Time image to labels: the published pipeline, its network on other runtimes, and our engines, interleaved. "
        "Other subjects: the steps of a frame in the node, labels to costmap messages, and speed and power in every "
        "power mode of the board.",
        "espnet_ros benchmark --alpha 8 --sizes 512x1024 --json speed.json --plot speed.svg\n"
        "  espnet_ros benchmark frame\n  espnet_ros benchmark costmap\n  espnet_ros benchmark power",
    )
    _add_options(parser)
    parser.set_defaults(run=run, time=_time_engines, **_DEFAULTS)
    subjects = parser.add_subparsers(title="subjects", metavar="SUBJECT", help="what to time (default: engines)")
    for name, (time, summary) in _SUBJECTS.items():
        # Options before the subject apply as well.
        subject = subjects.add_parser(name, help=summary, argument_default=argparse.SUPPRESS)
        _add_options(subject)
        subject.set_defaults(time=time, subject=name)
    benchmark_power.add_subject(subjects)


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all subjects but power; their defaults are in ``_DEFAULTS``."""
    parser.add_argument("--weights", help=f"registry family (default: {_WEIGHTS})")
    parser.add_argument(
        "--alpha",
        type=int,
        nargs="+",
        choices=_ALPHAS,
        help=f"alphas (default: {_join(_ALPHAS)}; frame: 8)",
        metavar="ALPHA",
    )
    parser.add_argument(
        "--contenders",
        nargs="+",
        metavar="NAME",
        help=f"engines to time: {', '.join(PUBLISHED_CONTENDERS)}, or BACKEND/PRECISION of our engines (default: "
        f"{' '.join((*PUBLISHED_CONTENDERS, *OUR_ENGINES))})",
    )
    parser.add_argument(
        "--sizes",
        type=image_size,
        nargs="+",
        metavar="HxW",
        help=f"input sizes of the network (default: {_join(_NETWORK_SIZES)}); frame: sizes of the camera's images "
        f"(default: {_join(_CAMERA_SIZES)})",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of images to run on and to calibrate int8 with (default: a synthetic street)",
    )
    parser.add_argument(
        "--rounds",
        type=whole_positive,
        help=f"counted calls of each (default: {', '.join(f'{count} {name}' for name, count in _ROUNDS.items())})",
    )
    parser.add_argument("--threads", type=int, help="CPU threads of our engines; 0 uses all cores (default: 0)")
    parser.add_argument(
        "--encoding", choices=ENCODINGS, help=f"frame: encoding of the camera's images (default: {ENCODINGS[0]})"
    )
    parser.add_argument("--backend", help="frame: engine backend (default: auto)")
    parser.add_argument("--precision", help="frame: engine precision (default: auto)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the time of every call to this file")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="engines: write the comparison as an SVG chart to this file"
    )


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; return the exit code."""
    args.rounds = args.rounds or _ROUNDS[args.subject]
    args.weights = args.weights or _WEIGHTS
    args.time(args)
    return 0


def _time_engines(args: argparse.Namespace) -> None:
    for name in args.contenders:
        check_name(name)
    comparisons: List[Comparison] = []
    for size in args.sizes or _NETWORK_SIZES:
        images = _load_images(args.images, size)
        for alpha in args.alpha or _ALPHAS:
            comparisons.append(_compare_one(args, alpha, size, images))
            # after each, so that an interrupted run leaves results behind
            source = "synthetic street" if args.images is None else f"{len(images)} files"
            if args.json is not None:
                write_json(args.json, as_document(comparisons, args.weights, args.rounds, source))
            if args.plot is not None:
                write_text(args.plot, comparison_chart(comparisons))
    _print_machine(f"image to labels at the network's size, medians of {args.rounds} interleaved calls")
    print(format_table(comparisons))


def _compare_one(args: argparse.Namespace, alpha: int, size: ImageSize, images: List[np.ndarray]) -> Comparison:
    config = NodeConfig(
        weights=args.weights,
        alpha=alpha,
        threads=args.threads,
        input_height=size.height,
        input_width=size.width,
        calibration=_calibration(args),
    )
    spec = resolve_spec(config, show_progress=True)
    with tqdm(total=args.rounds + 1, desc=f"alpha {alpha} at {size}", leave=False) as bar:

        def show_start(name: str) -> None:
            bar.set_postfix_str(f"starting {name}")

        def show_round() -> None:
            bar.set_postfix_str("")
            bar.update()

        return compare(spec, args.contenders, images, args.rounds, show_start, show_round)


def _time_frame(args: argparse.Namespace) -> None:
    config = NodeConfig(
        weights=args.weights,
        alpha=args.alpha[0] if args.alpha else 8,
        threads=args.threads,
        backend=args.backend,
        precision=args.precision,
        calibration=_calibration(args),
    )
    segmenter = build_segmenter(config, show_progress=True)
    with node_steps() as steps, tqdm(total=args.rounds + 1, desc="frames", leave=False) as bar:
        messages = {
            size: [camera_message(_fit(image, size), args.encoding) for image in _load_images(args.images, size)]
            for size in args.sizes or _CAMERA_SIZES
        }
        timings = measure_frames(segmenter, messages, steps, args.rounds, on_round=bar.update)
    segmenter.close()
    document = frames_as_document(timings, segmenter, args.encoding)
    if args.json is not None:
        write_json(args.json, document)
    _print_machine(f"{args.encoding} camera message to published labels, medians of {args.rounds} frames, ms (share)")
    print(f"{document['engine']}\n\n{format_frames(timings)}")
    if steps.publish is None:
        print("\nLabels were not published: rclpy is not installed.")


def _time_costmap(args: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    timings = measure_costmap(_build_all_messages, args.rounds)
    print(f"labels {LABEL_SIZE} to 8 layers of 200x200 cells as messages, {platform.machine()}, one thread\n")
    rows = [[name, f"{timing.median * 1e3:.2f}", f"{timing.best * 1e3:.2f}"] for name, timing in timings.items()]
    print("\n".join(markdown_table(["camera", "median ms", "best ms"], rows, "lrr")))


def _build_all_messages(costmap: Costmap, stamp: int) -> List[Any]:
    from espnet_ros.ros.grid_messages import list_messages

    return list_messages(costmap, stamp)


_SUBJECTS: Dict[str, Tuple[Callable[[argparse.Namespace], None], str]] = {
    "engines": (_time_engines, "image to labels: our engines and other runtimes"),
    "frame": (_time_frame, "steps of a frame in the node"),
    "costmap": (_time_costmap, "labels to costmap messages"),
}


def _calibration(args: argparse.Namespace) -> str:
    return "" if args.images is None else str(args.images)


def _load_images(folder: Optional[Path], size: ImageSize) -> List[np.ndarray]:
    """Return the images of the folder, or images of the synthetic street in this size."""
    if folder is None:
        return street_images(size)
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"image folder {folder}: cannot be listed: {error.strerror}") from error
    images = []
    for path in paths:
        with suppress(DatasetError):  # not an image
            images.append(read_image(path))
    if not images:
        raise DatasetError(f"image folder {folder}: must hold a readable image, holds none")
    return images


def _fit(image: np.ndarray, size: ImageSize) -> np.ndarray:
    return image if image.shape[:2] == tuple(size) else np.asarray(cv2.resize(image, (size.width, size.height)))


def _print_machine(what: str) -> None:
    environment = describe_environment()
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    print(f"{what}\n{environment['machine']} ({', '.join(environment['instructions'])})\n{versions}\n")


def _join(values: Iterable[object]) -> str:
    return " ".join(map(str, values))
