"""Connects the governor to the node's parameters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

from espnet_ros.board.host import host_root, is_tx2
from espnet_ros.config import NodeConfig
from espnet_ros.governor.cost_model import CostModel, OperationCostModel
from espnet_ros.governor.governor import Governor
from espnet_ros.governor.measured_cost_model import read_measured_costs
from espnet_ros.governor.tx2_cost_model import Tx2CostModel
from espnet_ros.governor.types import AllowedOptions, Decision, Goal, Observation, Option, Tuning
from espnet_ros.resources import expand_user

_TARGETS = {"rate": "governor_rate", "power": "governor_power", "latency": "governor_latency"}


class NodeState(NamedTuple):
    """What the node runs now.

    Attributes:
        alpha: of the engine in use.
        alphas: available with the current weights.
        size: (height, width) of the engine's input, in pixels.
        precision: of the engine's arithmetic.
        max_rate: Hz; 0 for no limit.
        mode: name of the board's power mode; None if there is none.
        modes: names of the power modes that the governor may choose; empty if it does not control the mode.
    """

    alpha: int
    alphas: Tuple[int, ...]
    size: Tuple[int, int]
    precision: str
    max_rate: float
    mode: Optional[str]
    modes: Tuple[str, ...]


class GovernorBinding:
    """Creates a governor from the parameters, keeps it up to date, and keeps its decisions."""

    def __init__(self) -> None:
        self._governor: Optional[Governor] = None
        self._created_for: Tuple[Any, ...] = ()
        self._goal = Goal()
        self._allowed: Optional[AllowedOptions] = None
        self.decision: Optional[Decision] = None
        """The newest decision; None before the first, and while the governor is off."""
        self.last_change = ""
        """Reason of the newest decision that changed something."""
        self.changes = 0
        """Number of decisions that changed something."""

    @property
    def target(self) -> float:
        """Target of the goal in Hz, W or s; NaN if the goal has none."""
        return self._goal.target

    def update(self, config: NodeConfig, state: NodeState, time: float) -> None:
        """Apply the parameters and the node's state. Call before each decision unless a change is in progress.

        Raises:
            PowerError: the table of measured costs cannot be read.
        """
        goal = goal_from(config)
        allowed = allowed_options(config, state)
        current = Option(state.alpha, state.size, state.max_rate or math.inf, _controlled_mode(state))
        # If the governor does not control the mode, each mode needs a cost model of its own.
        fixed_mode = "" if state.modes else state.mode
        created_for = (config.governor_table, config.governor_hold, state.precision, fixed_mode)
        if self._governor is None or created_for != self._created_for:
            cost_model = choose_cost_model(config.governor_table, state)
            self._governor = Governor(goal, allowed, current, cost_model, Tuning(hold=config.governor_hold))
            self._created_for = created_for
        else:
            if goal != self._goal:
                self._governor.set_goal(goal)
            if allowed != self._allowed:
                self._governor.set_allowed(allowed)
            self._governor.set_current(current, time)
        self._goal, self._allowed = goal, allowed

    def reset(self) -> None:
        """Drop the governor and everything it has learned."""
        self._governor = self.decision = None
        self.last_change, self.changes = "", 0
        self._goal = Goal()

    def decide(self, observation: Observation) -> Optional[Decision]:
        """Return what to run from now on; None before the first ``update``."""
        if self._governor is None:
            return None
        self.decision = self._governor.decide(observation)
        if self.decision.changed:
            self.last_change = self.decision.reason
            self.changes += 1
        return self.decision


def goal_from(config: NodeConfig) -> Goal:
    """Return the goal that the parameters set."""
    name = _TARGETS.get(config.governor)
    target = math.nan if name is None else getattr(config, name)
    return Goal(config.governor, target, config.governor_max_temperature)


def allowed_options(config: NodeConfig, state: NodeState) -> AllowedOptions:
    """Return the options that the parameters allow; an empty parameter allows only the current value."""
    alphas = tuple(alpha for alpha in config.allowed_alphas() if alpha in state.alphas)
    rates = tuple(rate or math.inf for rate in config.allowed_rates())
    return AllowedOptions(
        alphas=alphas or (state.alpha,),
        sizes=config.allowed_sizes() or (state.size,),
        max_rates=rates or (state.max_rate or math.inf,),
        modes=state.modes or (None,),
    )


def _controlled_mode(state: NodeState) -> Optional[str]:
    return state.mode if state.modes else None


def choose_cost_model(table: str, state: NodeState, root: Optional[Path] = None) -> CostModel:
    """Return the best cost model: a measured table, else the prediction for a TX2, else counts of multiplications.

    Args:
        table: file written by ``espnet_ros benchmark power``; "" for none.
        state: what the node runs now.
        root: folder used instead of ``/``.

    Raises:
        PowerError: the file cannot be read, or has no lines of this precision.
    """
    model: CostModel = OperationCostModel()
    if is_tx2(root or host_root()):
        model = Tx2CostModel("fp32" if state.precision == "fp32" else "fp16")
    if not table:
        return model
    return read_measured_costs(expand_user(table), model, state.precision, state.mode)


def parameter_changes(option: Option, state: NodeState) -> Dict[str, Any]:
    """Return the node parameters to change so that the node runs ``option``, except for the power mode."""
    changes: Dict[str, Any] = {}
    if option.alpha != state.alpha:
        changes["alpha"] = option.alpha
    if option.size != state.size:
        changes["input_height"], changes["input_width"] = option.size
    max_rate = 0.0 if math.isinf(option.max_rate) else option.max_rate
    if max_rate != state.max_rate:
        changes["max_rate"] = max_rate
    return changes
