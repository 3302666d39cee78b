"""Measures frame rates, frame time and latency of the node between two decisions of the governor."""

from __future__ import annotations

import math
import threading
from typing import List, NamedTuple, Tuple

import numpy as np


class Throughput(NamedTuple):
    """Rates and times since the previous measurement. Unknown values are NaN.

    Attributes:
        input_rate: images received per second.
        output_rate: images labelled per second.
        frame_time: mean time that the worker spent on one labelled image, in seconds.
        latency: 95th percentile of the time from arrival to published labels, in seconds.
    """

    input_rate: float
    output_rate: float
    frame_time: float
    latency: float


class ThroughputMeter:
    """Collects labelled images, from any thread, until they are measured.

    Args:
        now: monotonic time in seconds.
    """

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._since = now
        self._received = 0
        self._answers: List[Tuple[float, float]] = []  # latency, busy

    def add(self, latency: float, busy: float) -> None:
        """Record an image labelled ``latency`` seconds after its arrival; the worker was busy with it for ``busy``."""
        with self._lock:
            self._answers.append((latency, busy))

    def measure(self, now: float, received: int) -> Throughput:
        """Return the throughput since the previous call, and start over.

        Args:
            now: seconds on the clock given to the constructor.
            received: images received since the meter was created.
        """
        with self._lock:
            answers, self._answers = self._answers, []
            seconds, self._since = now - self._since, now
            arrived, self._received = received - self._received, received
        if seconds <= 0:
            return Throughput(math.nan, math.nan, math.nan, math.nan)
        if not answers:
            return Throughput(arrived / seconds, 0.0, math.nan, math.nan)
        latencies, busy = np.array(answers).T
        percentile = float(np.percentile(latencies, 95))
        return Throughput(arrived / seconds, len(answers) / seconds, float(busy.mean()), percentile)
