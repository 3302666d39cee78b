"""Keeps a board below its temperature limit by a ceiling on the power that the model predicts for an option."""

from __future__ import annotations

import math
from collections import deque
from typing import Deque, Optional, Tuple

from espnet_ros.governor.types import Observation, Tuning

_STEP = 0.92
"""Ceiling after a step, as a share of the current option's power in the model."""
_LARGE_STEP = 0.8
"""The same if the limit would be exceeded before the next step."""
_RELAX_FACTOR = 1.02 / _STEP
_THROTTLED_INTERVAL = 3.0
_RISING = 0.03
"""K/s. A sensor with steps of half a degree shows smaller slopes by chance within the window."""
_FALLING = -0.01
_LAST_KELVIN = 0.5
"""This close to the limit, the temperature must fall."""
_RELAPSE_TIME = 1200.0
"""Heat within this many seconds after the ceiling was relaxed counts as a failed relaxation."""
_BACKOFF_FACTOR = 4.0
_LONGEST_COOL_HOLD = 1800.0
_COOLER = 3.0
"""If the board is this many kelvin cooler than at a failed relaxation, retry without the longer wait."""


class ThermalGuard:
    """Lowers the ceiling when the board gets hot, and relaxes it once the board has stayed cool.

    Args:
        limit: degrees Celsius.
        tuning: margins and times.
    """

    def __init__(self, limit: float, tuning: Tuning) -> None:
        self.ceiling = math.inf
        """Highest power, in watts of the model, that an option may draw."""
        self.hot = False
        """Whether no option may draw more power than the current one."""
        self._limit = limit
        self._tuning = tuning
        self._temperatures: Deque[Tuple[float, float]] = deque()
        self._stepped_at = self._started_at = -math.inf
        self._cool_since: Optional[float] = None
        self._cool_hold = tuning.cool_hold
        self._relaxed: Optional[Tuple[float, float]] = None
        self._failed_at = -math.inf

    def set_limit(self, limit: float) -> None:
        """Change the limit. The ceiling stays until the board is cool by the new limit."""
        if limit != self._limit:
            self._limit, self._relaxed, self._cool_since = limit, None, None
            self._cool_hold = self._tuning.cool_hold

    def skip_gap(self) -> None:
        """Drop slopes and waiting times: there was a gap without observations."""
        self._temperatures.clear()
        self._cool_since, self._relaxed = None, None
        self._stepped_at = self._started_at = -math.inf

    def restart_slope(self, time: float) -> None:
        """Measure the slope from now on: the earlier one belongs to the previous option."""
        self._started_at = time
        while len(self._temperatures) > 1:
            self._temperatures.popleft()

    def observe(self, observation: Observation) -> None:
        """Record a temperature. Call for every observation, even if no decision follows."""
        if math.isnan(observation.temperature):
            return
        self.hot = observation.temperature >= self._limit - self._tuning.heat_margin
        self._temperatures.append((observation.time, observation.temperature))
        while self._temperatures[0][0] < observation.time - self._tuning.heat_horizon:
            self._temperatures.popleft()

    def update(self, observation: Observation, model_watts: float, may_step: bool, goal_missed: bool) -> Optional[str]:
        """Lower or relax the ceiling.

        Args:
            observation: the newest one, after ``observe``.
            model_watts: power of the current option in the model.
            may_step: whether a step down is allowed now; ignored while the board is throttling.
            goal_missed: whether the goal is missed; a cool board then relaxes the ceiling sooner.

        Returns:
            Why the ceiling was lowered; ``None`` if it was not.
        """
        reason = self._check_heat(observation)
        if reason is None:
            self._relax(observation, goal_missed)
            return None
        self._cool_since = None
        interval = _THROTTLED_INTERVAL if observation.throttled else self._tuning.heat_interval
        if observation.time - self._stepped_at < interval or not (may_step or observation.throttled):
            return None
        if self._relaxed and observation.time - self._relaxed[0] < _RELAPSE_TIME:
            self._cool_hold = min(_LONGEST_COOL_HOLD, _BACKOFF_FACTOR * self._cool_hold)
            self._failed_at = self._relaxed[1]
            self._relaxed = None
        self._stepped_at = observation.time
        self.ceiling = model_watts * (_LARGE_STEP if self._is_urgent(observation) else _STEP)
        self.restart_slope(observation.time)
        return reason

    def relax_condition(self) -> str:
        """Describe what has to happen before the ceiling is relaxed."""
        return f"{self._cool_hold:g} s below {self._limit - self._tuning.cool_margin:g} °C"

    def _check_heat(self, observation: Observation) -> Optional[str]:
        temperature, limit = observation.temperature, self._limit
        if observation.throttled:
            return "the board is throttling" + ("" if math.isnan(temperature) else f" at {temperature:.0f} °C")
        if math.isnan(temperature):
            return None
        slope, horizon = self._slope(), self._tuning.heat_horizon
        soon = temperature if math.isnan(slope) else temperature + slope * horizon
        if temperature >= limit:
            return f"{temperature:.1f} °C, limit {limit:g} °C" if soon >= limit else None
        if math.isnan(slope) and observation.time - self._started_at < self._tuning.heat_interval:
            return None
        if temperature >= limit - self._tuning.heat_margin:
            close = temperature >= limit - _LAST_KELVIN and not slope <= _FALLING
            return f"{temperature:.1f} °C, limit {limit:g} °C" if close or not slope < _RISING else None
        if temperature >= limit - self._tuning.cool_margin and soon >= limit:
            return f"{temperature:.1f} °C and rising, limit {limit:g} °C within {horizon:g} s"
        return None

    def _is_urgent(self, observation: Observation) -> bool:
        slope, temperature = self._slope(), observation.temperature
        close = temperature >= self._limit - self._tuning.heat_margin / 2
        return slope >= _RISING and (close or temperature + slope * self._tuning.heat_interval >= self._limit)

    def _slope(self) -> float:
        """Return the slope in K/s; NaN if the window is too short since the last step."""
        if len(self._temperatures) < 2:
            return math.nan
        (start, first), (end, last) = self._temperatures[0], self._temperatures[-1]
        # With sensor steps of half a degree, a slope over less than half the window would be mostly noise.
        return (last - first) / (end - start) if end - start >= self._tuning.heat_horizon / 2 else math.nan

    def _relax(self, observation: Observation, goal_missed: bool) -> None:
        # NaN compares as not cool: without a temperature the ceiling stays.
        time, temperature = observation.time, observation.temperature
        if math.isinf(self.ceiling) or not temperature <= self._limit - self._tuning.cool_margin:
            self._cool_since = None
            return
        if self._relaxed and time - self._relaxed[0] >= _RELAPSE_TIME:
            self._cool_hold = self._tuning.cool_hold
        if self._cool_since is None:
            self._cool_since = time
        if time - self._cool_since >= self._wait(temperature, goal_missed):
            self.ceiling = self.ceiling * _RELAX_FACTOR
            if self.ceiling > 1e3:
                self.ceiling = math.inf
            self._relaxed = (time, temperature)
            self._cool_since = time

    def _wait(self, temperature: float, goal_missed: bool) -> float:
        has_failed = self._cool_hold > self._tuning.cool_hold
        if has_failed and not temperature <= self._failed_at - _COOLER:
            return self._cool_hold / _BACKOFF_FACTOR if goal_missed else self._cool_hold
        return min(self._tuning.hold, self._tuning.cool_hold) if goal_missed else self._tuning.cool_hold
