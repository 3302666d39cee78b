"""Statistics of the images of the last seconds: frame rate, latency and energy per frame."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Deque, List, Tuple

import numpy as np

DEFAULT_WINDOW = 10.0
"""Length of the window in seconds."""

_LONGEST_GAP = 3.0
"""Longest time between two power readings, in seconds, over which the power counts as known."""


@dataclass(frozen=True)
class FrameSummary:
    """Statistics of one window. Unknown values are NaN.

    Attributes:
        frame_rate: images labelled per second, over the whole window; 0 without images.
        latency_p50, latency_p95, latency_p99: percentiles in seconds, linearly interpolated.
        watts: mean power over the part of the window in which it is known.
        joules_per_frame: energy of that part divided by the images labelled in it; NaN without images. It includes
            the energy of the idle device and of other programs.
        frames_per_joule: the inverse; 0 without images.
        dropped: images dropped in the window.
    """

    frame_rate: float
    latency_p50: float
    latency_p95: float
    latency_p99: float
    watts: float
    joules_per_frame: float
    frames_per_joule: float
    dropped: int


class FrameStatistics:
    """Collects images and power readings of the last ``window`` seconds. Thread-safe. Stamps must not go back."""

    def __init__(self, start: float, window: float = DEFAULT_WINDOW) -> None:
        """Create empty statistics.

        Args:
            start: current time in seconds; all stamps use the same clock, ``time.monotonic``.
            window: length of the window in seconds.
        """
        self._start = start
        self._window = window
        self._lock = threading.Lock()
        self._frames: Deque[Tuple[float, float]] = deque()  # stamp, latency
        self._dropped: Deque[Tuple[float, int]] = deque()
        self._readings: Deque[Tuple[float, float]] = deque()  # stamp, watts

    def add_frame(self, stamp: float, latency: float) -> None:
        """Record an image labelled at ``stamp``, ``latency`` seconds after its arrival."""
        with self._lock:
            self._frames.append((stamp, latency))
            self._drop_old(stamp)

    def add_dropped(self, stamp: float, count: int = 1) -> None:
        """Record ``count`` dropped images."""
        with self._lock:
            self._dropped.append((stamp, count))
            self._drop_old(stamp)

    def add_reading(self, stamp: float, watts: float) -> None:
        """Record a power reading; NaN if unknown. Readings with an old stamp are ignored."""
        with self._lock:
            if not self._readings or stamp > self._readings[-1][0]:
                self._readings.append((stamp, watts))
                self._drop_old(stamp)

    def summary(self, now: float) -> FrameSummary:
        """Return the statistics of the window that ends at ``now``."""
        with self._lock:
            self._drop_old(now)
            frames, readings = list(self._frames), list(self._readings)
            dropped = sum(count for _, count in self._dropped)
        seconds = min(self._window, now - self._start)
        latencies = [latency for _, latency in frames]
        p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) if latencies else (math.nan,) * 3
        joules, known_seconds, known_frames = _integrate(readings, [stamp for stamp, _ in frames])
        return FrameSummary(
            frame_rate=len(frames) / seconds if seconds > 0 else 0.0,
            latency_p50=float(p50),
            latency_p95=float(p95),
            latency_p99=float(p99),
            watts=joules / known_seconds if known_seconds else math.nan,
            joules_per_frame=joules / known_frames if known_frames else math.nan,
            frames_per_joule=known_frames / joules if joules else math.nan,
            dropped=dropped,
        )

    def _drop_old(self, now: float) -> None:
        oldest = now - self._window
        for entries in (self._frames, self._dropped, self._readings):
            while entries and entries[0][0] <= oldest:  # type: ignore[index]
                entries.popleft()  # type: ignore[attr-defined]


def _integrate(readings: List[Tuple[float, float]], frame_stamps: List[float]) -> Tuple[float, float, int]:
    """Integrate the power by the trapezoid rule; return joules, the seconds covered, and the images in them.

    Intervals next to an unknown reading, and intervals longer than ``_LONGEST_GAP``, are left out.
    """
    joules, seconds, frames = 0.0, 0.0, 0
    for (start, watts_then), (end, watts_now) in zip(readings, readings[1:]):
        if end - start > _LONGEST_GAP or not (math.isfinite(watts_then) and math.isfinite(watts_now)):
            continue
        joules += (watts_then + watts_now) / 2 * (end - start)
        seconds += end - start
        frames += bisect_right(frame_stamps, end) - bisect_right(frame_stamps, start)
    return joules, seconds, frames
