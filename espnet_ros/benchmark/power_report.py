"""Results of a power sweep as CSV (which the governor reads), as JSON, and as a Markdown table."""

from __future__ import annotations

import csv
import io
import math
from typing import Any, Dict, List, Mapping, Optional, Sequence

from espnet_ros.benchmark.power_sweep import PowerPoint, PowerSweep
from espnet_ros.reporting.tables import markdown_table

UNKNOWN = "-"
_THROTTLED = "*"
_COLUMNS = (
    "mode",
    "alpha",
    "size",
    "engine",
    "frames/s",
    "median ms",
    "p95 ms",
    "W",
    "W GPU",
    "W CPU",
    "W idle",
    "J/frame",
    "J above idle",
    "°C",
    "mean IoU",
)


def point_as_dict(point: PowerPoint) -> Dict[str, Any]:
    """Return the values of a point by CSV column; None if unknown."""
    run, draw = point.run, point.run.draw
    values = {
        "mode": point.mode,
        "alpha": point.alpha,
        "height": point.size.height,
        "width": point.size.width,
        "backend": point.backend,
        "precision": point.precision,
        "frames": run.frames,
        "frames_per_second": run.frames_per_second,
        "median_seconds": run.median_seconds,
        "p95_seconds": run.p95_seconds,
        "busy": run.busy,
        "watts": draw.watts,
        "watts_gpu": draw.watts_gpu,
        "watts_cpu": draw.watts_cpu,
        "watts_cover": draw.covers,
        "idle_watts": point.idle_watts,
        "joules_per_frame": draw.joules_per_frame,
        "joules_above_idle": point.joules_above_idle,
        "temperature": draw.temperature,
        "throttled": draw.throttled,
        "mean_iou": point.mean_iou,
    }
    return {name: _or_none(value) for name, value in values.items()}


def format_csv(points: Sequence[PowerPoint]) -> str:
    """Return CSV with one line per point, empty cells for unknown values. ``read_measured_costs`` reads it.

    Args:
        points: at least one.
    """
    rows = [point_as_dict(point) for point in points]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_cell(value) for name, value in row.items()})
    return text.getvalue()


def as_document(sweep: PowerSweep, conditions: Mapping[str, Any]) -> Dict[str, Any]:
    """Return all measurements for JSON; unknown values are null.

    Args:
        sweep: results.
        conditions: of the measurements, ready for JSON.
    """
    return {**conditions, "points": [point_as_dict(point) for point in sweep.points], "left_out": sweep.left_out}


def format_table(sweep: PowerSweep) -> str:
    """Return a Markdown table with one row per point, a legend, and a list of what was left out."""
    rows = [_format_row(point) for point in sweep.points]
    lines = markdown_table(_COLUMNS, rows, "lrll" + "r" * (len(_COLUMNS) - 4))
    if any(UNKNOWN in row[1:] for row in rows):
        lines += ["", f"`{UNKNOWN}`: unknown."]
    if any(point.run.draw.throttled for point in sweep.points):
        lines += [
            "",
            f"`{_THROTTLED}`: heat or over-current throttled the clocks; the mode is faster when cool.",
        ]
    if sweep.left_out:
        lines += ["", "Left out:", "", *(f"- {name}: {reason}" for name, reason in sweep.left_out.items())]
    return "\n".join(lines)


def format_page(sweep: PowerSweep, heading: Sequence[str], charts: Sequence[str], missing: str) -> str:
    """Return the Markdown page.

    Args:
        sweep: results.
        heading: lines about the conditions of the measurements.
        charts: file names of the charts, beside the page.
        missing: reason for missing charts; "" if none is missing.
    """
    lines = ["# Measured power and speed", "", *(f"- {line}" for line in heading), "", format_table(sweep)]
    for chart in charts:
        lines += ["", f"![{chart}]({chart})"]
    if missing:
        lines += ["", missing]
    return "\n".join(lines) + "\n"


def _format_row(point: PowerPoint) -> List[str]:
    run, draw = point.run, point.run.draw
    throttled = _THROTTLED if draw.throttled else ""
    return [
        point.mode or UNKNOWN,
        str(point.alpha),
        str(point.size),
        f"{point.backend} {point.precision}",
        f"{_number(run.frames_per_second, 1)}{throttled}",
        _number(run.median_seconds * 1e3, 1),
        _number(run.p95_seconds * 1e3, 1),
        _number(draw.watts, 2),
        _number(draw.watts_gpu, 2),
        _number(draw.watts_cpu, 2),
        _number(point.idle_watts, 2),
        _number(draw.joules_per_frame, 3),
        _number(point.joules_above_idle, 3),
        _number(draw.temperature, 0),
        _number(point.mean_iou, 3),
    ]


def _number(value: float, digits: int) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _csv_cell(value: Optional[Any]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
