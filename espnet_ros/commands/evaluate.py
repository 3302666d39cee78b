"""`espnet_ros evaluate`: measure accuracy on images with true labels."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Iterable

from tqdm import tqdm

from espnet_ros.commands.options import (
    add_command,
    add_engine_options,
    add_frame_options,
    config_from,
    frames_from,
    print_losses,
)
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import Frame, FrameSource
from espnet_ros.evaluation.report import EvaluationReport, evaluate, format_class_iou
from espnet_ros.loading import build_segmenter
from espnet_ros.segmenter import engine_summary


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = add_command(
        subparsers,
        "evaluate",
        "Label images and compare them with their true labels: IoU per class, mean IoU, pixel accuracy.",
        "espnet_ros evaluate --images val/images --labels val/labels --weights camvid --json report.json",
    )
    add_frame_options(parser, with_video=False)
    add_engine_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print a table and write the JSON file. A damaged bag is evaluated as far as it can be read.

    Raises:
        EspnetError: the input cannot be read, or the engine cannot be built.
    """
    source = frames_from(args)
    if source is None:
        raise DatasetError("evaluate needs --images (with --labels) or --bag")
    if not source.has_labels:
        raise DatasetError(f"{source.name}: evaluate needs true labels (--labels, or a label topic in the bag)")
    segmenter = build_segmenter(config_from(args), show_progress=True)
    try:
        print(f"evaluating {engine_summary(segmenter.engine)}")
        report = evaluate(segmenter, source, lambda frames: _with_bar(frames, source))
    finally:
        segmenter.close()
    _print_table(report)
    print_losses(source)
    if args.json is not None:
        write_json(report, args.json)
    return 0


def write_json(report: EvaluationReport, path: Path) -> None:
    """Write a report as JSON.

    Raises:
        DatasetError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"report {path}: cannot be written: {error.strerror}") from error


def _with_bar(frames: Iterable[Frame], source: FrameSource) -> Iterable[Frame]:
    return tqdm(frames, total=len(source) or None, unit="image", desc="evaluate")


def _print_table(report: EvaluationReport) -> None:
    print("\nclass IoU, %")
    for line in format_class_iou(report.class_iou):
        print(f"  {line}")
    mean = "-" if report.mean_iou is None else f"{report.mean_iou:.4f}"
    accuracy = "-" if report.pixel_accuracy is None else f"{report.pixel_accuracy:.4f}"
    print(
        f"\nmean IoU {mean}, pixel accuracy {accuracy}, {report.images} images, {report.frames_per_second:.1f} frames/s"
    )
