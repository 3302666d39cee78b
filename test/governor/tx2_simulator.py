"""A simulated TX2 that the governor's tests drive. Its board differs from the prediction on purpose.

The thermal constants are assumed: they belong to no measured board or heat sink.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import FrozenSet, Mapping, Optional, Set, Tuple

from espnet_ros.governor import tx2
from espnet_ros.governor.types import Observation, Option

THROTTLE_TEMPERATURE = 95.5
"""Degrees Celsius: the recommended operating limit of NVIDIA's TX2 thermal design guide."""
_THERMAL_RESISTANCE = 9.0  # K/W, assumed
_TIME_CONSTANT = 150.0  # s, assumed
_THROTTLED_SPEED = 0.5  # assumed
_UNTHROTTLE_BELOW = 5.0  # K, assumed
_READY_SECONDS = 0.5  # assumed: another engine that is ready
_MODE_SECONDS = 2.0  # assumed: another power mode
_CAMERA_RATE = 0.95
"""So much of what the camera gives counts as all of it: nobody knows its rate better."""


@dataclass(frozen=True)
class Misfit:
    """How the true board differs from the prediction; 1 is no difference."""

    seconds: float = 1.0
    alpha: float = 1.0
    """Exponent on what another alpha costs."""
    watts: float = 1.0
    modes: Mapping[str, float] = field(default_factory=dict)
    """Factor on the seconds of a power mode."""
    mode_watts: Mapping[str, float] = field(default_factory=dict)
    """Factor on the network's watts in a power mode."""
    noise: float = 0.02
    """Standard deviation of a reading, as a share of it."""
    engine_seconds: float = 0.0
    """Seconds until an engine that never ran is ready; what ran before goes on meanwhile."""


@dataclass
class Conditions:
    """What changes from outside."""

    asked_rate: float = 30.0
    """Images a second of the camera; 0 where it has stopped."""
    contention: float = 0.0
    """0.5: another program makes each frame take half as long again."""
    other_watts: float = 0.0
    ambient: float = 30.0
    unread: FrozenSet[str] = frozenset()
    """Fields of the observation that cannot be read."""
    stuck: FrozenSet[str] = frozenset()
    """Fields that stay at their last value."""


