"""Keeps a board below its throttling temperature by a ceiling on what the model says an option draws."""

from __future__ import annotations

import math
from collections import deque
from typing import Deque, Optional, Tuple

from espnet_ros.power.governor_types import Hysteresis, Observation

_STEP = 0.92
"""The ceiling after a step, as a share of what the present option draws by the model."""
_THROTTLED_SETTLE = 3.0
_COOLING = -0.02
"""Degrees a second below which the board counts as cooling down."""
_RELAPSE = 300.0
"""Seconds in which heat after a relaxation doubles the time to the next."""
_LONGEST_COOL_HOLD = 1800.0


class HeatGuard:
    """Small state: the ceiling, since when it is cool, and how often relaxing it failed."""

    def __init__(self, limit: float, hysteresis: Hysteresis) -> None:
        self.limit = limit
        self.ceiling = math.inf
        """Watts by the model that an option may draw."""
        self._hysteresis = hysteresis
        self._temperatures: Deque[Tuple[float, float]] = deque()
        self._stepped_at = -math.inf
        self._relaxed_at = -math.inf
        self._cool_since: Optional[float] = None
        self._cool_hold = hysteresis.cool_hold

    def observe(self, observation: Observation, model_watts: float) -> Optional[str]:
        """Take in an observation; lower or relax the ceiling.

        Args:
            observation: the newest.
            model_watts: what the present option draws by the model.

        Returns:
            The reason why the ceiling was lowered, ``None`` where it was not.
        """
        self._remember(observation)
        reason = self._too_hot(observation)
        if reason:
            self._cool_since = None
            settle = _THROTTLED_SETTLE if observation.throttled else self._hysteresis.heat_settle
            if observation.time - self._stepped_at < settle:
                return None
            if observation.time - self._relaxed_at < _RELAPSE:
                self._cool_hold = min(_LONGEST_COOL_HOLD, 2 * self._cool_hold)
                self._relaxed_at = -math.inf
            self._stepped_at = observation.time
            self.ceiling = model_watts * _STEP
            return reason
        self._cool_down(observation)
        return None

    def _remember(self, observation: Observation) -> None:
        if math.isnan(observation.temperature):
            return
        self._temperatures.append((observation.time, observation.temperature))
        while self._temperatures[0][0] < observation.time - self._hysteresis.heat_ahead:
            self._temperatures.popleft()

    def _too_hot(self, observation: Observation) -> Optional[str]:
        temperature, limit = observation.temperature, self.limit
        if observation.throttled:
            return f"the board throttles at {temperature:.0f} °C"
        slope = self._slope()
        if math.isnan(temperature) or slope < _COOLING:
            return None
        if temperature >= limit - self._hysteresis.heat_margin:
            return f"{temperature:.1f} °C, limit {limit:g} °C"
        ahead = self._hysteresis.heat_ahead
        if temperature >= limit - self._hysteresis.cool_margin and temperature + slope * ahead >= limit:
            return f"{temperature:.1f} °C and rising, {limit:g} °C within {ahead:g} s"
        return None

    def _slope(self) -> float:
        if len(self._temperatures) < 2:
            return 0.0
        (start, first), (end, last) = self._temperatures[0], self._temperatures[-1]
        # Sensors step by half a degree: a slope over less than half the window is mostly that.
        return (last - first) / (end - start) if end - start >= self._hysteresis.heat_ahead / 2 else 0.0

    def _cool_down(self, observation: Observation) -> None:
        # NaN compares as not cool: without a temperature the ceiling stays.
        if math.isinf(self.ceiling) or not observation.temperature <= self.limit - self._hysteresis.cool_margin:
            self._cool_since = None
            return
        if self._cool_since is None:
            self._cool_since = observation.time
        if observation.time - self._cool_since >= self._cool_hold:
            self.ceiling = self.ceiling / _STEP * 1.02
            if self.ceiling > 1e3:
                self.ceiling = math.inf
            self._relaxed_at = observation.time
            self._cool_since = observation.time
