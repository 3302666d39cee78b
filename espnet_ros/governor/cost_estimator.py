"""Estimates the cost of every option: ratios from a cost model, absolute values and corrections from observations."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Deque, Dict, FrozenSet, Optional, Sequence, Set, Tuple

from espnet_ros.governor.cost_model import CostModel
from espnet_ros.governor.types import Observation, Option

_MAX_CORRECTION = 2.0
_LEARNING_RATE = 0.7
"""Share of the first prediction error (of its logarithm) between two options that is learned; half as much of the
second, a third of the third. The rest may be a load that changed at the same moment, which becomes more likely with
each prediction that was right before.
"""
_MAX_WATT_SCALE = 4.0
_MIN_WATT_CHANGE = 0.05
"""Share of the watts: a smaller predicted difference tells nothing about the model."""
_STEADY_RATIO = 1.2
_SAMPLES_AROUND_CHANGE = 3
"""Samples that show what a change did to the watts, and whether the load was steady before it."""
_AVERAGED_SAMPLES = 3
_OUTLIER = 0.07
Network = Tuple[int, Tuple[int, int]]
Key = Tuple[int, Tuple[int, int], Optional[str]]


@dataclass(frozen=True)
class _Sample:
    time: float
    slowdown: float
    """Observed frame time / predicted frame time; NaN if not observed."""
    latency: float
    watts: float
    model_watts: float
    """Watts of the model at that moment."""


@dataclass(frozen=True)
class _LastSeen:
    """The last observations of the previous option."""

    time: float
    slowdown: float
    is_steady: bool
    watts: float
    model_watts: float
    input_rate: float
    watt_scale: float


class CostEstimator:
    """Predicts the cost of every option from the observations of the current one.

    Methods with ``worst_case`` use the worst observation of the window instead of the newest ones.

    Args:
        model: cost model of the board.
        window: seconds of observations to use.
    """

    def __init__(self, model: CostModel, window: float) -> None:
        self._cost_model = model
        self._window = window
        self._samples: Deque[_Sample] = deque()
        self._summaries: Dict[Tuple[str, bool], float] = {}
        self._current: Optional[Option] = None
        self._input_rate = math.inf
        self._mode_corrections: Dict[Optional[str], float] = {}
        self._network_corrections: Dict[Network, float] = {}
        self._model_frame_times: Dict[Key, float] = {}
        self._change_counts: Dict[FrozenSet[Key], int] = {}
        self._watt_scale = 1.0
        self._last_seen: Optional[_LastSeen] = None
        self._previous: Optional[Option] = None
        self._tried: Set[Key] = set()

    def observe(self, option: Option, observation: Observation) -> None:
        """Add an observation of ``option``; call only while images arrive."""
        if option != self._current:
            self._restart(option)
        self._input_rate = math.inf if math.isnan(observation.input_rate) else observation.input_rate
        if not self._samples and not observation.throttled:
            self._learn_frame_time(option, observation)
        self._tried.add(_key(option))
        slowdown = observation.frame_time / self._predict_frame_time(option)
        self._summaries.clear()
        sample = _Sample(observation.time, slowdown, observation.latency, observation.watts, math.nan)
        self._samples.append(sample)
        # The model's watts depend on the slowdown just observed.
        self._samples[-1] = replace(sample, model_watts=self.model_watts(option))
        if len(self._samples) <= _SAMPLES_AROUND_CHANGE:
            self._learn_watt_scale()
        while self._samples[0].time < observation.time - self._window:
            self._samples.popleft()

    def clear_window(self) -> None:
        """Drop the observations: they do not apply to what comes next. Learned corrections stay."""
        self._samples.clear()
        self._summaries.clear()
        self._last_seen = None

    def has_run(self, option: Option) -> bool:
        """Return whether the option has run before, at any rate."""
        return _key(option) in self._tried

    def frame_time(self, option: Option, worst_case: bool) -> float:
        """Return the seconds per frame of ``option``."""
        return self._predict_frame_time(option) * self._slowdown(worst_case)

    def latency(self, option: Option, worst_case: bool) -> float:
        """Return the 95th percentile of the latency of ``option``, in seconds.

        It scales with the frame time. If the worker gets busier, an image also waits for the one before it, for up to
        one frame time.
        """
        current = self._summarize("latency", worst_case)
        if self._current is None:
            return current
        scaled = current * self._predict_frame_time(option) / self._predict_frame_time(self._current)
        busier = max(0.0, self._utilization(option) - self._utilization(self._current))
        return scaled + busier * self.frame_time(option, worst_case)

    def watts(self, option: Option, worst_case: bool) -> float:
        """Return the watts of ``option``: the observed ones plus the predicted difference. NaN if unknown."""
        if self._current is None:
            return math.nan
        if option == self._current and not worst_case:
            return self._summarize("watts", worst_case)
        return self._summarize("offset", worst_case) + self._watt_scale * self.model_watts(option)

    def model_watts(self, option: Option) -> float:
        """Return the model's watts at the current input rate and slowdown; only good for comparing options."""
        rate = min(self._input_rate, option.max_rate)
        slower = self._correction(option) * self._slowdown(worst_case=False)
        return self._cost_model.watts(option.alpha, option.size, option.mode, rate * slower)

    def rate(self, option: Option) -> float:
        """Return the frame rate that ``option`` would reach, in Hz."""
        return min(self._input_rate, option.max_rate, 1 / self.frame_time(option, worst_case=False))

    def _utilization(self, option: Option) -> float:
        return self.rate(option) * self.frame_time(option, worst_case=False)

    def _restart(self, option: Option) -> None:
        self._last_seen, self._previous = None, self._current
        if self._samples:
            last = self._samples[-1]
            watts = [sample.watts for sample in self._samples if not math.isnan(sample.watts)][-_SAMPLES_AROUND_CHANGE:]
            mean = sum(watts) / len(watts) if watts else math.nan
            is_steady = _is_steady([sample.slowdown for sample in self._samples][-_SAMPLES_AROUND_CHANGE:])
            self._last_seen = _LastSeen(
                last.time, last.slowdown, is_steady, mean, last.model_watts, self._input_rate, self._watt_scale
            )
        self._samples.clear()
        self._summaries.clear()
        self._current = option

    def _learn_frame_time(self, option: Option, observation: Observation) -> None:
        """Attribute most of the prediction error after a change to the mode, the network, or both if both changed."""
        last, previous = self._last_seen, self._previous
        if last is None or previous is None or observation.time - last.time > 2 * self._window:
            return
        error = observation.frame_time / self._predict_frame_time(option) / last.slowdown
        # A step down after a sudden load seems to help more than it does, because the load may be over.
        if math.isnan(error) or (error < 1 and not last.is_steady):
            return
        mode_changed, network_changed = option.mode != previous.mode, _network(option) != _network(previous)
        pair = frozenset((_key(option), _key(previous)))
        self._change_counts[pair] = self._change_counts.get(pair, 0) + 1
        share = math.pow(error, _LEARNING_RATE / self._change_counts[pair] / max(1, mode_changed + network_changed))
        if mode_changed:
            correction = self._mode_corrections.get(option.mode, 1.0) * share
            self._mode_corrections[option.mode] = _bounded(correction, _MAX_CORRECTION)
        if network_changed:
            key = _network(option)
            correction = self._network_corrections.get(key, 1.0) * share
            self._network_corrections[key] = _bounded(correction, _MAX_CORRECTION)

    def _learn_watt_scale(self) -> None:
        """Learn the measured watts per watt of the model: half of what a change has shown (of its logarithm)."""
        last, model_watts = self._last_seen, self._samples[-1].model_watts
        watts = [sample.watts for sample in self._samples if not math.isnan(sample.watts)]
        if last is None or not watts or math.isnan(last.watts):
            return
        predicted = model_watts - last.model_watts
        same_rate = last.input_rate == self._input_rate or abs(last.input_rate / self._input_rate - 1) < 0.1
        is_small = last.watt_scale * abs(predicted) < _MIN_WATT_CHANGE * last.watts
        if not same_rate or is_small or watts[-1] == last.watts:
            return
        shown = max(1 / _MAX_WATT_SCALE, (sum(watts) / len(watts) - last.watts) / predicted)
        self._watt_scale = _bounded(math.sqrt(last.watt_scale * shown), _MAX_WATT_SCALE)
        self._summaries.clear()

    def _correction(self, option: Option) -> float:
        return self._mode_corrections.get(option.mode, 1.0) * self._network_corrections.get(_network(option), 1.0)

    def _predict_frame_time(self, option: Option) -> float:
        key = _key(option)
        if key not in self._model_frame_times:
            self._model_frame_times[key] = self._cost_model.frame_time(*key)
        return self._model_frame_times[key] * self._correction(option)

    def _slowdown(self, worst_case: bool) -> float:
        slowdown = self._summarize("slowdown", worst_case)
        return 1.0 if math.isnan(slowdown) else slowdown

    def _summarize(self, name: str, worst_case: bool) -> float:
        # Needed for every option of a decision, so the result is cached until the next observation.
        if (name, worst_case) not in self._summaries:
            if name == "offset":
                values = [sample.watts - self._watt_scale * sample.model_watts for sample in self._samples]
            else:
                values = [getattr(sample, name) for sample in self._samples]
            known = [value for value in values if not math.isnan(value)] or [math.nan]
            self._summaries[name, worst_case] = max(known) if worst_case else _average(known[-_AVERAGED_SAMPLES:])
        return self._summaries[name, worst_case]


def _is_steady(newest: Sequence[float]) -> bool:
    """Return whether the newest values are similar; False with NaN among them."""
    return len(newest) == _SAMPLES_AROUND_CHANGE and max(newest) <= _STEADY_RATIO * min(newest)


def _average(newest: Sequence[float]) -> float:
    """Return the mean of the newest values, which suppresses noise, or the last one if it is far from the mean."""
    mean, last = sum(newest) / len(newest), newest[-1]
    return mean if abs(last - mean) <= _OUTLIER * abs(mean) else last


def _bounded(value: float, most: float) -> float:
    return min(most, max(1 / most, value))


def _network(option: Option) -> Network:
    return option.alpha, option.size


def _key(option: Option) -> Key:
    return option.alpha, option.size, option.mode
