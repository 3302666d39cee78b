"""Intersection over union and pixel accuracy, from one confusion matrix over all images."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from espnet_ros.types import UNLABELLED


class ConfusionMatrix:
    """Pixel counts by true class and predicted label, over all images added so far.

    Pixels of ignored classes count too: void predicted as car enlarges the union of car, and car predicted as void is
    a missed car. Ignored classes are only excluded from the mean. With this count the published CamVid weights have a
    mean IoU of 0.6868. Pixels whose true label is ``UNLABELLED`` are excluded. A prediction of ``UNLABELLED``, or of
    any other label outside the table, counts as wrong.

    Args:
        num_classes: number of classes; their ids are 0..num_classes - 1.
        ignored: ids of classes that are excluded from the mean, such as "void".
    """

    def __init__(self, num_classes: int, ignored: Sequence[int] = ()) -> None:
        self._num_classes = num_classes
        self._counted = np.ones(num_classes, bool)
        self._counted[list(ignored)] = False
        # The last column counts predictions outside the table.
        self._counts = np.zeros((num_classes, num_classes + 1), np.int64)

    @property
    def counts(self) -> np.ndarray:
        """(C, C + 1) int64 pixel counts by true class (row) and prediction (column; the last: outside the table)."""
        return self._counts.copy()

    def add(self, labels: np.ndarray, truth: np.ndarray) -> None:
        """Add one image.

        Args:
            labels: (H, W) uint8 predicted labels.
            truth: (H, W) uint8 true class ids, or ``UNLABELLED``.

        Raises:
            ValueError: the shapes differ, or a true class id is outside the table.
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
        """Return the (C,) float64 intersection over union of each class.

        NaN for ignored classes, and for classes that occur neither in the true nor in the predicted labels.
        """
        inside = self._counts[:, :-1]
        intersection = np.diagonal(inside).astype(np.float64)
        union = self._counts.sum(axis=1) + inside.sum(axis=0) - intersection
        has_value = self._counted & (union > 0)
        return np.where(has_value, intersection / np.where(has_value, union, 1), np.nan)

    def mean_iou(self) -> float:
        """Return the mean of ``class_iou`` over the classes that have a value; NaN if none has."""
        values = self.class_iou()
        values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else float("nan")

    def pixel_accuracy(self) -> float:
        """Return the share of correct labels, 0 to 1, among pixels whose true class is not ignored; NaN without any."""
        rows = self._counts[self._counted]
        right = int(np.diagonal(self._counts)[self._counted].sum())
        return right / int(rows.sum()) if rows.any() else float("nan")
