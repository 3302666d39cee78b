"""Cleans observations before the governor uses them: impossible values become unknown."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Deque, Optional

from espnet_ros.governor.types import UNKNOWN, Observation

_PLAUSIBLE = {
    "input_rate": (0.0, 1e4),
    "output_rate": (0.0, 1e4),
    "frame_time": (1e-6, 1e4),
    "latency": (1e-6, 1e4),
    "watts": (1e-3, 1e5),
    "temperature": (-60.0, 250.0),
}
"""Smallest and largest plausible value of each field; anything else counts as unknown."""
_SHORTEST_GAP = 5.0
_AVERAGED_RATES = 5
_RATE_JUMP = 1.2
"""The camera's rate has changed if it differs from its mean by this factor."""


class ObservationFilter:
    """Cleans observations, and detects gaps in time and changes of the camera's rate.

    Args:
        gap: seconds without an observation after which earlier observations no longer apply; at least 5 s are used.
    """

    def __init__(self, gap: float) -> None:
        self.after_gap = False
        """Whether there was a gap, or time went back, before the newest observation."""
        self.camera_changed = False
        """Whether the camera's rate has changed."""
        self._gap = max(gap, _SHORTEST_GAP)
        self._time: Optional[float] = None
        self._input_rates: Deque[float] = deque(maxlen=_AVERAGED_RATES)

    def apply(self, observation: Observation) -> Observation:
        """Return the observation with impossible values as unknown and the mean input rate of the newest few."""
        previous, self._time = self._time, observation.time
        self.after_gap = previous is not None and not 0 <= observation.time - previous <= self._gap
        return replace(
            observation,
            input_rate=self._smooth(_plausible("input_rate", observation.input_rate)),
            output_rate=_plausible("output_rate", observation.output_rate),
            frame_time=_plausible("frame_time", observation.frame_time),
            latency=_plausible("latency", observation.latency),
            watts=_plausible("watts", observation.watts),
            temperature=_plausible("temperature", observation.temperature),
        )

    def _smooth(self, rate: float) -> float:
        # One second may contain 9, 10 or 11 images of a 10 Hz camera.
        self.camera_changed = False
        if math.isnan(rate) or not self._input_rates:
            self._input_rates.clear()
        elif not self._mean() / _RATE_JUMP <= rate <= self._mean() * _RATE_JUMP:
            self.camera_changed = True
            self._input_rates.clear()
        if math.isnan(rate):
            return rate
        self._input_rates.append(rate)
        return self._mean()

    def _mean(self) -> float:
        return sum(self._input_rates) / len(self._input_rates)


def _plausible(name: str, value: float) -> float:
    low, high = _PLAUSIBLE[name]
    return value if low <= value <= high else UNKNOWN
