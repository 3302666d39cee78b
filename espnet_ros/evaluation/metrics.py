"""Intersection over union and pixel accuracy, from one confusion matrix over all images."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from espnet_ros.types import UNLABELLED


class ConfusionMatrix:
    """Counts of (true class, predicted label) over all images added so far.

    Every pixel with a true class counts, those of ignored classes too: "void" predicted as a car enlarges the union of
    the car, and a car predicted as void is a missed car. Ignored classes are only left out of the mean. This is the
    count by which the published CamVid weights have a mean IoU of 0.6868. Pixels whose truth is ``UNLABELLED`` are
    left out; a pixel predicted as ``UNLABELLED``, or as another label outside the table, is wrong.

    Args:
        num_classes: classes of the table; ids 0..num_classes - 1.
        ignored: ids of classes that are no classes ("void").
    """

    def __init__(self, num_classes: int, ignored: Sequence[int] = ()) -> None:
        self._num_classes = num_classes
        self._counted = np.ones(num_classes, bool)
        self._counted[list(ignored)] = False
        # One more column than rows: what was predicted outside the table.
        self._counts = np.zeros((num_classes, num_classes + 1), np.int64)

    @property
    def counts(self) -> np.ndarray:
        """(C, C + 1) int64 pixels by truth (row) and prediction (column; the last is "outside the table")."""
        return self._counts.copy()

    def add(self, labels: np.ndarray, truth: np.ndarray) -> None:
        """Count one image.

        Args:
            labels: (H, W) uint8 predicted labels.
            truth: (H, W) uint8 true class ids, or ``UNLABELLED``.

        Raises:
            ValueError: the shapes differ, or a true id is outside the table.
        """
        if labels.shape != truth.shape:
            raise ValueError(f"labels have shape {labels.shape}, truth has {truth.shape}")
        known = truth != UNLABELLED
        true_ids = truth[known].astype(np.intp)
        if true_ids.size and true_ids.max() >= self._num_classes:
            raise ValueError(f"truth must be 0..{self._num_classes - 1} or {UNLABELLED}, has {true_ids.max()}")
        columns = self._num_classes + 1
        predicted = np.minimum(labels[known].astype(np.intp), self._num_classes)
        pixels = np.bincount(true_ids * columns + predicted, minlength=self._counts.size)
        self._counts += pixels.reshape(self._counts.shape)

    def class_iou(self) -> np.ndarray:
        """(C,) float64 intersection over union by class id.

        NaN for ignored classes, and for classes that occur neither in the truth nor in the prediction.
        """
        inside = self._counts[:, :-1]
        intersection = np.diagonal(inside).astype(np.float64)
        union = self._counts.sum(axis=1) + inside.sum(axis=0) - intersection
        has_value = self._counted & (union > 0)
        return np.where(has_value, intersection / np.where(has_value, union, 1), np.nan)

    def mean_iou(self) -> float:
        """Mean of ``class_iou`` over the classes that have one; NaN where none has."""
        values = self.class_iou()
        values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else float("nan")

    def pixel_accuracy(self) -> float:
        """Share of right labels among the pixels whose true class is not ignored, 0..1; NaN without such pixels."""
        rows = self._counts[self._counted]
        right = int(np.diagonal(self._counts)[self._counted].sum())
        return right / int(rows.sum()) if rows.any() else float("nan")
