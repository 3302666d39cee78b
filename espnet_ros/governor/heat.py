"""Keeps a board below its limit by a ceiling on what the model says an option draws."""

from __future__ import annotations

import math
from collections import deque
from typing import Deque, Optional, Tuple

from espnet_ros.governor.types import Hysteresis, Observation

_STEP = 0.92
"""The ceiling after a step, as a share of what the present option draws by the model."""
_LARGE_STEP = 0.8
"""The same where the limit would be passed before the next step."""
_RELAXED = 1.02 / _STEP
_THROTTLED_SETTLE = 3.0
_RISING = 0.03
"""Degrees a second; a sensor that steps by half a degree shows less by chance within the window."""
_FALLING = -0.01
_LAST_DEGREES = 0.5
"""So near the limit the temperature must fall."""
_RELAPSE = 1200.0
"""Seconds in which heat after a relaxation counts as its failure."""
_BACK_OFF = 4.0
_LONGEST_COOL_HOLD = 1800.0
_COOLER = 3.0
"""Degrees that make a failed relaxation worth another try without the longer wait."""


class HeatGuard:
    """Small state: the ceiling, since when it is cool, and at which temperature relaxing it failed."""

    def __init__(self, limit: float, hysteresis: Hysteresis) -> None:
        self.ceiling = math.inf
        """Watts by the model that an option may draw."""
        self.hot = False
        """Whether nothing may draw more than what runs."""
        self._limit = limit
        self._hysteresis = hysteresis
        self._temperatures: Deque[Tuple[float, float]] = deque()
        self._stepped_at = self._started_at = -math.inf
        self._cool_since: Optional[float] = None
        self._cool_hold = hysteresis.cool_hold
        self._relaxed: Optional[Tuple[float, float]] = None
        self._failed_at = -math.inf

    def set_limit(self, limit: float) -> None:
        """Keep below another temperature. The ceiling stays until the board is cool by the new limit."""
        if limit != self._limit:
            self._limit, self._relaxed, self._cool_since = limit, None, None
            self._cool_hold = self._hysteresis.cool_hold

    def pause(self) -> None:
        """Time has passed unseen: no slope and no waiting reaches across it."""
        self._temperatures.clear()
        self._cool_since, self._relaxed = None, None
        self._stepped_at = self._started_at = -math.inf

    def start(self, time: float) -> None:
        """Another option runs from now on: the slope so far was not its own."""
        self._started_at = time
        while len(self._temperatures) > 1:
            self._temperatures.popleft()

    def see(self, observation: Observation) -> None:
        """Remember a temperature, also of a second in which nothing is decided."""
        if math.isnan(observation.temperature):
            return
        self.hot = observation.temperature >= self._limit - self._hysteresis.heat_margin
        self._temperatures.append((observation.time, observation.temperature))
        while self._temperatures[0][0] < observation.time - self._hysteresis.heat_ahead:
            self._temperatures.popleft()

    def judge(self, observation: Observation, model_watts: float, may_step: bool, broken: bool) -> Optional[str]:
        """Lower or relax the ceiling by an observation that was seen.

        Args:
            observation: the newest.
            model_watts: what the present option draws by the model.
            may_step: whether a step down may come now; where the board throttles, it does not matter.
            broken: whether the promise waits for the ceiling: a board that is cool relaxes it sooner.

        Returns:
            The reason why the ceiling was lowered, ``None`` where it was not.
        """
        reason = self._too_hot(observation)
        if reason is None:
            self._cool_down(observation, broken)
            return None
        self._cool_since = None
        settle = _THROTTLED_SETTLE if observation.throttled else self._hysteresis.heat_settle
        if observation.time - self._stepped_at < settle or not (may_step or observation.throttled):
            return None
        if self._relaxed and observation.time - self._relaxed[0] < _RELAPSE:
            self._cool_hold = min(_LONGEST_COOL_HOLD, _BACK_OFF * self._cool_hold)
            self._failed_at = self._relaxed[1]
            self._relaxed = None
        self._stepped_at = observation.time
        self.ceiling = model_watts * (_LARGE_STEP if self._is_urgent(observation) else _STEP)
        self.start(observation.time)
        return reason

    def waiting(self) -> str:
        """What has to happen before heat allows more."""
        return f"after {self._cool_hold:g} s below {self._limit - self._hysteresis.cool_margin:g} °C"

    def _too_hot(self, observation: Observation) -> Optional[str]:
        temperature, limit = observation.temperature, self._limit
        if observation.throttled:
            return "the board throttles" + ("" if math.isnan(temperature) else f" at {temperature:.0f} °C")
        if math.isnan(temperature):
            return None
        slope, ahead = self._slope(), self._hysteresis.heat_ahead
        soon = temperature if math.isnan(slope) else temperature + slope * ahead
        if temperature >= limit:
            return f"{temperature:.1f} °C, limit {limit:g} °C" if soon >= limit else None
        if math.isnan(slope) and observation.time - self._started_at < self._hysteresis.heat_settle:
            return None
        if temperature >= limit - self._hysteresis.heat_margin:
            close = temperature >= limit - _LAST_DEGREES and not slope <= _FALLING
            return f"{temperature:.1f} °C, limit {limit:g} °C" if close or not slope < _RISING else None
        if temperature >= limit - self._hysteresis.cool_margin and soon >= limit:
            return f"{temperature:.1f} °C and rising, {limit:g} °C within {ahead:g} s"
        return None

    def _is_urgent(self, observation: Observation) -> bool:
        slope, temperature = self._slope(), observation.temperature
        close = temperature >= self._limit - self._hysteresis.heat_margin / 2
        return slope >= _RISING and (close or temperature + slope * self._hysteresis.heat_settle >= self._limit)

    def _slope(self) -> float:
        """Degrees a second; NaN where too little was seen since the last step."""
        if len(self._temperatures) < 2:
            return math.nan
        (start, first), (end, last) = self._temperatures[0], self._temperatures[-1]
        # Sensors step by half a degree: a slope over less than half the window is mostly that.
        return (last - first) / (end - start) if end - start >= self._hysteresis.heat_ahead / 2 else math.nan

    def _cool_down(self, observation: Observation, broken: bool) -> None:
        # NaN compares as not cool: without a temperature the ceiling stays.
        time, temperature = observation.time, observation.temperature
        if math.isinf(self.ceiling) or not temperature <= self._limit - self._hysteresis.cool_margin:
            self._cool_since = None
            return
        if self._relaxed and time - self._relaxed[0] >= _RELAPSE:
            self._cool_hold = self._hysteresis.cool_hold
        if self._cool_since is None:
            self._cool_since = time
        if time - self._cool_since >= self._wait(temperature, broken):
            self.ceiling = self.ceiling * _RELAXED
            if self.ceiling > 1e3:
                self.ceiling = math.inf
            self._relaxed = (time, temperature)
            self._cool_since = time

    def _wait(self, temperature: float, broken: bool) -> float:
        has_failed = self._cool_hold > self._hysteresis.cool_hold
        if has_failed and not temperature <= self._failed_at - _COOLER:
            return self._cool_hold / _BACK_OFF if broken else self._cool_hold
        return min(self._hysteresis.hold, self._hysteresis.cool_hold) if broken else self._hysteresis.cool_hold