class SimulatedTx2:
    """The board at one option, a step at a time.

    Args:
        option: what runs at first.
        misfit: how the board differs from the prediction.
        seed: of the noise.
    """

    def __init__(self, option: Option, misfit: Optional[Misfit] = None, seed: int = 0) -> None:
        self.conditions = Conditions()
        self.temperature = 50.0
        self.throttled = False
        self.time = 0.0
        self._option = option
        self._next = option
        self._switch_at = 0.0
        self._misfit = misfit or Misfit()
        self._random = random.Random(seed)
        self._ready: Set[Tuple[int, Tuple[int, int]]] = {(option.alpha, option.size)}
        self._last: Optional[Observation] = None

    @property
    def option(self) -> Option:
        """What is in use."""
        return self._option

    def use(self, option: Option) -> None:
        """Switch to another option. It takes a moment, longer for another mode and for an engine that never ran."""
        if option == self._next:
            return
        seconds = _READY_SECONDS
        if option.mode != self._option.mode:
            seconds = max(seconds, _MODE_SECONDS)
        if (option.alpha, option.size) not in self._ready:
            seconds = max(seconds, self._misfit.engine_seconds)
        self._ready.add((option.alpha, option.size))
        self._next, self._switch_at = option, self.time + seconds

    def seconds(self, option: Option) -> float:
        """True seconds of inference a frame, throttling aside."""
        mode = option.mode or tx2.BOOT_MODE
        largest = tx2.predict_seconds(8, option.size, mode, "fp16")
        of_alpha = tx2.predict_seconds(option.alpha, option.size, mode, "fp16") / largest
        alone = largest * math.pow(of_alpha, self._misfit.alpha) * self._misfit.seconds
        alone *= self._misfit.modes.get(mode, 1.0)
        return alone * (1 + self.conditions.contention)

    def rate(self, option: Option) -> float:
        """True frames a second, throttling aside."""
        return min(self.conditions.asked_rate, option.max_rate, 1 / self.seconds(option))

    def watts(self, option: Option) -> float:
        """True watts of the board, throttling aside."""
        mode = option.mode or tx2.BOOT_MODE
        network = self.rate(option) * self.seconds(option) * tx2.predict_full_watts(mode)
        network *= self._misfit.mode_watts.get(mode, 1.0)
        return tx2.IDLE_WATTS + self.conditions.other_watts + network * self._misfit.watts

    def latency(self, option: Option) -> float:
        """True 95th percentile of the latency. Assumed: 10 % above the mean, half a frame waited where always busy."""
        return 1.1 * self.seconds(option) * (1.0 + 0.5 * self.rate(option) * self.seconds(option))

    def settled_temperature(self, option: Option) -> float:
        """Degrees that the board would reach with an option under the present conditions, throttling aside."""
        return self.conditions.ambient + _THERMAL_RESISTANCE * self.watts(option)

    def step(self, seconds: float = 1.0) -> Observation:
        """Let time pass; what a node would have measured in it."""
        self.time += seconds
        option = self._option
        if self.time >= self._switch_at:
            self._option = self._next
        # The window of the readings still covers what ran before.
        slowed = 1 / _THROTTLED_SPEED if self.throttled else 1.0
        watts = self.watts(option)
        self._heat_up(watts / slowed, seconds)
        asked = self.conditions.asked_rate
        busy = self.seconds(option) * slowed if asked > 0 else math.nan
        measured = Observation(
            time=self.time,
            asked_rate=self._noisy(asked),
            answered_rate=self._noisy(min(self.rate(option), 1 / busy)) if asked > 0 else 0.0,
            seconds=self._noisy(busy),
            latency=self._noisy(self.latency(option) * slowed) if asked > 0 else math.nan,
            watts=self._noisy(watts),
            temperature=round(2 * self.temperature) / 2,
            throttled=self.throttled,
            switching=self.time < self._switch_at,
        )
        self._last = self._spoilt(measured)
        return self._last

    def _heat_up(self, watts: float, seconds: float) -> None:
        target = self.conditions.ambient + _THERMAL_RESISTANCE * watts
        self.temperature += (target - self.temperature) * -math.expm1(-seconds / _TIME_CONSTANT)
        if self.temperature >= THROTTLE_TEMPERATURE:
            self.throttled = True
        elif self.temperature < THROTTLE_TEMPERATURE - _UNTHROTTLE_BELOW:
            self.throttled = False

    def _spoilt(self, measured: Observation) -> Observation:
        conditions = self.conditions
        values = {name: getattr(self._last, name) for name in conditions.stuck} if self._last else {}
        values.update(dict.fromkeys(conditions.unread, math.nan))
        return replace(measured, **values)

    def holds(self, kind: str, target: float, option: Option) -> bool:
        """Whether an option truly holds a promise now; ``thermal``: whether it would in the end."""
        if kind == "rate":
            return self.rate(option) >= min(target, _CAMERA_RATE * self.conditions.asked_rate) - 1e-9
        if kind == "power":
            return self.watts(option) <= target
        if kind == "latency":
            return self.conditions.asked_rate == 0 or self.latency(option) <= target
        return self.settled_temperature(option) <= target

    def holds_now(self, kind: str, target: float) -> bool:
        """Whether what runs holds the promise; a throttled board holds no rate and no latency by luck."""
        if kind == "thermal":
            return self.temperature <= target
        return not self.throttled and self.holds(kind, target, self._option)

    def _noisy(self, value: float) -> float:
        return value * max(0.5, self._random.gauss(1.0, self._misfit.noise))
