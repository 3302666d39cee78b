"""The governor as the node's parameters describe it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

from espnet_ros.board.host import host_root, is_tx2
from espnet_ros.config import NodeConfig
from espnet_ros.governor.costs import Costs, OperationCosts
from espnet_ros.governor.governor import Governor
from espnet_ros.governor.measured_costs import read_measured_costs
from espnet_ros.governor.predicted_costs import PredictedCosts
from espnet_ros.governor.types import Allowed, Decision, Hysteresis, Observation, Option, Promise

_TARGETS = {"rate": "governor_rate", "power": "governor_power", "latency": "governor_latency"}


class Present(NamedTuple):
    """How the node runs now.

    Attributes:
        alpha: of the engine in use.
        alphas: those that the weights have.
        size: (height, width) of its input.
        precision: of its arithmetic.
        max_rate: Hz; 0 for no limit.
        mode: name of the board's mode; None where there is none.
        modes: names of the modes that the governor may choose; empty where it may not.
    """

    alpha: int
    alphas: Tuple[int, ...]
    size: Tuple[int, int]
    precision: str
    max_rate: float
    mode: Optional[str]
    modes: Tuple[str, ...]


class GovernorBinding:
    """Makes a governor that follows the parameters, and says what its decisions mean for them."""

    def __init__(self) -> None:
        self._governor: Optional[Governor] = None
        self._basis: Tuple[Any, ...] = ()
        self._promise = Promise()
        self._allowed: Optional[Allowed] = None
        self.decision: Optional[Decision] = None
        """The newest; None before the first, and while the governor is off."""
        self.last_change = ""
        """Reason of the newest decision that changed something."""
        self.changes = 0
        """How many decisions have changed something."""

    @property
    def target(self) -> float:
        """What is promised: Hz, W or s; NaN where the promise has no target."""
        return self._promise.target

    def follow(self, config: NodeConfig, present: Present, time: float) -> None:
        """Take over the parameters and what runs; called before each decision while nothing is being changed.

        Raises:
            PowerError: the table of costs cannot be read.
        """
        promise = promise_of(config)
        allowed = allowed_options(config, present)
        current = Option(present.alpha, present.size, present.max_rate or math.inf, _moved_mode(present))
        # Where the mode is not the governor's to move, other modes have other costs.
        fixed_mode = "" if present.modes else present.mode
        basis = (config.governor_table, config.governor_hold, present.precision, fixed_mode)
        if self._governor is None or basis != self._basis:
            costs = choose_costs(config.governor_table, present)
            self._governor = Governor(promise, allowed, current, costs, Hysteresis(hold=config.governor_hold))
            self._basis = basis
        else:
            if promise != self._promise:
                self._governor.set_promise(promise)
            if allowed != self._allowed:
                self._governor.set_allowed(allowed)
            self._governor.set_current(current, time)
        self._promise, self._allowed = promise, allowed

    def stop(self) -> None:
        """Forget the governor and all that it learned."""
        self._governor = self.decision = None
        self.last_change, self.changes = "", 0
        self._promise = Promise()

    def decide(self, observation: Observation) -> Optional[Decision]:
        """What to run from now on; None before anything was followed."""
        if self._governor is None:
            return None
        self.decision = self._governor.decide(observation)
        if self.decision.changed:
            self.last_change = self.decision.reason
            self.changes += 1
        return self.decision


def promise_of(config: NodeConfig) -> Promise:
    """What the parameters promise."""
    name = _TARGETS.get(config.governor)
    target = math.nan if name is None else getattr(config, name)
    return Promise(config.governor, target, config.governor_max_temperature)


def allowed_options(config: NodeConfig, present: Present) -> Allowed:
    """What the parameters let the governor choose from; where they say nothing, what runs stays."""
    alphas = tuple(alpha for alpha in config.allowed_alphas() if alpha in present.alphas)
    rates = tuple(rate or math.inf for rate in config.allowed_rates())
    return Allowed(
        alphas=alphas or (present.alpha,),
        sizes=config.allowed_sizes() or (present.size,),
        max_rates=rates or (present.max_rate or math.inf,),
        modes=present.modes or (None,),
    )


def _moved_mode(present: Present) -> Optional[str]:
    return present.mode if present.modes else None


def choose_costs(table: str, present: Present, root: Optional[Path] = None) -> Costs:
    """The model of this machine: what was measured on it, else the prediction of a TX2, else counts of multiplications.

    Args:
        table: file that ``espnet_ros benchmark power`` wrote; "" for none.
        present: how the node runs.
        root: folder that stands for ``/``.

    Raises:
        PowerError: the file cannot be read, or has nothing of this precision.
    """
    model: Costs = OperationCosts()
    if is_tx2(root or host_root()):
        model = PredictedCosts("fp32" if present.precision == "fp32" else "fp16")
    if not table:
        return model
    return read_measured_costs(Path(table).expanduser(), model, present.precision, present.mode)


def parameter_changes(option: Option, present: Present) -> Dict[str, Any]:
    """The node's parameters that make it run an option, the power mode excepted; those that it has stay."""
    changes: Dict[str, Any] = {}
    if option.alpha != present.alpha:
        changes["alpha"] = option.alpha
    if option.size != present.size:
        changes["input_height"], changes["input_width"] = option.size
    max_rate = 0.0 if math.isinf(option.max_rate) else option.max_rate
    if max_rate != present.max_rate:
        changes["max_rate"] = max_rate
    return changes
