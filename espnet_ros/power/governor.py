"""Moves alpha, input size, rate and power mode so that a promise holds. Pure: observation in, decision out.

It steps down at once and up after a hold, and tries what has failed ever more rarely. The rules are in
``docs/governor.md``.
"""

from __future__ import annotations

import math
from typing import Dict, Iterable, List, Optional, Tuple

from espnet_ros.power.governor_costs import Costs, LearnedCosts, OperationCosts
from espnet_ros.power.governor_heat import HeatGuard
from espnet_ros.power.governor_types import Allowed, Decision, Hysteresis, Observation, Option, Promise

_UNITS = {"rate": "frames/s", "power": "W", "latency": "s"}
_READINGS = {"rate": "seconds", "power": "watts", "latency": "latency", "thermal": "temperature"}
_NAMES = {"seconds": "time a frame takes", "watts": "power", "latency": "latency", "temperature": "temperature"}
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
        self._changed_at = -math.inf
        self._tried_at = -math.inf
        self._better_since: Optional[float] = None
        self._failures: Dict[Option, Tuple[int, float]] = {}

    @property
    def current(self) -> Option:
        """The option of the last decision."""
        return self._current

    def set_promise(self, promise: Promise) -> None:
        """Hold another promise from the next decision on. What was learned about the board stays."""
        if promise.kind != self._promise.kind:
            self._failures.clear()
        self._promise = promise
        self._heat.limit = promise.max_temperature
        self._better_since = None

    def set_allowed(self, allowed: Allowed) -> None:
        """Choose from other options from the next decision on."""
        self._options = allowed.options()
        self._better_since = None

    def set_current(self, option: Option, time: float) -> None:
        """Somebody else has changed what runs: go on from there."""
        if option != self._current:
            self._current, self._changed_at, self._tried_at = option, time, -math.inf

    def decide(self, observation: Observation) -> Decision:
        """What to run from now on, and why. Never raises for what is missing in the observation."""
        if self._promise.kind == "off":
            return self._keep("the governor is off")
        if observation.switching:
            self._changed_at = observation.time
            return self._keep("the last change is under way")
        if observation.time - self._changed_at < self._hysteresis.settle:
            return self._keep("settling after the last change")
        self._costs.observe(self._current, observation)
        heat = self._heat.observe(observation, self._costs.model_watts(self._current))
        if self._current not in self._options:
            return self._leave_forbidden(observation)
        if heat:
            return self._step_down_for_heat(heat, observation)
        reading = _READINGS[self._promise.kind]
        if math.isnan(getattr(observation, reading)):
            return self._keep(f"{self._promise.kind}: the {_NAMES[reading]} is unknown, nothing changes")
        load = self._load(self._current, observation, worst=False)
        if load > self._hysteresis.down_at:
            return self._step_down(load, observation)
        return self._step_up(load, observation)

    def _keep(self, reason: str) -> Decision:
        return Decision(self._current, reason, changed=False)

    def _change(self, option: Option, reason: str, time: float) -> Decision:
        changed = option != self._current
        self._current, self._changed_at, self._better_since = option, time, None
        return Decision(option, f"{reason}: {option}", changed)

    def _leave_forbidden(self, observation: Observation) -> Decision:
        best = self._best(self._cool(), observation) or min(self._options, key=self._costs.model_watts)
        self._tried_at = -math.inf
        return self._change(best, "what ran is not allowed", observation.time)

    def _step_down_for_heat(self, reason: str, observation: Observation) -> Decision:
        best = self._coolest_kept(observation)
        if self._costs.model_watts(best) >= self._costs.model_watts(self._current):
            return self._keep(f"{reason}, and nothing allowed draws less")
        self._tried_at = -math.inf
        return self._change(best, reason, observation.time)

    def _coolest_kept(self, observation: Observation) -> Option:
        """Of what is cool enough the best that holds the promise, else what comes nearest to it; else the coolest."""
        cooler = self._cool()
        if not cooler:
            return min(self._options, key=self._costs.model_watts)
        loads = {option: self._load(option, observation, worst=False) for option in cooler}
        return self._best(cooler, observation) or min(
            cooler, key=lambda option: (math.isnan(loads[option]), loads[option])
        )

    def _step_down(self, load: float, observation: Observation) -> Decision:
        broken = f"{self._state(observation)}, {load:.0%} of what the promise allows"
        self._remember_failure(observation.time)
        best = self._best(self._cool(), observation)
        if best is None or best == self._current:
            best = min(self._cool() or self._options, key=lambda option: self._load(option, observation, worst=False))
            if self._load(best, observation, worst=False) >= load * self._hysteresis.down_at:
                return self._keep(f"{broken}, and nothing allowed does better")
        self._tried_at = -math.inf
        return self._change(best, broken, observation.time)

    def _step_up(self, load: float, observation: Observation) -> Decision:
        held = f"{self._state(observation)}, {load:.0%} of what the promise allows"
        if observation.time - self._tried_at > self._hysteresis.trial:
            self._failures.pop(self._current, None)
        if observation.time - self._changed_at < self._hysteresis.hold:
            return self._keep(held)
        barred = self._barred_load(observation)
        fitting = [
            option
            for option in self._cool()
            if self._is_better(option)
            and self._load(option, observation, worst=True) < min(barred, self._up_at(option))
        ]
        if not fitting:
            self._better_since = None
            return self._keep(held)
        if self._better_since is None:
            self._better_since = observation.time
        if observation.time - self._better_since < self._hysteresis.hold:
            return self._keep(f"{held}; {max(fitting, key=self._rank)} fits and is being held back")
        self._tried_at = observation.time
        return self._change(max(fitting, key=self._rank), f"{held}; more fits", observation.time)

    def _up_at(self, option: Option) -> float:
        return self._hysteresis.up_at if self._costs.knows(option) else self._hysteresis.first_up_at

    def _remember_failure(self, time: float) -> None:
        if time - self._tried_at > self._hysteresis.trial:
            return
        count = self._failures.get(self._current, (0, 0.0))[0] + 1
        wait = min(self._hysteresis.longest_hold, self._hysteresis.hold * 2**count)
        self._failures[self._current] = (count, time + wait)

    def _barred_load(self, observation: Observation) -> float:
        """Load from which on options are barred, as they would fail where a smaller one has failed."""
        barred = [option for option, (_, until) in self._failures.items() if until > observation.time]
        return min((self._load(option, observation, worst=True) * 0.98 for option in barred), default=math.inf)

    def _load(self, option: Option, observation: Observation, worst: bool) -> float:
        """Predicted load of an option as a share of the promise; infinity where it cannot hold it."""
        kind, target = self._promise.kind, self._promise.target
        if kind == "rate":
            asked = observation.asked_rate
            needed = min(target, asked) if asked > 0 else target
            return math.inf if option.max_rate < needed else needed * self._costs.seconds(option, worst)
        if kind == "power":
            return self._costs.watts(option, worst) / target
        if kind == "latency":
            return self._costs.latency(option, worst) / target
        return 0.0

    def _cool(self) -> List[Option]:
        return [option for option in self._options if self._costs.model_watts(option) <= self._heat.ceiling]

    def _best(self, options: Iterable[Option], observation: Observation) -> Optional[Option]:
        landing = self._hysteresis.land_at
        fitting = [option for option in options if self._load(option, observation, worst=False) < landing]
        return max(fitting, key=self._rank) if fitting else None

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

    def _state(self, observation: Observation) -> str:
        kind, target = self._promise.kind, self._promise.target
        if kind == "thermal":
            return f"thermal: {observation.temperature:.1f} of {self._promise.max_temperature:g} °C"
        if kind == "rate":
            able = 1 / observation.seconds if observation.seconds > 0 else math.inf
            return f"rate: able to answer {able:.3g} of {target:g} frames/s"
        present = observation.watts if kind == "power" else observation.latency
        return f"{kind}: {present:.3g} of {target:g} {_UNITS[kind]}"
