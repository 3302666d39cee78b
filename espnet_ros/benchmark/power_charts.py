"""Charts of a power sweep, as SVG files."""

from __future__ import annotations

import math
from typing import Callable, Dict, List, Sequence, Tuple

from espnet_ros.benchmark.power_sweep import PowerPoint
from espnet_ros.reporting.charts import Mark, trade_off_chart

_Quantity = Tuple[str, Callable[[PowerPoint], float]]


def speed_power_chart(points: Sequence[PowerPoint]) -> str:
    """Draw frame rate over power, one line per mode, its points by alpha; "" if no point has a power reading."""
    return _draw(
        points,
        ("power (W)", lambda point: point.run.draw.watts),
        ("frame rate (frames/s)", lambda point: point.run.frames_per_second),
    )


def accuracy_energy_chart(points: Sequence[PowerPoint]) -> str:
    """Draw mean IoU over energy, one line per mode, its points by alpha; "" if no point has both."""
    return _draw(
        points,
        ("energy (J/frame)", lambda point: point.run.draw.joules_per_frame),
        ("mean IoU", lambda point: point.mean_iou),
    )


def _draw(points: Sequence[PowerPoint], across: _Quantity, upward: _Quantity) -> str:
    (x_title, x_of), (y_title, y_of) = across, upward
    lines = _lines(points, x_of, y_of)
    if not lines:
        return ""
    note = "numbers: alpha"
    if any(mark.is_hollow for marks in lines.values() for mark in marks):
        note += "; hollow: heat or over-current throttled the clocks"
    return trade_off_chart(lines, x_title, y_title, note)


def _lines(
    points: Sequence[PowerPoint], x_of: Callable[[PowerPoint], float], y_of: Callable[[PowerPoint], float]
) -> Dict[str, List[Mark]]:
    """Marks by mode; names also have the size and the engine where these differ between points."""
    parts = [(each.mode or "this machine", str(each.size), f"{each.backend} {each.precision}") for each in points]
    shown = [index for index in range(3) if not index or len({part[index] for part in parts}) > 1]
    lines: Dict[str, List[Mark]] = {}
    for point, part in sorted(zip(points, parts), key=lambda pair: pair[0].alpha):
        if not math.isnan(x_of(point)) and not math.isnan(y_of(point)):
            mark = Mark(x_of(point), y_of(point), str(point.alpha), bool(point.run.draw.throttled))
            lines.setdefault(", ".join(part[index] for index in shown), []).append(mark)
    return lines
