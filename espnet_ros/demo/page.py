"""The page of a drive: one HTML file with its images beside it. It loads nothing from the network."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import cv2
import numpy as np

from espnet_ros import __version__
from espnet_ros.classes import ClassTable
from espnet_ros.demo.alpha_table import alpha_section, switch_events
from espnet_ros.demo.costmaps import IOU_DEFINITION, CostmapReport, CostmapView
from espnet_ros.demo.drive import DriveReport, Sample
from espnet_ros.errors import DatasetError
from espnet_ros.reporting.charts import class_iou_chart, latency_chart
from espnet_ros.reporting.page import render_page

_VIEWS = (
    ("image", "camera"),
    ("overlay", "overlay"),
    ("costmap", "costmap: rings every 2 m, grey is unseen"),
    ("labels", "labels"),
    ("truth", "true labels"),
    ("true_costmap", "true costmap"),
)
"""Pictures of a sample and their captions, in the order of the page."""
_FRAMES_FOLDER = "frames"
_THUMBNAIL_WIDTH = 160
_JPEG_QUALITY = 88
_TILES_PER_ROW = 6
_WIDE_MAP = 2.2  # width divided by height; wider maps get a row of their own
_NO_ODOMETRY = (
    "No costmaps: this input has neither odometry nor a camera calibration, which costmaps need to place labels on the "
    "ground. The synthetic street, the default input, has both."
)
_NO_ANSWER = "The node published no costmap. See node.log for its messages."


def write_page(
    report: DriveReport,
    source: str,
    table: ClassTable,
    run_description: Mapping[str, str],
    folder: Path,
    costmaps: Optional[CostmapReport] = None,
) -> Path:
    """Write ``index.html``, its images, and ``report.json`` with the numbers.

    Args:
        report: of the drive.
        source: description of the input.
        table: class table of the labels.
        run_description: name and value of each row of the table "What ran", in order.
        folder: created if missing; replaces the files of an earlier drive.
        costmaps: of the drive; None if the input does not allow costmaps.

    Returns:
        Path of the page.

    Raises:
        DatasetError: the folder cannot be written.
    """
    page = folder / "index.html"
    try:
        frames = folder / _FRAMES_FOLDER
        frames.mkdir(parents=True, exist_ok=True)
        for old in (*frames.glob("*.jpg"), *frames.glob("*.png")):
            old.unlink()
        views = costmaps.views if costmaps is not None else {}
        samples = [
            _write_sample(sample, views.get(sample.name), index, frames) for index, sample in enumerate(report.samples)
        ]
        route = None if costmaps is None else _write_route(costmaps, frames)
        text = render_page(
            "drive.html",
            **_page_values(report, samples, table, headline_numbers(report, costmaps)),
            source=source,
            route=route,
            no_route=_NO_ODOMETRY if costmaps is None else _NO_ANSWER,
            run_description=run_description,
        )
        page.write_text(text, encoding="utf-8")
        numbers = {**report.as_dict(), "source": source, "config": dict(run_description), "version": __version__}
        if costmaps is not None:
            numbers["costmaps"] = costmaps.as_dict()
        (folder / "report.json").write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"page {page}: cannot be written: {error.strerror}") from error
    return page


def headline_numbers(report: DriveReport, costmaps: Optional[CostmapReport] = None) -> List[Tuple[str, str]]:
    """Return the name, and the value with its unit, of the most important numbers."""
    numbers = [("frame rate", f"{report.frame_rate:.1f} Hz")]
    p50, p95 = report.latency(50), report.latency(95)
    if p50 is not None and p95 is not None:
        numbers += [("latency p50", f"{1000 * p50:.1f} ms"), ("latency p95", f"{1000 * p95:.1f} ms")]
    numbers.append(("dropped frames", f"{report.dropped} of {report.sent}"))
    if report.mean_iou is not None:
        numbers.append(("mean IoU", f"{report.mean_iou:.4f}"))
    if costmaps is not None:
        numbers.append(("costmaps", f"{costmaps.answered} of {costmaps.sent}"))
        numbers += [
            (f"costmap {name} IoU", f"{value:.3f}") for name, value in costmaps.layer_iou.items() if value is not None
        ]
    return numbers


def _page_values(
    report: DriveReport, samples: List[Dict[str, str]], table: ClassTable, numbers: Sequence[Tuple[str, str]]
) -> Dict[str, Any]:
    """Values of the template that depend on the drive alone."""
    return {
        "numbers": numbers,
        "tile_columns": math.ceil(len(numbers) / math.ceil(len(numbers) / _TILES_PER_ROW)),
        "views": [(view, caption) for view, caption in _VIEWS if any(view in sample for sample in samples)],
        "samples": samples,
        "by_alpha": alpha_section(report),
        "table_name": table.name,
        "classes": [(row.name, _css_color(row.color)) for row in table.classes],
        "latency_chart": _latency_chart(report),
        "class_iou_chart": _class_iou_chart(report, table),
        "mean_iou": "" if report.mean_iou is None else f", mean {100 * report.mean_iou:.2f}",
        "version": __version__,
    }


def _latency_chart(report: DriveReport) -> str:
    p50, p95 = report.latency(50), report.latency(95)
    if p50 is None or p95 is None:
        return ""
    answers = [(answer.sent, 1000 * answer.latency) for answer in report.answers]
    return latency_chart(answers, [("p50", 1000 * p50), ("p95", 1000 * p95)], switch_events(report))


def _class_iou_chart(report: DriveReport, table: ClassTable) -> str:
    rows = [
        (row.name, _css_color(row.color), report.class_iou[row.name])
        for row in table.classes
        if row.name in report.class_iou
    ]
    return class_iou_chart(rows) if rows else ""


def _css_color(color: Tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _write_sample(sample: Sample, view: Optional[CostmapView], index: int, folder: Path) -> Dict[str, str]:
    """Write a sample's images; return its name, its latency in ms, and the file of each view."""
    shown = {"image": sample.image, "overlay": sample.overlay, "labels": sample.labels}
    if sample.truth is not None:
        shown["truth"] = sample.truth
    width = min(_THUMBNAIL_WIDTH, sample.overlay.shape[1])
    height = max(1, round(sample.overlay.shape[0] * width / sample.overlay.shape[1]))
    shown["thumbnail"] = np.asarray(cv2.resize(sample.overlay, (width, height), interpolation=cv2.INTER_AREA))
    entry = {"name": sample.name, "latency": f"{1000 * sample.latency:.1f}"}
    for key, pixels in shown.items():
        entry[key] = _write_picture(pixels, folder, f"{index:03d}_{key}.jpg")
    if view is not None:
        entry["costmap"] = _write_picture(view.costmap, folder, f"{index:03d}_costmap.png")
        entry["true_costmap"] = _write_picture(view.truth, folder, f"{index:03d}_true_costmap.png")
    return entry


def _write_route(costmaps: CostmapReport, folder: Path) -> Optional[Dict[str, Any]]:
    """Write the maps of the route; return the values of their section, or None without a map."""
    if costmaps.route is None or costmaps.true_route is None:
        return None
    height, width = costmaps.route.shape[:2]
    return {
        "costmap": _write_picture(costmaps.route, folder, "route.png"),
        "truth": _write_picture(costmaps.true_route, folder, "true_route.png"),
        "is_wide": width > _WIDE_MAP * height,
        "iou": ", ".join(f"{name} {100 * value:.1f}" for name, value in costmaps.map_iou.items() if value is not None),
        "iou_definition": IOU_DEFINITION,
        "legend": [(name, _css_color(color)) for name, color in costmaps.legend],
    }


def _write_picture(pixels: np.ndarray, folder: Path, name: str) -> str:
    """Write (h, w, 3) uint8 RGB pixels in the format of the name's suffix; return the file's path from the page."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if name.endswith(".jpg") else []
    _, encoded = cv2.imencode(name[-4:], cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    (folder / name).write_bytes(encoded.tobytes())
    return f"{_FRAMES_FOLDER}/{name}"
