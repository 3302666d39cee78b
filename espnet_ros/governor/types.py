"""What the governor is told, what it may choose, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Tuple

from espnet_ros.errors import ParameterError

KINDS = ("off", "rate", "power", "latency", "thermal")
UNKNOWN = math.nan
"""A telemetry value that nobody could read."""


@dataclass(frozen=True)
class Option:
    """One way to run the network."""

    alpha: int
    size: Tuple[int, int]
    """(height, width) of the network's input."""
    max_rate: float = math.inf
    """Frames a second that are labelled at most."""
    mode: Optional[str] = None
    """Name of the power mode; ``None``: the mode is not the governor's to move."""

    def __str__(self) -> str:
        rate = "" if math.isinf(self.max_rate) else f", at most {self.max_rate:g}/s"
        mode = "" if self.mode is None else f", {self.mode}"
        return f"alpha {self.alpha}, {self.size[0]}x{self.size[1]}{rate}{mode}"


@dataclass(frozen=True)
class Allowed:
    """What the rules let the governor choose from. Every option it ever answers is made of these."""

    alphas: Tuple[int, ...]
    sizes: Tuple[Tuple[int, int], ...]
    max_rates: Tuple[float, ...] = (math.inf,)
    modes: Tuple[Optional[str], ...] = (None,)

    def __post_init__(self) -> None:
        for name, values in (("alphas", self.alphas), ("sizes", self.sizes), ("max_rates", self.max_rates)):
            if not values:
                raise ParameterError(f"the governor's {name} must have at least one value, have none")
        if not self.modes:
            raise ParameterError("the governor's modes must have at least one value, have none")
        if any(not rate > 0 for rate in self.max_rates):
            raise ParameterError(f"the governor's max_rates must be above 0, are {self.max_rates}")

    def options(self) -> List[Option]:
        """Every option there is."""
        return [
            Option(alpha, size, rate, mode)
            for size in self.sizes
            for alpha in self.alphas
            for rate in self.max_rates
            for mode in self.modes
        ]


@dataclass(frozen=True)
class Observation:
    """What was measured over the last second or so. ``UNKNOWN`` stands for what could not be read."""

    time: float
    """Monotonic, in seconds."""
    asked_rate: float = UNKNOWN
    """Images a second that arrive."""
    answered_rate: float = UNKNOWN
    """Images a second that are labelled."""
    seconds: float = UNKNOWN
    """Mean time for which one frame keeps the worker busy."""
    latency: float = UNKNOWN
    """95th percentile of the age, in seconds, of an image when its labels are published."""
    watts: float = UNKNOWN
    temperature: float = UNKNOWN
    """Of the hottest sensor that can throttle the board, in degrees Celsius."""
    throttled: bool = False
    """The board has lowered its clocks because of heat or current."""
    switching: bool = False
    """The option of the last decision is not in use yet."""


@dataclass(frozen=True)
class Promise:
    """What the governor is to hold."""

    kind: str = "off"
    target: float = UNKNOWN
    """rate: frames a second at least; power: watts at most; latency: seconds at most (95th percentile).
    thermal and off take none, ``max_temperature`` is the limit."""
    max_temperature: float = 85.0
    """Degrees Celsius at most. Under every kind but off the governor steps down before it is reached."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ParameterError(f"governor must be one of {', '.join(KINDS)}, is '{self.kind}'")
        if self.kind in ("rate", "power", "latency") and not (self.target > 0 and math.isfinite(self.target)):
            raise ParameterError(f"the governor's target of {self.kind} must be above 0, is {self.target:g}")
        if not math.isfinite(self.max_temperature):
            raise ParameterError(f"the governor's max_temperature must be a number, is {self.max_temperature}")


@dataclass(frozen=True)
class Hysteresis:
    """When the governor moves. Loads are shares of the promise: 1 is just held, more is broken."""

    down_at: float = 0.97
    """A load above this is answered at once."""
    land_at: float = 0.92
    """A step down goes to the best option that is predicted below this."""
    up_at: float = 0.87
    """A step up needs a prediction below this during the whole hold."""
    first_up_at: float = 0.75
    """The same for an option that never ran here: its prediction is the model's alone."""
    settle: float = 2.0
    """Seconds after a change in which observations still belong to the option before."""
    hold: float = 12.0
    """Seconds for which a better option must fit before it is tried; also since the last change. At least 1."""
    response: float = 5.0
    """Seconds after something has happened in which changes may follow each other as soon as they have settled."""
    slowest_pace: float = 10.0
    """Seconds between two changes otherwise, or the hold where that is less."""
    alarm: float = 1.5
    """A load from which on the pace does not count."""
    shortest_trial: float = 60.0
    """Seconds in which a step down after a step up counts as its failure, or five holds where that is more."""
    shortest_limit: float = 600.0
    """Seconds; each failure doubles the hold of what failed, up to this, or eight holds where that is more."""
    rate_gain: float = 1.1
    """More frames a second are worth a change only by this factor."""
    watt_gain: float = 0.9
    """Fewer watts at the same accuracy are worth a change only below this share of the present ones."""
    heat_margin: float = 2.0
    """Degrees below the limit from which on nothing may draw more, and a rise is answered."""
    heat_ahead: float = 20.0
    """Seconds; the temperature is extrapolated so far."""
    cool_margin: float = 8.0
    """Degrees below the limit at which heat may allow more again."""
    heat_settle: float = 10.0
    """Seconds between steps because of heat, 3 where the board throttles already."""
    cool_hold: float = 60.0
    """Seconds for which the board must stay cool before a step up."""

    def __post_init__(self) -> None:
        if not (self.hold >= 1 and math.isfinite(self.hold)):
            raise ParameterError(f"the governor's hold must be at least 1 s, is {self.hold:g}")

    @property
    def pace(self) -> float:
        """Seconds between two changes in steady load."""
        return min(self.slowest_pace, self.hold)

    @property
    def trial(self) -> float:
        """Seconds in which a step down after a step up counts as its failure."""
        return max(self.shortest_trial, 5 * self.hold)

    @property
    def longest_hold(self) -> float:
        """Seconds for which what failed is barred at most."""
        return max(self.shortest_limit, 8 * self.hold)


@dataclass(frozen=True)
class Decision:
    """What to run from now on, and why."""

    option: Option
    reason: str
    changed: bool
