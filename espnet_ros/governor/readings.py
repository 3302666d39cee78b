"""What the governor believes of an observation: what is impossible counts as unknown."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Deque, Optional

from espnet_ros.governor.types import UNKNOWN, Observation

_POSSIBLE = {
    "asked_rate": (0.0, 1e4),
    "answered_rate": (0.0, 1e4),
    "seconds": (1e-6, 1e4),
    "latency": (1e-6, 1e4),
    "watts": (1e-3, 1e5),
    "temperature": (-60.0, 250.0),
}
"""Least and most that is believed; what lies outside counts as unknown."""
_SHORTEST_PAUSE = 5.0
_RATES = 5
_NEW_RATE = 1.2
"""By this factor a rate differs from the mean before it where the camera's rate has changed."""


class Readings:
    """Cleans observations and notices what happens around them.

    Args:
        pause: seconds without an observation after which what was seen before says nothing about now.
    """

    def __init__(self, pause: float) -> None:
        self.paused = False
        """Whether time went back, or nothing was observed for longer than a pause, before the newest observation."""
        self.camera_changed = False
        """Whether the asked rate is another one than before."""
        self._pause = max(pause, _SHORTEST_PAUSE)
        self._time: Optional[float] = None
        self._asked: Deque[float] = deque(maxlen=_RATES)

    def take(self, observation: Observation) -> Observation:
        """The observation with what is impossible as unknown, and the asked rate as the mean of the newest few."""
        before, self._time = self._time, observation.time
        self.paused = before is not None and not 0 <= observation.time - before <= self._pause
        return replace(
            observation,
            asked_rate=self._smooth(_possible("asked_rate", observation.asked_rate)),
            answered_rate=_possible("answered_rate", observation.answered_rate),
            seconds=_possible("seconds", observation.seconds),
            latency=_possible("latency", observation.latency),
            watts=_possible("watts", observation.watts),
            temperature=_possible("temperature", observation.temperature),
        )

    def _smooth(self, asked: float) -> float:
        # A second holds 9, 10 or 11 images of a camera that gives 10.
        self.camera_changed = False
        if math.isnan(asked) or not self._asked:
            self._asked.clear()
        elif not self._mean() / _NEW_RATE <= asked <= self._mean() * _NEW_RATE:
            self.camera_changed = True
            self._asked.clear()
        if math.isnan(asked):
            return asked
        self._asked.append(asked)
        return self._mean()

    def _mean(self) -> float:
        return sum(self._asked) / len(self._asked)


def _possible(name: str, value: float) -> float:
    low, high = _POSSIBLE[name]
    return value if low <= value <= high else UNKNOWN
