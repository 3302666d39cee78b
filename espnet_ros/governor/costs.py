"""What an option is predicted to cost: ratios from a model, the level and its corrections from what was observed."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Deque, Dict, FrozenSet, Mapping, Optional, Protocol, Sequence, Set, Tuple

from espnet_ros.governor.operations import count_operations
from espnet_ros.governor.types import Observation, Option

_MOST_CORRECTION = 2.0
_LEARNING = 0.7
"""Of the first surprise (of its logarithm) between two options, of the second half as much, of the third a third.

The rest may be a load that changed in the same moment: what has come out right before is rather that.
"""
_MOST_GAIN = 4.0
_TELLING = 0.05
"""Of the watts: a predicted difference below this share says nothing about the model."""
_STEADY = 1.2
_AFTER = 3
"""Observations that say what a change did to the watts, and whether the load was steady before it."""
_TOGETHER = 3
_NOISE = 0.07
Network = Tuple[int, Tuple[int, int]]
Key = Tuple[int, Tuple[int, int], Optional[str]]


class Costs(Protocol):
    """A model of a board. Only ratios of seconds and differences of watts are used; the level is observed."""

    def seconds(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Seconds of inference a frame."""

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Watts of the board at ``rate`` frames a second asked."""


@dataclass(frozen=True)
class OperationCosts:
    """For a board that nobody has described: seconds and watts by multiplications alone.

    The two constants are assumed and set a level only; they serve until the first observation.
    """

    speeds: Mapping[str, float] = field(default_factory=dict)
    """Speed of each power mode relative to the others; 1 where it is not given."""
    multiplications_per_second: float = 100e9
    full_watts: float = 5.0
    """Watts above rest while the network always runs at speed 1."""

    def seconds(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Seconds of inference a frame."""
        operations = count_operations(alpha, size).multiplications
        return operations / self.multiplications_per_second / self._speed(mode)

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Watts above rest at ``rate`` frames a second asked; they grow with the square of the mode's speed."""
        return min(1.0, rate * self.seconds(alpha, size, mode)) * self.full_watts * self._speed(mode) ** 2

    def _speed(self, mode: Optional[str]) -> float:
        return 1.0 if mode is None else self.speeds.get(mode, 1.0)


@dataclass(frozen=True)
class _Sample:
    time: float
    speed: float
    """Observed seconds a frame over predicted ones; NaN where not observed."""
    latency: float
    watts: float
    model_watts: float
    """What the model said in that moment."""


@dataclass(frozen=True)
class _Before:
    """What was last seen of the option before."""

    time: float
    speed: float
    is_steady: bool
    watts: float
    model_watts: float
    asked: float
    gain: float


