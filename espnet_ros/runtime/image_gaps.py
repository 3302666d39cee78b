"""Finds out from the stamps of the images that arrive how many did not."""

from __future__ import annotations

from collections import deque
from typing import Deque

import numpy as np

KEPT = 100
"""Number of images over which missing ones are counted."""

_MIN_INTERVALS = 30
_TOLERANCE = 0.2  # share of the period; beyond it, an interval is no multiple of the period
_REGULAR_SHARE = 0.9  # of the intervals that must be multiples of the period
_REFINED_OVER = 4  # periods: an error of the first estimate would not matter over so few
_LONGEST_GAP = 20  # periods; longer ones are pauses of the camera
_MIN_GAPS = 3
_LONGEST_PATTERN = 6  # images


class ImageGaps:
    """Counts the images missing between those that arrived, by their stamps.

    Only a regular camera can be judged: nearly all intervals must be multiples of one period. A gap is a multiple above
    1 with single periods before and after it, so that neither a pause nor a change of the rate counts. A short pattern
    that repeats is no loss either: a throttled topic skips every third image, for example.
    """

    def __init__(self) -> None:
        self._stamps: Deque[int] = deque(maxlen=KEPT)

    def add(self, stamp: int) -> None:
        """Add an arrived image by its stamp in ns. An older stamp starts again; an equal one is ignored."""
        if self._stamps and stamp < self._stamps[-1]:
            self._stamps.clear()
        if not self._stamps or stamp > self._stamps[-1]:
            self._stamps.append(stamp)

    def missing_share(self) -> float:
        """Return the share of the camera's images that did not arrive, from 0 to 1; 0 if it cannot be told."""
        stamps = list(self._stamps)  # the list is a snapshot: images arrive in another thread
        intervals = np.diff(np.array(stamps, np.int64))
        if len(intervals) < _MIN_INTERVALS:
            return 0.0
        for percentile in (2, 10, 25):  # the shorter the period, the more images are missing
            shortest = np.percentile(intervals, percentile)
            period = np.median(intervals[(intervals > 0.75 * shortest) & (intervals < 1.33 * shortest)])
            few = np.rint(intervals / period) <= _REFINED_OVER
            period = intervals[few].sum() / np.rint(intervals[few] / period).sum()
            multiples = np.rint(intervals / period)
            is_regular = (np.abs(intervals / period - multiples) <= _TOLERANCE) & (multiples >= 1)
            if is_regular.mean() >= _REGULAR_SHARE:
                return _missing_share(multiples[is_regular])
        return 0.0


def _missing_share(multiples: np.ndarray) -> float:
    multiples = np.where(multiples > _LONGEST_GAP, 1, multiples)
    single = np.flatnonzero(multiples == 1)
    multiples = multiples[single[0] : single[-1] + 1] if len(single) else multiples[:0]
    is_gap = multiples > 1
    num_gaps = int(np.count_nonzero(is_gap[1:] & ~is_gap[:-1]))
    if num_gaps < _MIN_GAPS or _is_pattern(multiples):
        return 0.0
    return float(1 - len(multiples) / multiples.sum())


def _is_pattern(multiples: np.ndarray) -> bool:
    lengths = range(1, _LONGEST_PATTERN + 1)
    return any(np.mean(multiples[length:] == multiples[:-length]) > _REGULAR_SHARE for length in lengths)
