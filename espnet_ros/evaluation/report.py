"""Evaluation: runs a segmenter over labelled frames and reports the quality of its labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Union

from espnet_ros import __version__
from espnet_ros.classes import ClassTable
from espnet_ros.engines.base import Engine
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import MASK_IDS, Frame, FrameSource, check_label_ids, check_no_mask, present_ids
from espnet_ros.evaluation.losses import losses_of
from espnet_ros.evaluation.metrics import ConfusionMatrix
from espnet_ros.evaluation.sources import open_frames
from espnet_ros.reporting.tables import aligned_columns
from espnet_ros.segmenter import Segmenter

Progress = Callable[[Iterable[Frame]], Iterable[Frame]]
"""Wraps the frames of an evaluation, such as ``tqdm`` does, to show its progress."""


@dataclass(frozen=True)
class EvaluationReport:
    """Result of one evaluation.

    Attributes:
        mean_iou: mean of ``class_iou``, 0 to 1; None if no class occurs.
        class_iou: IoU by class name, without ignored classes; None for a class that does not occur.
        pixel_accuracy: share of correct labels where the true class is not ignored, 0 to 1; None without such pixels.
        images: number of frames.
        frames_per_second: frame rate of the segmenter alone, without reading the images.
        config: parameters of the engine, with ``auto`` and 0 replaced by the values that were used.
        weights_sha256: SHA-256 of the weights, lower-case hex.
        engine: its backend, device and precision, and the reason for the backend.
        version: version of espnet_ros.
        losses: what of a damaged bag could not be read, see ``Loss.as_dict``; empty if everything was read.
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
    losses: List[Dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> Dict[str, Any]:
        """Return the attributes by name, ready for JSON; ``losses`` only if there are any."""
        return {name: value for name, value in self.__dict__.items() if name != "losses" or value}


def evaluate(
    segmenter: Segmenter, source: Union[FrameSource, str, Path], progress: Optional[Progress] = None
) -> EvaluationReport:
    """Label every frame of a source and compare the result with its true labels.

    Args:
        segmenter: the segmenter to evaluate.
        source: frames with true labels, or a path for ``open_frames``: a folder of images with a folder ``labels`` next
            to it, or a bag with a topic of labels.
        progress: wraps the frames, to show progress.

    Raises:
        DatasetError: the source cannot be read, or has no labels, no frames, or labels outside the class table, or its
            labels are masks of 0 and 255.
        EngineError: the engine failed.
    """
    if isinstance(source, (str, Path)):
        source = open_frames(source)
    if not source.has_labels:
        raise DatasetError(f"{source.name}: an evaluation needs true labels, but there are none")
    table = segmenter.class_table
    _require_class_ids(source, table)
    matrix = confusion_matrix_for(table)
    images, seconds = 0, 0.0
    for frame in progress(source) if progress else source:
        if frame.labels is None:
            raise DatasetError(f"{source.name}, {frame.name}: an evaluation needs true labels, but there are none")
        check_label_ids(frame.labels, table, frame.labels_name or frame.name)
        segmentation = segmenter.segment(frame.image)
        matrix.add(segmentation.labels, frame.labels)
        seconds += segmentation.times.total
        images += 1
    if not images:
        raise DatasetError(f"{source.name}: must contain at least one frame, has none")
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
        losses=[loss.as_dict() for loss in losses_of(source)],
    )


def _require_class_ids(source: FrameSource, table: ClassTable) -> None:
    """Check that the labels are no masks; reads frames until a label other than 0 and 255 occurs, usually one."""
    present: Set[int] = set()
    name = source.name
    for frame in source:
        if frame.labels is None:
            return
        if not present and frame.labels_name:
            name = f"{source.name}, such as {frame.labels_name}"
        present.update(present_ids(frame.labels))
        if present - MASK_IDS:
            return
    check_no_mask(present, table, name)


def confusion_matrix_for(table: ClassTable) -> ConfusionMatrix:
    """Return an empty confusion matrix for a class table."""
    return ConfusionMatrix(len(table), [row.id for row in table.classes if row.ignore])


def class_iou_by_name(matrix: ConfusionMatrix, table: ClassTable) -> Dict[str, Optional[float]]:
    """Return the IoU by class name, without ignored classes; None for a class that does not occur."""
    values = matrix.class_iou()
    return {row.name: _number(values[row.id]) for row in table.classes if not row.ignore}


def resolved_config(engine: Engine) -> Dict[str, Any]:
    """Return an engine's parameters, with ``auto`` and 0 replaced by the values that were used."""
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
    """Return one line per class: its name and its IoU in percent."""
    return aligned_columns([(name, f"{_percent(value):>6}") for name, value in class_iou.items()], "lr")


def _percent(value: Optional[float]) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _number(value: float) -> Optional[float]:
    """Return None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)