class LearnedCosts:
    """Predicts every option from the observations of the present one.

    Args:
        costs: the model.
        window: seconds of observations that count.
    """

    def __init__(self, costs: Costs, window: float) -> None:
        self._costs = costs
        self._window = window
        self._samples: Deque[_Sample] = deque()
        self._picked: Dict[Tuple[str, bool], float] = {}
        self._current: Optional[Option] = None
        self._asked = math.inf
        self._modes: Dict[Optional[str], float] = {}
        self._networks: Dict[Network, float] = {}
        self._model: Dict[Key, float] = {}
        self._passed: Dict[FrozenSet[Key], int] = {}
        self._gain = 1.0
        self._before: Optional[_Before] = None
        self._left: Optional[Option] = None
        self._known: Set[Key] = set()

    def observe(self, option: Option, observation: Observation) -> None:
        """Take in an observation that belongs to ``option``, while images arrive."""
        if option != self._current:
            self._restart(option)
        self._asked = math.inf if math.isnan(observation.asked_rate) else observation.asked_rate
        if not self._samples and not observation.throttled:
            self._learn_speed(option, observation)
        self._known.add(_key(option))
        speed = observation.seconds / self._model_seconds(option)
        self._picked.clear()
        sample = _Sample(observation.time, speed, observation.latency, observation.watts, math.nan)
        self._samples.append(sample)
        # The model's watts depend on the speed just seen.
        self._samples[-1] = replace(sample, model_watts=self.model_watts(option))
        if len(self._samples) <= _AFTER:
            self._learn_gain()
        while self._samples[0].time < observation.time - self._window:
            self._samples.popleft()

    def forget_window(self) -> None:
        """What was observed so far does not belong to what comes now."""
        self._samples.clear()
        self._picked.clear()
        self._before = None

    def knows(self, option: Option) -> bool:
        """Whether the option ran here, at whatever rate."""
        return _key(option) in self._known

    def seconds(self, option: Option, worst: bool) -> float:
        """Seconds a frame of ``option``; with ``worst`` by the slowest observation of the window."""
        return self._model_seconds(option) * self._speed(worst)

    def latency(self, option: Option, worst: bool) -> float:
        """95th percentile of the latency of ``option``.

        It scales with the seconds a frame. Where the worker gets busier, images wait for the one before: up to the
        time that one takes.
        """
        present = self._pick("latency", worst)
        if self._current is None:
            return present
        scaled = present * self._model_seconds(option) / self._model_seconds(self._current)
        busier = max(0.0, self._busy(option) - self._busy(self._current))
        return scaled + busier * self.seconds(option, worst)

    def watts(self, option: Option, worst: bool) -> float:
        """Watts of ``option``: the observed ones and the predicted difference. NaN where watts are unknown."""
        if self._current is None:
            return math.nan
        if option == self._current and not worst:
            return self._pick("watts", worst)
        return self._pick("surplus", worst) + self._gain * self.model_watts(option)

    def model_watts(self, option: Option) -> float:
        """Watts of ``option`` by the model, at the asked rate and the observed speed. For comparing options only."""
        rate = min(self._asked, option.max_rate)
        slower = self._correction(option) * self._speed(worst=False)
        return self._costs.watts(option.alpha, option.size, option.mode, rate * slower)

    def rate(self, option: Option) -> float:
        """Frames a second that ``option`` would answer."""
        return min(self._asked, option.max_rate, 1 / self.seconds(option, worst=False))

    def _busy(self, option: Option) -> float:
        return self.rate(option) * self.seconds(option, worst=False)

    def _restart(self, option: Option) -> None:
        self._before, self._left = None, self._current
        if self._samples:
            last = self._samples[-1]
            watts = [sample.watts for sample in self._samples if not math.isnan(sample.watts)][-_AFTER:]
            mean = sum(watts) / len(watts) if watts else math.nan
            is_steady = _is_steady([sample.speed for sample in self._samples][-_AFTER:])
            self._before = _Before(last.time, last.speed, is_steady, mean, last.model_watts, self._asked, self._gain)
        self._samples.clear()
        self._picked.clear()
        self._current = option

    def _learn_speed(self, option: Option, observation: Observation) -> None:
        """Most of the surprise is that of the mode, the network, or both, whichever changed."""
        if self._before is None or self._left is None or observation.time - self._before.time > 2 * self._window:
            return
        surprise = observation.seconds / self._model_seconds(option) / self._before.speed
        # A step down out of a load that has just jumped seems to help more than it does: the jump may be over.
        if math.isnan(surprise) or (surprise < 1 and not self._before.is_steady):
            return
        other_mode, other_network = option.mode != self._left.mode, _network(option) != _network(self._left)
        pair = frozenset((_key(option), _key(self._left)))
        self._passed[pair] = self._passed.get(pair, 0) + 1
        share = math.pow(surprise, _LEARNING / self._passed[pair] / max(1, other_mode + other_network))
        if other_mode:
            self._modes[option.mode] = _bounded(self._modes.get(option.mode, 1.0) * share, _MOST_CORRECTION)
        if other_network:
            key = _network(option)
            self._networks[key] = _bounded(self._networks.get(key, 1.0) * share, _MOST_CORRECTION)

    def _learn_gain(self) -> None:
        """How many watts a watt of the model is: half of what a change has shown (of its logarithm)."""
        before, present = self._before, self._samples[-1].model_watts
        watts = [sample.watts for sample in self._samples if not math.isnan(sample.watts)]
        if before is None or not watts or math.isnan(before.watts):
            return
        predicted = present - before.model_watts
        same_rate = before.asked == self._asked or abs(before.asked / self._asked - 1) < 0.1
        if not same_rate or before.gain * abs(predicted) < _TELLING * before.watts or watts[-1] == before.watts:
            return
        shown = max(1 / _MOST_GAIN, (sum(watts) / len(watts) - before.watts) / predicted)
        self._gain = _bounded(math.sqrt(before.gain * shown), _MOST_GAIN)
        self._picked.clear()

    def _correction(self, option: Option) -> float:
        return self._modes.get(option.mode, 1.0) * self._networks.get(_network(option), 1.0)

    def _model_seconds(self, option: Option) -> float:
        key = _key(option)
        if key not in self._model:
            self._model[key] = self._costs.seconds(*key)
        return self._model[key] * self._correction(option)

    def _speed(self, worst: bool) -> float:
        speed = self._pick("speed", worst)
        return 1.0 if math.isnan(speed) else speed

    def _pick(self, name: str, worst: bool) -> float:
        # Asked for once an option and decision, so it is remembered until the next observation.
        if (name, worst) not in self._picked:
            if name == "surplus":
                values = [sample.watts - self._gain * sample.model_watts for sample in self._samples]
            else:
                values = [getattr(sample, name) for sample in self._samples]
            known = [value for value in values if not math.isnan(value)] or [math.nan]
            self._picked[name, worst] = max(known) if worst else _present(known[-_TOGETHER:])
        return self._picked[name, worst]


def _is_steady(newest: Sequence[float]) -> bool:
    """Whether the newest values are alike; NaN is not."""
    return len(newest) == _AFTER and max(newest) <= _STEADY * min(newest)


def _present(newest: Sequence[float]) -> float:
    """The mean of the newest values, so that noise breaks no promise; the last alone where it is far from the rest."""
    mean, last = sum(newest) / len(newest), newest[-1]
    return mean if abs(last - mean) <= _NOISE * abs(mean) else last


def _bounded(value: float, most: float) -> float:
    return min(most, max(1 / most, value))


def _network(option: Option) -> Network:
    return option.alpha, option.size


def _key(option: Option) -> Key:
    return option.alpha, option.size, option.mode
