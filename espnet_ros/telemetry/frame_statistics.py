"""How the last seconds of images went: rate, latency, and the energy that each image took."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Deque, List, Tuple

import numpy as np

DEFAULT_WINDOW = 10.0
"""Seconds that are looked back."""

_LONGEST_GAP = 3.0
"""Seconds between two power readings over which the power is still taken for known."""


@dataclass(frozen=True)
class FrameSummary:
    """How the images of the window went. What is not known is NaN.

    Attributes:
        frame_rate: answered images a second, over the whole window; 0 without any.
        latency_p50, latency_p95, latency_p99: seconds, with linear interpolation between neighbours.
        watts: mean power over the part of the window in which it is known.
        joules_per_frame: energy of that part over the images answered in it; NaN without an image. It is all the
            energy that was measured, that of other programs and of the idle device included.
        frames_per_joule: its inverse; 0 without an image.
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
    """Images and power of the last ``window`` seconds. Any thread may add and ask; stamps must not go back."""

    def __init__(self, start: float, window: float = DEFAULT_WINDOW) -> None:
        """Both in seconds. ``start`` is now, on the clock of all other stamps: ``time.monotonic``."""
        self._start = start
        self._window = window
        self._lock = threading.Lock()
        self._frames: Deque[Tuple[float, float]] = deque()  # when it was answered, latency
        self._dropped: Deque[Tuple[float, int]] = deque()
        self._readings: Deque[Tuple[float, float]] = deque()  # when, watts

    def add_frame(self, stamp: float, latency: float) -> None:
        """An image was answered at ``stamp``, ``latency`` seconds after it came."""
        with self._lock:
            self._frames.append((stamp, latency))
            self._forget(stamp)

    def add_dropped(self, stamp: float, count: int = 1) -> None:
        """So many images were dropped."""
        with self._lock:
            self._dropped.append((stamp, count))
            self._forget(stamp)

    def add_reading(self, stamp: float, watts: float) -> None:
        """The device drew so many watts; NaN where that is not known. A reading given twice counts once."""
        with self._lock:
            if not self._readings or stamp > self._readings[-1][0]:
                self._readings.append((stamp, watts))
                self._forget(stamp)

    def summary(self, now: float) -> FrameSummary:
        """What the window that ends ``now`` holds."""
        with self._lock:
            self._forget(now)
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

    def _forget(self, now: float) -> None:
        oldest = now - self._window
        for entries in (self._frames, self._dropped, self._readings):
            while entries and entries[0][0] <= oldest:  # type: ignore[index]
                entries.popleft()  # type: ignore[attr-defined]


def _integrate(readings: List[Tuple[float, float]], answered: List[float]) -> Tuple[float, float, int]:
    """Joules between readings by the trapezoid rule, the seconds that they cover, and the images answered in these.

    Nothing is known next to a reading without watts, nor where readings are far apart.
    """
    joules, seconds, frames = 0.0, 0.0, 0
    for (start, watts_then), (end, watts_now) in zip(readings, readings[1:]):
        if end - start > _LONGEST_GAP or not (math.isfinite(watts_then) and math.isfinite(watts_now)):
            continue
        joules += (watts_then + watts_now) / 2 * (end - start)
        seconds += end - start
        frames += bisect_right(answered, end) - bisect_right(answered, start)
    return joules, seconds, frames
