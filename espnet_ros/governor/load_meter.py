"""What the images of the last second cost: what the governor is told about them."""

from __future__ import annotations

import math
import threading
from typing import List, NamedTuple, Tuple

import numpy as np


class Load(NamedTuple):
    """The time since the load was taken last. What is not known is NaN.

    Attributes:
        asked_rate: images a second that arrived.
        answered_rate: images a second that were answered.
        seconds: mean time for which an answered image kept the worker busy.
        latency: 95th percentile of the seconds from arrival to published labels.
    """

    asked_rate: float
    answered_rate: float
    seconds: float
    latency: float


class LoadMeter:
    """Adds up answers, from any thread, until they are taken.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._since = now
        self._received = 0
        self._answers: List[Tuple[float, float]] = []  # latency, busy

    def add(self, latency: float, busy: float) -> None:
        """An image was answered ``latency`` seconds after it arrived; the worker was busy with it for ``busy``."""
        with self._lock:
            self._answers.append((latency, busy))

    def take(self, now: float, received: int) -> Load:
        """The load since the last call.

        Args:
            now: seconds, on the clock of the constructor's.
            received: images that have arrived so far, since the meter was made.
        """
        with self._lock:
            answers, self._answers = self._answers, []
            seconds, self._since = now - self._since, now
            arrived, self._received = received - self._received, received
        if seconds <= 0:
            return Load(math.nan, math.nan, math.nan, math.nan)
        if not answers:
            return Load(arrived / seconds, 0.0, math.nan, math.nan)
        latencies, busy = np.array(answers).T
        return Load(arrived / seconds, len(answers) / seconds, float(busy.mean()), float(np.percentile(latencies, 95)))
