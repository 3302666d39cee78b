"""What a run writes down on its way: every step, every validation, as CSV and as a picture."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from espnet_ros.demo.plots import nice_top
from espnet_ros.training.files import write_atomically

_STEP_COLUMNS = ("stage", "step", "learning_rate", "loss", "gradient_norm")
_EPOCH_COLUMNS = ("stage", "epoch", "step", "seconds", "learning_rate", "loss")
_WIDTH, _HEIGHT = 960, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 130, 30, 36
_COLORS = ("#1f6fb4", "#c8511b", "#2f8f4e", "#8550a8", "#8a6d1a")
_POINTS_AT_MOST = 1000


@dataclass
class History:
    """Rows of a run; plain values, so that a snapshot holds them.

    Attributes:
        steps: stage, step, learning rate, loss, gradient norm.
        epochs: stage, epoch, step, seconds, learning rate, mean loss, and mean IoU by source where it was measured.
    """

    steps: List[List[float]] = field(default_factory=list)
    epochs: List[Dict[str, Any]] = field(default_factory=list)

    def losses_since(self, stage: int, step: int) -> List[float]:
        """Losses of a stage's steps from one on, without those of skipped steps."""
        losses = []
        for row in reversed(self.steps):
            if row[0] != stage or row[1] < step:
                break
            if math.isfinite(row[3]):
                losses.append(row[3])
        return losses[::-1]

    def write(self, folder: Path) -> None:
        """Write steps.csv, curves.csv and curves.svg.

        Raises:
            DatasetError: a file cannot be written.
        """
        sources = self._sources()
        rows = [
            [row[key] for key in _EPOCH_COLUMNS] + [row["mean_iou"].get(name, "") for name in sources]
            for row in self.epochs
        ]
        columns = [*_EPOCH_COLUMNS, *(f"mean_iou_{name}" for name in sources)]
        write_atomically(folder / "steps.csv", _csv(_STEP_COLUMNS, self.steps))
        write_atomically(folder / "curves.csv", _csv(columns, rows))
        write_atomically(folder / "curves.svg", self.picture().encode())

    def picture(self) -> str:
        """Loss and mean IoU over all steps, one under the other, as an SVG document."""
        start = 0.0
        ends: Dict[int, float] = {}
        for row in self.epochs:
            ends[row["stage"]] = row["step"]
        offsets: Dict[int, float] = {}
        for stage in sorted(ends):
            offsets[stage] = start
            start += ends[stage]
        losses = [(offsets[row["stage"]] + row["step"], row["loss"]) for row in self.epochs if row["loss"] is not None]
        ious = [
            (
                name,
                [
                    (offsets[row["stage"]] + row["step"], row["mean_iou"][name])
                    for row in self.epochs
                    if row["mean_iou"].get(name) is not None
                ],
            )
            for name in self._sources()
        ]
        plots = [_plot("loss", [("training", losses)], start), _plot("mean IoU", ious, start)]
        body = f'<g>{plots[0]}</g><g transform="translate(0 {_HEIGHT})">{plots[1]}</g>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {2 * _HEIGHT}" '
            f'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>{body}</svg>\n'
        )

    def _sources(self) -> List[str]:
        names: List[str] = []
        for row in self.epochs:
            names.extend(name for name in row["mean_iou"] if name not in names)
        return names


def _plot(title: str, series: Sequence[Tuple[str, List[Tuple[float, float]]]], end: float) -> str:
    top = nice_top(max((value for _, points in series for _, value in points), default=1.0))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def place(point: Tuple[float, float]) -> str:
        x = _LEFT + (right - _LEFT) * point[0] / max(end, 1.0)
        return f"{x:.1f},{bottom - (bottom - _TOP) * point[1] / top:.1f}"

    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{title}</text>']
    for quarter in range(5):
        y = bottom - (bottom - _TOP) * quarter / 4
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top * quarter / 4:g}</text>')
    for index, (name, points) in enumerate(series):
        color = _COLORS[index % len(_COLORS)]
        thinned = points[:: max(1, len(points) // _POINTS_AT_MOST)]
        drawn = " ".join(place(point) for point in thinned)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{color}" stroke-width="2"/>')
        last = f" {points[-1][1]:.3f}" if points else ""
        y = _TOP + 16 + 18 * index
        parts.append(f'<text x="{right + 8}" y="{y}" fill="{color}">{escape(name)}{last}</text>')
    parts.append(f'<text x="{right}" y="{_HEIGHT - 12}" text-anchor="end">{end:g} steps</text>')
    return "".join(parts)


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue().encode()


def mean(values: Sequence[float]) -> Optional[float]:
    """Mean, or None of nothing."""
    return sum(values) / len(values) if values else None
