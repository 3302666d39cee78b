"""What an option is predicted to cost: ratios from a model, the level and its corrections from what was observed."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Deque, Dict, Mapping, Optional, Protocol, Set, Tuple

from espnet_ros.power.governor_types import Observation, Option
from espnet_ros.power.operations import count_operations

_MOST_CORRECTION = 2.0
_LEARNING = 0.5


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
        self._correction: Dict[Tuple[int, Tuple[int, int], Optional[str]], float] = {}
        self._model: Dict[Tuple[int, Tuple[int, int], Optional[str]], float] = {}
        self._speed_before = math.nan
        self._known: Set[Tuple[int, Tuple[int, int], Optional[str]]] = set()

    def observe(self, option: Option, observation: Observation) -> None:
        """Take in an observation that belongs to ``option``."""
        if option != self._current:
            self._restart(option)
        self._asked = observation.asked_rate if observation.asked_rate > 0 else math.inf
        speed = observation.seconds / self._model_seconds(option)
        if not math.isnan(speed) and not math.isnan(self._speed_before):
            self._correct(option, speed / self._speed_before)
            self._speed_before = math.nan
        speed = observation.seconds / self._model_seconds(option)
        self._known.add(_key(option))
        self._samples.append(_Sample(observation.time, speed, observation.latency, observation.watts))
        self._picked.clear()
        while self._samples[0].time < observation.time - self._window:
            self._samples.popleft()

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
        present = self._pick("watts", worst)
        if self._current is None:
            return present
        return present + self.model_watts(option) - self.model_watts(self._current)

    def model_watts(self, option: Option) -> float:
        """Watts of ``option`` by the model, at the asked rate and the observed speed. For comparing options only."""
        rate = min(self._asked, option.max_rate)
        slower = self._correction.get(_key(option), 1.0) * self._speed(worst=False)
        return self._costs.watts(option.alpha, option.size, option.mode, rate * slower)

    def rate(self, option: Option) -> float:
        """Frames a second that ``option`` would answer."""
        return min(self._asked, option.max_rate, 1 / self.seconds(option, worst=False))

    def _busy(self, option: Option) -> float:
        return self.rate(option) * self.seconds(option, worst=False)

    def _restart(self, option: Option) -> None:
        if self._samples:
            self._speed_before = self._samples[-1].speed
        self._samples.clear()
        self._picked.clear()
        self._current = option

    def _correct(self, option: Option, surprise: float) -> None:
        # Half of the surprise: the load may have changed in the same moment.
        corrected = self._correction.get(_key(option), 1.0) * math.pow(surprise, _LEARNING)
        self._correction[_key(option)] = min(_MOST_CORRECTION, max(1 / _MOST_CORRECTION, corrected))

    def _model_seconds(self, option: Option) -> float:
        key = _key(option)
        if key not in self._model:
            self._model[key] = self._costs.seconds(*key)
        return self._model[key] * self._correction.get(key, 1.0)

    def _speed(self, worst: bool) -> float:
        speed = self._pick("speed", worst)
        return 1.0 if math.isnan(speed) else speed

    def _pick(self, name: str, worst: bool) -> float:
        # Asked for once an option and decision, so it is remembered until the next observation.
        if (name, worst) not in self._picked:
            values = (getattr(sample, name) for sample in self._samples)
            known = [value for value in values if not math.isnan(value)] or [math.nan]
            self._picked[name, worst] = max(known) if worst else known[-1]
        return self._picked[name, worst]


def _key(option: Option) -> Tuple[int, Tuple[int, int], Optional[str]]:
    return option.alpha, option.size, option.mode
