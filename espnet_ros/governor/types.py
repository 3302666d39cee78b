"""The governor's inputs and outputs: options, observations, goals, tuning and decisions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Tuple

from espnet_ros.errors import ParameterError

KINDS = ("off", "rate", "power", "latency", "thermal")
UNKNOWN = math.nan
"""Value of a measurement that is not available."""


@dataclass(frozen=True)
class Option:
    """One way to run the network."""

    alpha: int
    size: Tuple[int, int]
    """(height, width) of the network's input, in pixels."""
    max_rate: float = math.inf
    """Maximum frame rate, in Hz."""
    mode: Optional[str] = None
    """Name of the power mode; ``None`` if the governor does not control the mode."""

    def __str__(self) -> str:
        rate = "" if math.isinf(self.max_rate) else f", at most {self.max_rate:g} frames/s"
        mode = "" if self.mode is None else f", {self.mode}"
        return f"alpha {self.alpha}, {self.size[0]}x{self.size[1]}{rate}{mode}"


@dataclass(frozen=True)
class AllowedOptions:
    """The values that the governor may choose from. It never chooses an option outside their combinations."""

    alphas: Tuple[int, ...]
    sizes: Tuple[Tuple[int, int], ...]
    max_rates: Tuple[float, ...] = (math.inf,)
    modes: Tuple[Optional[str], ...] = (None,)

    def __post_init__(self) -> None:
        for name in ("alphas", "sizes", "max_rates", "modes"):
            if not getattr(self, name):
                raise ParameterError(f"the governor's {name} must not be empty")
        if any(not rate > 0 for rate in self.max_rates):
            raise ParameterError(f"the governor's max_rates must be above 0, are {self.max_rates}")

    def combinations(self) -> List[Option]:
        """Return every combination of the allowed values."""
        return [
            Option(alpha, size, rate, mode)
            for size in self.sizes
            for alpha in self.alphas
            for rate in self.max_rates
            for mode in self.modes
        ]


@dataclass(frozen=True)
class Observation:
    """Measurements over roughly the last second. Values that could not be read are ``UNKNOWN``."""

    time: float
    """Monotonic time in seconds."""
    input_rate: float = UNKNOWN
    """Images received per second."""
    output_rate: float = UNKNOWN
    """Images labelled per second."""
    frame_time: float = UNKNOWN
    """Mean time that the worker spends on one frame, in seconds."""
    latency: float = UNKNOWN
    """95th percentile of the time from an image's arrival to its published labels, in seconds."""
    watts: float = UNKNOWN
    temperature: float = UNKNOWN
    """Hottest sensor that can throttle the board, in degrees Celsius."""
    throttled: bool = False
    """Whether the board has lowered its clocks because of heat or current."""
    switching: bool = False
    """Whether the option of the last decision is not in use yet."""


@dataclass(frozen=True)
class Goal:
    """What the governor has to achieve."""

    kind: str = "off"
    target: float = UNKNOWN
    """rate: minimum frames per second; power: maximum watts; latency: maximum seconds (95th percentile).
    Unused for off and thermal; the limit of thermal is ``max_temperature``."""
    max_temperature: float = 85.0
    """Degrees Celsius. Every kind except off steps down before the board gets this hot."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ParameterError(f"governor must be one of {', '.join(KINDS)}, is '{self.kind}'")
        if self.kind in ("rate", "power", "latency") and not (self.target > 0 and math.isfinite(self.target)):
            raise ParameterError(f"the governor's {self.kind} target must be above 0, is {self.target:g}")
        if not math.isfinite(self.max_temperature):
            raise ParameterError(f"the governor's max_temperature must be a number, is {self.max_temperature}")


@dataclass(frozen=True)
class Tuning:
    """Thresholds and times that decide when the governor acts.

    A load is a share of the goal: at 1 the goal is just met, above 1 it is missed. Times are in seconds.
    """

    step_down_load: float = 0.97
    """Step down above this load."""
    landing_load: float = 0.92
    """A step down goes to the best option with a predicted load below this."""
    step_up_load: float = 0.87
    """Step up only if the predicted load stays below this during the whole hold."""
    first_step_up_load: float = 0.75
    """The same for an option that has not run yet: only the model predicts its cost."""
    settle_time: float = 2.0
    """Ignore observations for this long after a change: they still describe the previous option."""
    hold: float = 12.0
    """A better option must fit for this long, also since the last change, before the step up. At least 1."""
    reaction_time: float = 5.0
    """For this long after a disturbance, changes may follow each other as soon as each has settled."""
    steady_interval: float = 10.0
    """Minimum time between two changes under steady load; see ``min_interval``."""
    urgent_load: float = 1.5
    """From this load on, step down without waiting for ``min_interval``."""
    shortest_trial: float = 60.0
    """Lower limit of ``trial_time``."""
    shortest_backoff_limit: float = 600.0
    """Lower limit of ``backoff_limit``."""
    min_rate_gain: float = 1.1
    """At the same accuracy, a change must raise the frame rate by this factor, ..."""
    max_watt_ratio: float = 0.9
    """... or lower the power below this share of the current one."""
    heat_margin: float = 2.0
    """Kelvin below the limit from which on nothing may draw more power and a rise causes a step down."""
    heat_horizon: float = 20.0
    """How far ahead the temperature is extrapolated."""
    cool_margin: float = 8.0
    """Kelvin below the limit at which the board counts as cool."""
    heat_interval: float = 10.0
    """Time between two steps because of heat; 3 s if the board is throttling."""
    cool_hold: float = 60.0
    """The board must stay cool for this long before heat allows a step up."""

    def __post_init__(self) -> None:
        if not (self.hold >= 1 and math.isfinite(self.hold)):
            raise ParameterError(f"the governor's hold must be at least 1 s, is {self.hold:g}")

    @property
    def min_interval(self) -> float:
        """Minimum time between two changes under steady load: ``steady_interval``, or the hold if that is shorter."""
        return min(self.steady_interval, self.hold)

    @property
    def trial_time(self) -> float:
        """A step down within this time after a step up counts as a failure of the step up."""
        return max(self.shortest_trial, 5 * self.hold)

    @property
    def backoff_limit(self) -> float:
        """Longest time for which a failed step up is not retried. Each failure doubles the time up to this."""
        return max(self.shortest_backoff_limit, 8 * self.hold)


@dataclass(frozen=True)
class Decision:
    """What to run from now on, and why."""

    option: Option
    reason: str
    changed: bool
