"""A simulated TX2 for the governor's tests. It deliberately differs from the governor's prediction.

The thermal constants are assumed; no board or heat sink was measured.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import FrozenSet, Mapping, Optional, Set, Tuple

from espnet_ros.governor import tx2_prediction
from espnet_ros.governor.types import Observation, Option

THROTTLE_TEMPERATURE = 95.5
"""Degrees Celsius: the recommended operating limit of NVIDIA's TX2 thermal design guide."""
_THERMAL_RESISTANCE = 9.0  # K/W, assumed
_TIME_CONSTANT = 150.0  # s, assumed
_THROTTLED_SPEED = 0.5  # assumed
_UNTHROTTLE_BELOW = 5.0  # K, assumed
_SWITCH_TIME = 0.5  # s, assumed: to an engine that is ready
_MODE_SWITCH_TIME = 2.0  # s, assumed
_CAMERA_RATE = 0.95
"""Reaching this share of the camera's rate counts as reaching it; the rate is not known more precisely."""


@dataclass(frozen=True)
class Deviation:
    """How the board differs from the prediction: factors and exponents, 1 for no difference."""

    frame_time: float = 1.0
    alpha: float = 1.0
    """Exponent of the ratio between two alphas."""
    watts: float = 1.0
    modes: Mapping[str, float] = field(default_factory=dict)
    """Factor on the frame time, by power mode."""
    mode_watts: Mapping[str, float] = field(default_factory=dict)
    """Factor on the network's watts, by power mode."""
    noise: float = 0.02
    """Relative standard deviation of a reading."""
    engine_build_time: float = 0.0
    """Seconds until an engine that has not run yet is ready; the previous option runs meanwhile."""


@dataclass
class Conditions:
    """External conditions."""

    camera_rate: float = 30.0
    """Frame rate of the camera in Hz; 0 while it is stopped."""
    contention: float = 0.0
    """Extra frame time caused by other programs; 0.5 for 50 % more."""
    other_watts: float = 0.0
    ambient: float = 30.0
    missing: FrozenSet[str] = frozenset()
    """Fields of the observation that are unknown."""
    stuck: FrozenSet[str] = frozenset()
    """Fields that keep their last value."""


