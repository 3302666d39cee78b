"""The page that shows a drive: one HTML file with its images beside it, nothing from the network."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path
from string import Template
from typing import Dict, List, Mapping, Optional, Tuple

import cv2
import numpy as np

from espnet_ros import __version__
from espnet_ros.classes import ClassTable
from espnet_ros.demo.alpha_table import alpha_section, switch_events
from espnet_ros.demo.costmaps import IOU_IS, CostmapReport, CostmapView
from espnet_ros.demo.drive import DriveReport, Sample
from espnet_ros.demo.plots import iou_bars, latency_plot
from espnet_ros.errors import DatasetError

_VIEWS = (
    ("image", "camera"),
    ("overlay", "overlay"),
    ("costmap", "costmap: rings every 2 m, grey is unseen"),
    ("labels", "labels"),
    ("truth", "true labels"),
    ("true_costmap", "the true ground"),
)
"""Pictures of a sample, in the order of the page, where a drive has them."""
_TEMPLATE = Path(__file__).with_name("page.html")
_FRAMES_FOLDER = "frames"
_THUMBNAIL_WIDTH = 160
_JPEG_QUALITY = 88
_TILES_IN_A_ROW = 6
_WIDE_MAP = 2.2  # width by height; wider maps get a row of their own
_NO_COSTMAPS = (
    "No costmaps: only images are played here, without odometry and calibration, and labels alone do not say how far "
    "away things are. The synthetic street, which is driven when no input is given, has both."
)


def write_page(
    report: DriveReport,
    source: str,
    table: ClassTable,
    facts: Mapping[str, str],
    folder: Path,
    costmaps: Optional[CostmapReport] = None,
) -> Path:
    """Write ``index.html``, its images, and ``report.json`` with the numbers.

    Args:
        report: the drive.
        source: where the frames came from.
        table: class table of the labels.
        facts: what ran, and on what; name to value, in the order of the page.
        folder: made where it is missing; what an earlier drive left in it is replaced.
        costmaps: of the drive; None where there can be none.

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
        route = "" if costmaps is None else _write_route(costmaps, frames)
        page.write_text(_fill(report, samples, source, table, facts, costmaps, route), encoding="utf-8")
        numbers = {**report.as_dict(), "source": source, "config": dict(facts), "version": __version__}
        if costmaps is not None:
            numbers["costmaps"] = costmaps.as_dict()
        (folder / "report.json").write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"page {page}: cannot be written: {error.strerror}") from error
    return page


def headline_numbers(report: DriveReport, costmaps: Optional[CostmapReport] = None) -> List[Tuple[str, str]]:
    """(name, value with unit) of the numbers that matter most, for the terminal and the page."""
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


def _fill(
    report: DriveReport,
    samples: List[Dict[str, str]],
    source: str,
    table: ClassTable,
    facts: Mapping[str, str],
    costmaps: Optional[CostmapReport],
    route: str,
) -> str:
    views = [(key, caption) for key, caption in _VIEWS if any(key in sample for sample in samples)]
    numbers = headline_numbers(report, costmaps)
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        source=escape(source),
        tiles="".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers),
        tile_columns=math.ceil(len(numbers) / math.ceil(len(numbers) / _TILES_IN_A_ROW)),
        views="".join(_view(key, caption, samples) for key, caption in views),
        columns=2 if len(views) == 4 else 3,
        route=route or f'<section class="note">{_NO_COSTMAPS}</section>',
        strip="".join(_thumbnail(index, sample) for index, sample in enumerate(samples)),
        last_index=max(0, len(samples) - 1),
        legend="".join(_legend_row(row.name, _css(row.color)) for row in table.classes),
        table_name=escape(table.name),
        by_alpha=alpha_section(report),
        latency=_latency_plot(report),
        iou=_iou_section(report, table),
        facts="".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()),
        # "</" would end the script element.
        samples=json.dumps(samples).replace("</", "<\\/"),
        version=escape(__version__),
    )


def _view(key: str, caption: str, samples: List[Dict[str, str]]) -> str:
    first = samples[0][key] if samples else ""
    image = f'<img data-view="{key}" src="{escape(first)}" alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(index: int, sample: Dict[str, str]) -> str:
    return (
        f'<button type="button" data-index="{index}" title="{escape(sample["name"])}">'
        f'<img src="{escape(sample["thumbnail"])}" alt="frame {index + 1}" loading="lazy"></button>'
    )


def _legend_row(name: str, color: str) -> str:
    return f'<li><span style="background:{color}"></span>{escape(name)}</li>'


def _route_section(costmaps: CostmapReport, files: List[str], is_wide: bool) -> str:
    """The map of the whole route, beside or, where it is wide, above the truth."""
    iou = ", ".join(f"{name} {100 * value:.1f}" for name, value in costmaps.map_iou.items() if value is not None)
    captions = [
        "all costmaps in one: what was seen last of each place, and the way driven",
        "the true ground, paler where it was never seen",
    ]
    figures = "".join(
        f'<figure><img src="{file}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
        for file, caption in zip(files, captions)
    )
    legend = "".join(_legend_row(name, _css(color)) for name, color in costmaps.legend)
    return (
        f"<section><h2>Map of the route{': IoU, %: ' + escape(iou) if iou else ''}</h2>"
        f'<div class="route{" wide" if is_wide else ""}">{figures}</div><ul class="legend">{legend}</ul>'
        f'<p class="quiet">IoU of the costmaps above: {escape(IOU_IS)}.</p></section>'
    )


def _latency_plot(report: DriveReport) -> str:
    p50, p95 = report.latency(50), report.latency(95)
    if p50 is None or p95 is None:
        return "<p>No answers.</p>"
    return latency_plot(report.answers, p50, p95, switch_events(report))


def _iou_section(report: DriveReport, table: ClassTable) -> str:
    if not report.class_iou:
        return ""
    rows: List[Tuple[str, str, Optional[float]]] = [
        (row.name, _css(row.color), report.class_iou[row.name]) for row in table.classes if row.name in report.class_iou
    ]
    mean = "" if report.mean_iou is None else f", mean {100 * report.mean_iou:.2f}"
    return f'<section><h2>IoU of each class, %{mean}</h2><div class="plot">{iou_bars(rows)}</div></section>'


def _css(color: Tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _write_sample(sample: Sample, view: Optional[CostmapView], index: int, folder: Path) -> Dict[str, str]:
    """Write a sample's images; what the page's script needs to show it."""
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


def _write_route(costmaps: CostmapReport, folder: Path) -> str:
    """Write the maps of the route; their section of the page."""
    if costmaps.route is None or costmaps.true_route is None:
        return '<section class="note">No costmap came from the node; what it said is in node.log.</section>'
    files = [
        _write_picture(costmaps.route, folder, "route.png"),
        _write_picture(costmaps.true_route, folder, "true_route.png"),
    ]
    height, width = costmaps.route.shape[:2]
    return _route_section(costmaps, files, width > _WIDE_MAP * height)


def _write_picture(pixels: np.ndarray, folder: Path, name: str) -> str:
    """Write (h, w, 3) uint8 RGB pixels in the format of the name; returns how the page refers to the file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if name.endswith(".jpg") else []
    _, encoded = cv2.imencode(name[-4:], cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    (folder / name).write_bytes(encoded.tobytes())
    return f"{_FRAMES_FOLDER}/{name}"
