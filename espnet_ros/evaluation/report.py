"""Runs an engine over labelled frames and says how good its labels are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional

from espnet_ros import __version__
from espnet_ros.classes import ClassTable
from espnet_ros.engines.base import Engine
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import Frame, FrameSource, check_label_ids
from espnet_ros.evaluation.metrics import ConfusionMatrix
from espnet_ros.segmenter import Segmenter

Progress = Callable[[Iterable[Frame]], Iterable[Frame]]
"""Wraps the frames of a run, to show how far it is."""


@dataclass(frozen=True)
class EvaluationReport:
    """Result of one evaluation.

    Attributes:
        mean_iou: mean of ``class_iou``; None where no class occurs.
        class_iou: by class name, without ignored classes; None for a class that occurs nowhere.
        pixel_accuracy: share of right labels where the true class is not void, 0..1; None without such pixels.
        images: number of frames.
        frames_per_second: images through the segmenter per second of its own time, reading excluded.
        config: what was evaluated, as resolved: never "auto", never 0.
        weights_sha256: of the weights, lower-case hex.
        engine: backend, device, precision, and the reason for the backend.
        version: of espnet_ros.
    """

    mean_iou: Optional[float]
    class_iou: Dict[str, Optional[float]]
    pixel_accuracy: Optional[float]
    images: int
    frames_per_second: float
    config: Dict[str, Any]
    weights_sha256: str
    engine: Dict[str, str]
    version: str

    def as_dict(self) -> Dict[str, Any]:
        """Attribute name to value, ready for JSON."""
        return dict(self.__dict__)


def evaluate(segmenter: Segmenter, source: FrameSource, progress: Optional[Progress] = None) -> EvaluationReport:
    """Label every frame of a source and compare with its true labels.

    Raises:
        DatasetError: the source has no labels, no frames, or labels outside the class table.
        EngineError: the engine failed.
    """
    if not source.has_labels:
        raise DatasetError(f"{source.name}: an evaluation needs true labels, there are none")
    table = segmenter.engine.spec.class_table
    matrix = confusion_matrix_for(table)
    images, seconds = 0, 0.0
    for frame in progress(source) if progress else source:
        if frame.labels is None:
            raise DatasetError(f"{source.name}, {frame.name}: an evaluation needs true labels, there are none")
        check_label_ids(frame.labels, table, frame.name)
        segmentation = segmenter.segment(frame.image)
        matrix.add(segmentation.labels, frame.labels)
        seconds += segmentation.times.total
        images += 1
    if not images:
        raise DatasetError(f"{source.name}: must hold at least one frame, holds none")
    engine = segmenter.engine
    return EvaluationReport(
        mean_iou=_number(matrix.mean_iou()),
        class_iou=class_iou_by_name(matrix, table),
        pixel_accuracy=_number(matrix.pixel_accuracy()),
        images=images,
        frames_per_second=images / seconds,
        config=resolved_config(engine),
        weights_sha256=engine.spec.checkpoint.sha256,
        engine={
            "backend": engine.backend,
            "device": engine.device,
            "precision": engine.precision,
            "reason": engine.reason,
        },
        version=__version__,
    )


def confusion_matrix_for(table: ClassTable) -> ConfusionMatrix:
    """An empty matrix for a class table, with its ignored classes."""
    return ConfusionMatrix(len(table), [row.id for row in table.classes if row.ignore])


def class_iou_by_name(matrix: ConfusionMatrix, table: ClassTable) -> Dict[str, Optional[float]]:
    """Class name to IoU, without ignored classes; None for a class that occurs nowhere."""
    values = matrix.class_iou()
    return {row.name: _number(values[row.id]) for row in table.classes if not row.ignore}


def resolved_config(engine: Engine) -> Dict[str, Any]:
    """The parameters that an engine was built from, each with the value that it had in the end."""
    spec = engine.spec
    return {
        "network": spec.checkpoint.network,
        "alpha": spec.checkpoint.alpha,
        "weights": spec.checkpoint.name,
        "classes": spec.class_table.name,
        "backend": engine.backend,
        "precision": engine.precision,
        "input_height": spec.input_size.height,
        "input_width": spec.input_size.width,
        "threads": spec.threads,
    }


def format_class_iou(class_iou: Dict[str, Optional[float]]) -> List[str]:
    """One line of text a class: name and IoU in percent."""
    width = max(len(name) for name in class_iou)
    return [f"{name:<{width}}  {_percent(value):>6}" for name, value in class_iou.items()]


def _percent(value: Optional[float]) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _number(value: float) -> Optional[float]:
    """JSON has no NaN."""
    return None if math.isnan(value) else float(value)