class SimulatedTx2:
    """The board, simulated in steps of time.

    Args:
        option: the option that runs first.
        deviation: how the board differs from the prediction.
        seed: of the noise.
    """

    def __init__(self, option: Option, deviation: Optional[Deviation] = None, seed: int = 0) -> None:
        self.conditions = Conditions()
        self.temperature = 50.0
        self.throttled = False
        self.time = 0.0
        self._option = option
        self._next = option
        self._switch_at = 0.0
        self._deviation = deviation or Deviation()
        self._random = random.Random(seed)
        self._ready: Set[Tuple[int, Tuple[int, int]]] = {(option.alpha, option.size)}
        self._last: Optional[Observation] = None

    @property
    def option(self) -> Option:
        """The option in use."""
        return self._option

    def use(self, option: Option) -> None:
        """Start to switch to another option; another mode or an engine that has not run yet takes longer."""
        if option == self._next:
            return
        seconds = _SWITCH_TIME
        if option.mode != self._option.mode:
            seconds = max(seconds, _MODE_SWITCH_TIME)
        if (option.alpha, option.size) not in self._ready:
            seconds = max(seconds, self._deviation.engine_build_time)
        self._ready.add((option.alpha, option.size))
        self._next, self._switch_at = option, self.time + seconds

    def frame_time(self, option: Option) -> float:
        """Return the true seconds of inference per frame, without throttling."""
        mode = option.mode or tx2_prediction.BOOT_MODE
        largest = tx2_prediction.predict_frame_time(8, option.size, mode, "fp16")
        of_alpha = tx2_prediction.predict_frame_time(option.alpha, option.size, mode, "fp16") / largest
        alone = largest * math.pow(of_alpha, self._deviation.alpha) * self._deviation.frame_time
        alone *= self._deviation.modes.get(mode, 1.0)
        return alone * (1 + self.conditions.contention)

    def rate(self, option: Option) -> float:
        """Return the true frame rate in Hz, without throttling."""
        return min(self.conditions.camera_rate, option.max_rate, 1 / self.frame_time(option))

    def watts(self, option: Option) -> float:
        """Return the true watts of the board, without throttling."""
        mode = option.mode or tx2_prediction.BOOT_MODE
        network = self.rate(option) * self.frame_time(option) * tx2_prediction.predict_full_watts(mode)
        network *= self._deviation.mode_watts.get(mode, 1.0)
        return tx2_prediction.IDLE_WATTS + self.conditions.other_watts + network * self._deviation.watts

    def latency(self, option: Option) -> float:
        """Return the true 95th percentile of the latency, in seconds, without throttling.

        Assumed: 10 % above the mean, and a wait of half a frame time if the worker is always busy.
        """
        return 1.1 * self.frame_time(option) * (1.0 + 0.5 * self.rate(option) * self.frame_time(option))

    def settled_temperature(self, option: Option) -> float:
        """Return the final temperature in °C under the current conditions, without throttling."""
        return self.conditions.ambient + _THERMAL_RESISTANCE * self.watts(option)

    def step(self, seconds: float = 1.0) -> Observation:
        """Advance the time by ``seconds`` and return what a node would have measured meanwhile."""
        self.time += seconds
        option = self._option
        if self.time >= self._switch_at:
            self._option = self._next
        # The readings of this step still cover the previous option.
        slowed = 1 / _THROTTLED_SPEED if self.throttled else 1.0
        watts = self.watts(option)
        self._heat_up(watts / slowed, seconds)
        asked = self.conditions.camera_rate
        busy = self.frame_time(option) * slowed if asked > 0 else math.nan
        measured = Observation(
            time=self.time,
            input_rate=self._noisy(asked),
            output_rate=self._noisy(min(self.rate(option), 1 / busy)) if asked > 0 else 0.0,
            frame_time=self._noisy(busy),
            latency=self._noisy(self.latency(option) * slowed) if asked > 0 else math.nan,
            watts=self._noisy(watts),
            temperature=round(2 * self.temperature) / 2,
            throttled=self.throttled,
            switching=self.time < self._switch_at,
        )
        self._last = self._disturb(measured)
        return self._last

    def _heat_up(self, watts: float, seconds: float) -> None:
        target = self.conditions.ambient + _THERMAL_RESISTANCE * watts
        self.temperature += (target - self.temperature) * -math.expm1(-seconds / _TIME_CONSTANT)
        if self.temperature >= THROTTLE_TEMPERATURE:
            self.throttled = True
        elif self.temperature < THROTTLE_TEMPERATURE - _UNTHROTTLE_BELOW:
            self.throttled = False

    def _disturb(self, measured: Observation) -> Observation:
        conditions = self.conditions
        values = {name: getattr(self._last, name) for name in conditions.stuck} if self._last else {}
        values.update(dict.fromkeys(conditions.missing, math.nan))
        return replace(measured, **values)

    def meets_goal(self, kind: str, target: float, option: Option) -> bool:
        """Return whether an option truly meets a goal now; ``thermal``: at its final temperature."""
        if kind == "rate":
            return self.rate(option) >= min(target, _CAMERA_RATE * self.conditions.camera_rate) - 1e-9
        if kind == "power":
            return self.watts(option) <= target
        if kind == "latency":
            return self.conditions.camera_rate == 0 or self.latency(option) <= target
        return self.settled_temperature(option) <= target

    def meets_goal_now(self, kind: str, target: float) -> bool:
        """Return whether the current option meets the goal; while throttled, rate and latency count as missed."""
        if kind == "thermal":
            return self.temperature <= target
        return not self.throttled and self.meets_goal(kind, target, self._option)

    def _noisy(self, value: float) -> float:
        return value * max(0.5, self._random.gauss(1.0, self._deviation.noise))
