"""Records of a training run: every step and every epoch, written as CSV and as a chart."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from espnet_ros.reporting.charts import training_chart
from espnet_ros.training.files import write_atomically

_STEP_COLUMNS = ("stage", "step", "learning_rate", "loss", "gradient_norm")
_EPOCH_COLUMNS = ("stage", "epoch", "step", "seconds", "learning_rate", "loss")


@dataclass
class History:
    """Rows of a run, as plain values that fit into a snapshot.

    Attributes:
        steps: stage, step, learning rate, loss, gradient norm.
        epochs: stage, epoch, step, seconds, learning rate, mean loss, and mean IoU by measured source.
    """

    steps: List[List[float]] = field(default_factory=list)
    epochs: List[Dict[str, Any]] = field(default_factory=list)
    _undrawn: int = field(default=0, init=False, repr=False)  # rows of curves.csv; 0 once they are in curves.svg

    def losses_since(self, stage: int, step: int) -> List[float]:
        """Return the losses of a stage from ``step`` on, without those of skipped steps."""
        losses = []
        for row in reversed(self.steps):
            if row[0] != stage or row[1] < step:
                break
            if math.isfinite(row[3]):
                losses.append(row[3])
        return losses[::-1]

    def write(self, folder: Path) -> None:
        """Write steps.csv and curves.csv.

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
        self._undrawn = len(self.epochs)

    def draw(self, folder: Path) -> None:
        """Write curves.svg, the chart of curves.csv, if ``write`` was called since the last chart.

        Drawing takes longer than a short epoch, so it is done once, at the end of a run.

        Raises:
            DatasetError: the file cannot be written.
        """
        if self._undrawn:
            write_atomically(folder / "curves.svg", self._chart(self.epochs[: self._undrawn]).encode())
            self._undrawn = 0

    def _chart(self, epochs: Sequence[Dict[str, Any]]) -> str:
        """Return loss and mean IoU over the steps of all stages, as SVG."""
        lengths = {row["stage"]: row["step"] for row in epochs}  # the last epoch of a stage has its last step
        offsets = {stage: sum(lengths[before] for before in lengths if before < stage) for stage in lengths}
        places = [(offsets[row["stage"]] + row["step"], row) for row in epochs]
        losses = [(place, row["loss"]) for place, row in places if row["loss"] is not None]
        mean_ious = {
            name: [(place, row["mean_iou"][name]) for place, row in places if row["mean_iou"].get(name) is not None]
            for name in self._sources()
        }
        return training_chart(losses, mean_ious, sum(lengths.values()))

    def _sources(self) -> List[str]:
        return list(dict.fromkeys(name for row in self.epochs for name in row["mean_iou"]))


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue().encode()


def mean(values: Sequence[float]) -> Optional[float]:
    """Return the mean, or None without values."""
    return sum(values) / len(values) if values else None
