"""Chooses alpha, input size, frame rate and power mode to meet a goal. Pure: observation in, decision out.

It steps down at once, steps up after a hold, and retries failed steps less and less often. The rules are in
``docs/governor.md``.
"""

from __future__ import annotations

import math
from typing import Iterable, List, Optional, Tuple

from espnet_ros.governor import reasons
from espnet_ros.governor.cost_estimator import CostEstimator
from espnet_ros.governor.cost_model import CostModel, OperationCostModel
from espnet_ros.governor.observation_filter import ObservationFilter
from espnet_ros.governor.step_up_trials import StepUpTrials
from espnet_ros.governor.thermal_guard import ThermalGuard
from espnet_ros.governor.types import AllowedOptions, Decision, Goal, Observation, Option, Tuning

_MEASUREMENTS = {"rate": "frame_time", "power": "watts", "latency": "latency", "thermal": "temperature"}
_LOAD_JUMP = 1.1
"""A load that grows by this factor from one observation to the next is a disturbance."""
_CURRENT_MARGIN, _OTHER_MARGIN = 0.95, 0.98
"""Shares of the measured camera rate that the ``max_rate`` of the current option, and of another one, must reach."""
Rank = Tuple[int, int, float, float]


class Governor:
    """Meets a goal; call ``decide`` about once per second with the measurements since the last call.

    Args:
        goal: what to achieve.
        allowed: the options to choose from.
        current: the option in use. If it is not allowed, the first decision leaves it.
        cost_model: model of the board; by default it counts multiplications only.
        tuning: thresholds and times.
    """

    def __init__(
        self,
        goal: Goal,
        allowed: AllowedOptions,
        current: Option,
        cost_model: Optional[CostModel] = None,
        tuning: Optional[Tuning] = None,
    ) -> None:
        self._tuning = tuning or Tuning()
        self._goal = goal
        self._options = allowed.combinations()
        self._current = current
        self._costs = CostEstimator(cost_model or OperationCostModel(), self._tuning.hold)
        self._thermal_guard = ThermalGuard(goal.max_temperature, self._tuning)
        self._trials = StepUpTrials(self._tuning)
        self._filter = ObservationFilter(self._tuning.hold)
        self._changed_at = self._decided_at = self._disturbed_at = -math.inf
        self._inputs_changed = True
        self._better_since: Optional[float] = None
        self._last_load = math.nan
        self._watts_at_change = math.nan

    @property
    def current(self) -> Option:
        """The option of the last decision."""
        return self._current

    def set_goal(self, goal: Goal) -> None:
        """Use another goal from the next decision on. What was learned about the board is kept."""
        if goal.kind != self._goal.kind:
            self._trials.reset()
        if goal != self._goal:
            self._trials.cancel()
            self._inputs_changed = True
            self._better_since = None
        self._goal = goal
        self._thermal_guard.set_limit(goal.max_temperature)

    def set_allowed(self, allowed: AllowedOptions) -> None:
        """Choose from other options from the next decision on."""
        self._options = allowed.combinations()
        self._inputs_changed = True
        self._better_since = None

    def set_current(self, option: Option, time: float) -> None:
        """Continue from ``option``, which someone else has set."""
        if option != self._current:
            self._switch(option, time)
            self._trials.cancel()
            self._inputs_changed = True

    def decide(self, observation: Observation) -> Decision:
        """Return what to run from now on, and why. Never raises, whatever is missing in the observation."""
        if self._goal.kind == "off":
            return self._keep("the governor is off")
        time = observation.time
        if not math.isfinite(time):
            return self._keep("the time is unknown, keeping the current option")
        observation = self._filter.apply(observation)
        self._check_disturbance(time)
        self._thermal_guard.observe(observation)
        if observation.switching:
            self._changed_at = time
            return self._keep("the last change is in progress")
        if self._current not in self._options:
            return self._leave_forbidden(observation)
        if time - self._changed_at < self._tuning.settle_time:
            return self._keep("settling after the last change")
        has_images = observation.input_rate != 0
        if has_images:
            self._costs.observe(self._current, observation)
        watts, goal_missed = self._costs.model_watts(self._current), self._last_load > self._tuning.step_down_load
        heat = self._thermal_guard.update(observation, watts, self._may_change(time), goal_missed)
        if heat:
            return self._step_down_for_heat(heat, observation)
        if not has_images:
            self._better_since = None
            self._costs.clear_window()
            return self._keep("no images arrive, keeping the current option")
        return self._decide_by_load(observation)

    def _check_disturbance(self, time: float) -> None:
        """Record a disturbance, and drop the state that no longer applies because of it."""
        if self._filter.after_gap:
            self._costs.clear_window()
            self._thermal_guard.skip_gap()
            self._trials.cancel()
            self._better_since, self._last_load = None, math.nan
            if time < max(self._changed_at, self._decided_at, self._disturbed_at):
                self._trials.reset()
                self._changed_at = self._decided_at = time - self._tuning.settle_time
        if self._inputs_changed or self._filter.camera_changed or self._filter.after_gap:
            self._disturbed_at = time
        if self._inputs_changed or self._filter.camera_changed:
            self._last_load = math.nan
        self._inputs_changed = False

    def _may_change(self, time: float) -> bool:
        """Return whether a step down is allowed now: after a disturbance, or once ``min_interval`` has passed."""
        disturbed = time - self._disturbed_at <= self._tuning.reaction_time
        return disturbed or time - self._decided_at >= self._tuning.min_interval

    def _decide_by_load(self, observation: Observation) -> Decision:
        field = _MEASUREMENTS[self._goal.kind]
        if math.isnan(getattr(observation, field)):
            self._better_since = None
            return self._keep(reasons.missing_measurement(self._goal, field))
        if self._is_power_stuck(observation):
            self._better_since = None
            watts = f"{observation.watts:.3g} W"
            return self._keep(f"power: the reading is stuck at {watts} since the last change, waiting for a new one")
        load = self._load(self._current, observation, worst_case=False)
        if self._last_load * _LOAD_JUMP < load < math.inf:
            self._disturbed_at = observation.time
        self._last_load = load
        if load > self._tuning.step_down_load:
            return self._step_down(load, observation)
        return self._step_up(load, observation)

    def _is_power_stuck(self, observation: Observation) -> bool:
        """Return whether the watts equal those before the last change exactly, as no working sensor would report."""
        return self._goal.kind == "power" and observation.watts == self._watts_at_change

    def _keep(self, reason: str) -> Decision:
        return Decision(self._current, reason, changed=False)

    def _change(self, option: Option, reason: str, observation: Observation) -> Decision:
        changed = option != self._current
        self._switch(option, observation.time)
        self._decided_at, self._watts_at_change = observation.time, observation.watts
        return Decision(option, f"{reason}: switching to {option}", changed)

    def _switch(self, option: Option, time: float) -> None:
        self._current, self._changed_at, self._better_since = option, time, None
        self._last_load = self._watts_at_change = math.nan
        self._thermal_guard.restart_slope(time)

    def _leave_forbidden(self, observation: Observation) -> Decision:
        self._trials.cancel()
        options = self._options_below_ceiling() or [self._lowest_power_option()]
        if math.isnan(self._load(self._current, observation, worst_case=False)):
            # The load is unknown: choose only from options that draw no more power than the current one.
            watts = self._costs.model_watts(self._current)
            best: Optional[Option] = max(
                (option for option in options if self._costs.model_watts(option) <= watts),
                key=self._rank,
                default=None,
            )
        else:
            best = self._best(options, observation)
        return self._change(
            best or self._nearest(options, observation), "the current option is not allowed", observation
        )

    def _step_down_for_heat(self, reason: str, observation: Observation) -> Decision:
        options = self._options_below_ceiling() or [self._lowest_power_option()]
        best = self._best(options, observation) or self._nearest(options, observation)
        if self._costs.model_watts(best) >= self._costs.model_watts(self._current):
            return self._keep(f"{reason}; no allowed option draws less power")
        self._trials.cancel()
        return self._change(best, reason, observation)

    def _step_down(self, load: float, observation: Observation) -> Decision:
        time = observation.time
        self._better_since = None
        state = reasons.describe_state(self._goal, observation, self._current, load)
        if not (self._may_change(time) or self._tuning.urgent_load <= load < math.inf):
            wait = self._tuning.min_interval - (time - self._decided_at)
            return self._keep(f"{state}; the next change is allowed in {wait:.0f} s")
        self._trials.fail(load, time)
        options = self._options_below_ceiling() or [self._lowest_power_option()]
        best = self._best(options, observation)
        if best is None or best == self._current:
            best = self._nearest(options, observation)
            if not self._load(best, observation, worst_case=False) < load * self._tuning.step_down_load:
                return self._keep(f"{state}; no allowed option does better")
        return self._change(best, state, observation)

    def _step_up(self, load: float, observation: Observation) -> Decision:
        time, hold = observation.time, self._tuning.hold
        state = reasons.describe_state(self._goal, observation, self._current, load)
        self._trials.pass_if_over(time)
        fitting, too_warm = self._better_options(observation)
        if not fitting:
            self._better_since = None
            if not too_warm:
                return self._keep(state)
            best = max(too_warm, key=self._rank)
            return self._keep(f"{state}; {best} has to wait for {self._thermal_guard.relax_condition()}")
        if self._better_since is None:
            self._better_since = time
        best = max(fitting, key=self._rank)
        predicted = self._load(best, observation, worst_case=True)
        wait = hold - (time - max(self._better_since, self._changed_at))
        if wait > 0:
            return self._keep(f"{state}; {reasons.describe_fit(best, predicted)}, stepping up in {wait:.0f} s")
        self._trials.start(best, predicted, time)
        waited = reasons.describe_step_up(time - self._better_since, predicted)
        return self._change(best, f"{state}; {waited}", observation)

    def _better_options(self, observation: Observation) -> Tuple[List[Option], List[Option]]:
        """Return the options better than the current one that meet the goal even in the worst case.

        The first list holds those below the heat ceiling. The second holds the others, only if the first is empty.
        """

        def load(option: Option) -> float:
            return self._load(option, observation, worst_case=True)

        penalty = self._trials.penalties(load, observation.time)
        fitting = [
            option
            for option in self._options
            if self._is_better(option) and load(option) * penalty(option) < self._step_up_load(option)
        ]
        ceiling = self._power_ceiling()
        cool = [option for option in fitting if not self._costs.model_watts(option) > ceiling]
        return cool, [] if cool else fitting

    def _step_up_load(self, option: Option) -> float:
        return self._tuning.step_up_load if self._costs.has_run(option) else self._tuning.first_step_up_load

    def _load(self, option: Option, observation: Observation, worst_case: bool) -> float:
        """Return the predicted load, a share of the goal; infinity if the option's ``max_rate`` is below the goal."""
        kind, target = self._goal.kind, self._goal.target
        if kind == "rate":
            camera = observation.input_rate
            needed = min(target, camera) if camera > 0 else target
            # The camera's rate is measured: 10.2 Hz may be a camera of 10 Hz.
            margin = _CURRENT_MARGIN if option == self._current else _OTHER_MARGIN
            surely_needed = margin * camera if camera > 0 else target
            if option.max_rate < min(target, surely_needed):
                return math.inf
            return needed * self._costs.frame_time(option, worst_case)
        if kind == "power":
            return self._costs.watts(option, worst_case) / target
        if kind == "latency":
            return self._costs.latency(option, worst_case) / target
        return 0.0

    def _power_ceiling(self) -> float:
        """Return the most watts, by the model, that an option may draw; while hot, no more than the current one."""
        ceiling = self._thermal_guard.ceiling
        return min(ceiling, self._costs.model_watts(self._current)) if self._thermal_guard.hot else ceiling

    def _options_below_ceiling(self) -> List[Option]:
        ceiling = self._power_ceiling()
        return [option for option in self._options if not self._costs.model_watts(option) > ceiling]

    def _lowest_power_option(self) -> Option:
        return min(self._options, key=self._costs.model_watts)

    def _best(self, options: Iterable[Option], observation: Observation) -> Optional[Option]:
        limit = self._tuning.landing_load
        fitting = [option for option in options if self._load(option, observation, worst_case=False) < limit]
        return max(fitting, key=self._rank) if fitting else None

    def _nearest(self, options: Iterable[Option], observation: Observation) -> Option:
        """Return the option closest to the goal; with equal loads, the one that draws the least power."""

        def distance(option: Option) -> Tuple[bool, float, float]:
            load = self._load(option, observation, worst_case=False)
            return math.isnan(load), 0.0 if math.isnan(load) else load, self._costs.model_watts(option)

        return min(options, key=distance)

    def _rank(self, option: Option) -> Rank:
        """Return a key that is larger for better options: input size, alpha, useful rate (10 % steps), fewer watts."""
        useful = math.floor(math.log(self._useful_rate(option)) / math.log(self._tuning.min_rate_gain))
        return option.size[0] * option.size[1], option.alpha, useful, -self._costs.model_watts(option)

    def _useful_rate(self, option: Option) -> float:
        rate = self._costs.rate(option)
        return min(rate, self._goal.target) if self._goal.kind == "rate" else rate

    def _is_better(self, option: Option) -> bool:
        accuracy = (option.size[0] * option.size[1], option.alpha)
        current = (self._current.size[0] * self._current.size[1], self._current.alpha)
        if accuracy != current:
            return accuracy > current
        gain = self._useful_rate(option) / self._useful_rate(self._current)
        if gain > self._tuning.min_rate_gain:
            return True
        saves = self._costs.model_watts(option) < self._tuning.max_watt_ratio * self._costs.model_watts(self._current)
        return saves and gain > 1 / math.sqrt(self._tuning.min_rate_gain)
