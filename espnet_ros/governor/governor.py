"""Moves alpha, input size, rate and power mode so that a promise holds. Pure: observation in, decision out.

It steps down at once and up after a hold, and tries what has failed ever more rarely. The rules are in
``docs/governor.md``.
"""

from __future__ import annotations

import math
from typing import Iterable, List, Optional, Tuple

from espnet_ros.governor import reasons
from espnet_ros.governor.costs import Costs, LearnedCosts, OperationCosts
from espnet_ros.governor.failures import Failures
from espnet_ros.governor.heat import HeatGuard
from espnet_ros.governor.readings import Readings
from espnet_ros.governor.types import Allowed, Decision, Hysteresis, Observation, Option, Promise

_READINGS = {"rate": "seconds", "power": "watts", "latency": "latency", "thermal": "temperature"}
_SUDDEN = 1.1
"""From one observation to the next by this factor: something has happened."""
_SURELY, _SURELY_ANOTHER = 0.95, 0.98
"""Shares of the measured rate of the camera that the present option's own rate must reach, and another's."""
Rank = Tuple[int, int, float, float]


class Governor:
    """Holds a promise; call ``decide`` about once a second with what was measured since the last call.

    Args:
        promise: what to hold.
        allowed: what it may choose from.
        current: the option in use. Where the rules do not allow it, the first decision leaves it.
        costs: model of the board; by multiplications alone where none is given.
        hysteresis: margins and times.
    """

    def __init__(
        self,
        promise: Promise,
        allowed: Allowed,
        current: Option,
        costs: Optional[Costs] = None,
        hysteresis: Optional[Hysteresis] = None,
    ) -> None:
        self._hysteresis = hysteresis or Hysteresis()
        self._promise = promise
        self._options = allowed.options()
        self._current = current
        self._costs = LearnedCosts(costs or OperationCosts(), self._hysteresis.hold)
        self._heat = HeatGuard(promise.max_temperature, self._hysteresis)
        self._failures = Failures(self._hysteresis)
        self._readings = Readings(self._hysteresis.hold)
        self._changed_at = self._decided_at = self._happened_at = -math.inf
        self._told = True
        self._better_since: Optional[float] = None
        self._load_before = math.nan
        self._watts_before = math.nan

    @property
    def current(self) -> Option:
        """The option of the last decision."""
        return self._current

    def set_promise(self, promise: Promise) -> None:
        """Hold another promise from the next decision on. What was learned about the board stays."""
        if promise.kind != self._promise.kind:
            self._failures.forget()
        if promise != self._promise:
            self._failures.end()
            self._told = True
            self._better_since = None
        self._promise = promise
        self._heat.set_limit(promise.max_temperature)

    def set_allowed(self, allowed: Allowed) -> None:
        """Choose from other options from the next decision on."""
        self._options = allowed.options()
        self._told = True
        self._better_since = None

    def set_current(self, option: Option, time: float) -> None:
        """Somebody else has changed what runs: go on from there."""
        if option != self._current:
            self._start(option, time)
            self._failures.end()
            self._told = True

    def decide(self, observation: Observation) -> Decision:
        """What to run from now on, and why. Never raises, whatever the observation lacks."""
        if self._promise.kind == "off":
            return self._keep("the governor is off")
        time = observation.time
        if not math.isfinite(time):
            return self._keep("the time is unknown, nothing changes")
        observation = self._readings.take(observation)
        self._notice(time)
        self._heat.see(observation)
        if observation.switching:
            self._changed_at = time
            return self._keep("the last change is under way")
        if self._current not in self._options:
            return self._leave_forbidden(observation)
        if time - self._changed_at < self._hysteresis.settle:
            return self._keep("settling after the last change")
        images = observation.asked_rate != 0
        if images:
            self._costs.observe(self._current, observation)
        watts, broken = self._costs.model_watts(self._current), self._load_before > self._hysteresis.down_at
        heat = self._heat.judge(observation, watts, self._may_change(time), broken)
        if heat:
            return self._step_down_for_heat(heat, observation)
        if not images:
            self._better_since = None
            self._costs.forget_window()
            return self._keep("no images arrive, nothing changes")
        return self._decide_by_load(observation)

    def _notice(self, time: float) -> None:
        """Remember when something has happened, and what no longer counts because of it."""
        if self._readings.paused:
            self._costs.forget_window()
            self._heat.pause()
            self._failures.end()
            self._better_since, self._load_before = None, math.nan
            if time < max(self._changed_at, self._decided_at, self._happened_at):
                self._failures.forget()
                self._changed_at = self._decided_at = time - self._hysteresis.settle
        if self._told or self._readings.camera_changed or self._readings.paused:
            self._happened_at = time
        if self._told or self._readings.camera_changed:
            self._load_before = math.nan
        self._told = False

    def _may_change(self, time: float) -> bool:
        """Whether a step down may come now: at once where something has happened, else at the pace."""
        happened = time - self._happened_at <= self._hysteresis.response
        return happened or time - self._decided_at >= self._hysteresis.pace

    def _decide_by_load(self, observation: Observation) -> Decision:
        reading = _READINGS[self._promise.kind]
        if math.isnan(getattr(observation, reading)):
            self._better_since = None
            return self._keep(reasons.unknown(self._promise, reading))
        if self._watts_stick(observation):
            self._better_since = None
            return self._keep(f"power: still exactly {observation.watts:.3g} W after the last change, waiting for news")
        load = self._load(self._current, observation, worst=False)
        if self._load_before * _SUDDEN < load < math.inf:
            self._happened_at = observation.time
        self._load_before = load
        if load > self._hysteresis.down_at:
            return self._step_down(load, observation)
        return self._step_up(load, observation)

    def _watts_stick(self, observation: Observation) -> bool:
        """Whether the very same watts are read as before the last change, as no working sensor does."""
        return self._promise.kind == "power" and observation.watts == self._watts_before

    def _keep(self, reason: str) -> Decision:
        return Decision(self._current, reason, changed=False)

    def _change(self, option: Option, reason: str, observation: Observation) -> Decision:
        changed = option != self._current
        self._start(option, observation.time)
        self._decided_at, self._watts_before = observation.time, observation.watts
        return Decision(option, f"{reason}: {option}", changed)

    def _start(self, option: Option, time: float) -> None:
        self._current, self._changed_at, self._better_since = option, time, None
        self._load_before = self._watts_before = math.nan
        self._heat.start(time)

    def _leave_forbidden(self, observation: Observation) -> Decision:
        self._failures.end()
        options = self._cool() or [self._coolest()]
        if math.isnan(self._load(self._current, observation, worst=False)):
            # Nothing is known of the promise: what draws no more than what ran.
            watts = self._costs.model_watts(self._current)
            best: Optional[Option] = max(
                (option for option in options if self._costs.model_watts(option) <= watts),
                key=self._rank,
                default=None,
            )
        else:
            best = self._best(options, observation)
        return self._change(best or self._nearest(options, observation), "what ran is not allowed", observation)

    def _step_down_for_heat(self, reason: str, observation: Observation) -> Decision:
        options = self._cool() or [self._coolest()]
        best = self._best(options, observation) or self._nearest(options, observation)
        if self._costs.model_watts(best) >= self._costs.model_watts(self._current):
            return self._keep(f"{reason}, and nothing allowed draws less")
        self._failures.end()
        return self._change(best, reason, observation)

    def _step_down(self, load: float, observation: Observation) -> Decision:
        time = observation.time
        self._better_since = None
        broken = reasons.state(self._promise, observation, self._current, load)
        if not (self._may_change(time) or self._hysteresis.alarm <= load < math.inf):
            wait = self._hysteresis.pace - (time - self._decided_at)
            return self._keep(f"{broken}; the next change in {wait:.0f} s, as nothing else has happened")
        self._failures.fail(load, time)
        options = self._cool() or [self._coolest()]
        best = self._best(options, observation)
        if best is None or best == self._current:
            best = self._nearest(options, observation)
            if not self._load(best, observation, worst=False) < load * self._hysteresis.down_at:
                return self._keep(f"{broken}, and nothing allowed does better")
        return self._change(best, broken, observation)

    def _step_up(self, load: float, observation: Observation) -> Decision:
        time, hold = observation.time, self._hysteresis.hold
        held = reasons.state(self._promise, observation, self._current, load)
        self._failures.hold(time)
        fitting, warm = self._fitting(observation)
        if not fitting:
            self._better_since = None
            return self._keep(
                f"{held}; {max(warm, key=self._rank)} waits for heat, {self._heat.waiting()}" if warm else held
            )
        if self._better_since is None:
            self._better_since = time
        best = max(fitting, key=self._rank)
        predicted = self._load(best, observation, worst=True)
        wait = hold - (time - max(self._better_since, self._changed_at))
        if wait > 0:
            return self._keep(f"{held}; {reasons.fits(best, predicted)}, held back for {wait:.0f} s")
        self._failures.begin(best, predicted, time)
        waited = time - self._better_since
        return self._change(
            best, f"{held}; more has fitted for {waited:.0f} s, now {reasons.fits(best, predicted)}", observation
        )

    def _fitting(self, observation: Observation) -> Tuple[List[Option], List[Option]]:
        """What is better than the present option and holds the promise by the worst of the hold: cool, and too warm."""

        def load(option: Option) -> float:
            return self._load(option, observation, worst=True)

        distrust = self._failures.distrust(load, observation.time)
        fitting = [
            option
            for option in self._options
            if self._is_better(option) and load(option) * distrust(option) < self._up_at(option)
        ]
        most = self._most_watts()
        cool = [option for option in fitting if not self._costs.model_watts(option) > most]
        return cool, [] if cool else fitting

    def _up_at(self, option: Option) -> float:
        return self._hysteresis.up_at if self._costs.knows(option) else self._hysteresis.first_up_at

    def _load(self, option: Option, observation: Observation, worst: bool) -> float:
        """Predicted load of an option as a share of the promise; infinity where its own rate is too low for it."""
        kind, target = self._promise.kind, self._promise.target
        if kind == "rate":
            asked = observation.asked_rate
            needed = min(target, asked) if asked > 0 else target
            # The asked rate is measured: one of 10.2 may be that of a camera of 10.
            surely_asked = (_SURELY if option == self._current else _SURELY_ANOTHER) * asked if asked > 0 else target
            if option.max_rate < min(target, surely_asked):
                return math.inf
            return needed * self._costs.seconds(option, worst)
        if kind == "power":
            return self._costs.watts(option, worst) / target
        if kind == "latency":
            return self._costs.latency(option, worst) / target
        return 0.0

    def _most_watts(self) -> float:
        """What an option may draw by the model: up to the ceiling, and no more than what runs while it is hot."""
        ceiling = self._heat.ceiling
        return min(ceiling, self._costs.model_watts(self._current)) if self._heat.hot else ceiling

    def _cool(self) -> List[Option]:
        most = self._most_watts()
        return [option for option in self._options if not self._costs.model_watts(option) > most]

    def _coolest(self) -> Option:
        return min(self._options, key=self._costs.model_watts)

    def _best(self, options: Iterable[Option], observation: Observation) -> Optional[Option]:
        landing = self._hysteresis.land_at
        fitting = [option for option in options if self._load(option, observation, worst=False) < landing]
        return max(fitting, key=self._rank) if fitting else None

    def _nearest(self, options: Iterable[Option], observation: Observation) -> Option:
        """What comes nearest to the promise; of what comes as near, what draws least."""

        def distance(option: Option) -> Tuple[bool, float, float]:
            load = self._load(option, observation, worst=False)
            return math.isnan(load), 0.0 if math.isnan(load) else load, self._costs.model_watts(option)

        return min(options, key=distance)

    def _rank(self, option: Option) -> Rank:
        """Larger is preferred: input size, alpha, useful frames a second in steps of 10 %, then fewer watts."""
        useful = math.floor(math.log(self._useful_rate(option)) / math.log(self._hysteresis.rate_gain))
        return option.size[0] * option.size[1], option.alpha, useful, -self._costs.model_watts(option)

    def _useful_rate(self, option: Option) -> float:
        rate = self._costs.rate(option)
        return min(rate, self._promise.target) if self._promise.kind == "rate" else rate

    def _is_better(self, option: Option) -> bool:
        accuracy = (option.size[0] * option.size[1], option.alpha)
        present = (self._current.size[0] * self._current.size[1], self._current.alpha)
        if accuracy != present:
            return accuracy > present
        gain = self._useful_rate(option) / self._useful_rate(self._current)
        if gain > self._hysteresis.rate_gain:
            return True
        cheaper = self._costs.model_watts(option) < self._hysteresis.watt_gain * self._costs.model_watts(self._current)
        return cheaper and gain > 1 / math.sqrt(self._hysteresis.rate_gain)
