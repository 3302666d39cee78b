"""Steps up that broke the promise: by how much the prediction was wrong, and until when they are not tried again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, Optional

from espnet_ros.governor.types import Hysteresis, Option

_ALIKE = 0.98
"""An option is distrusted with a failed one where it is predicted to cost at least this share of it."""


@dataclass(frozen=True)
class _Failure:
    count: int
    until: float
    factor: float
    """Load observed over load predicted."""


class Failures:
    """Remembers steps up until they have lasted, or have failed."""

    def __init__(self, hysteresis: Hysteresis) -> None:
        self._hysteresis = hysteresis
        self._failures: Dict[Option, _Failure] = {}
        self._tried: Optional[Option] = None
        self._tried_at = -math.inf
        self._predicted = 0.0

    def begin(self, option: Option, predicted: float, time: float) -> None:
        """A step up to ``option``, of which this load is predicted."""
        self._tried, self._tried_at, self._predicted = option, time, predicted

    def end(self) -> None:
        """What runs is no longer a step up on trial; nobody failed."""
        self._tried = None

    def forget(self) -> None:
        """The promise is another one, or time went back: what failed says nothing any more."""
        self._failures.clear()
        self._tried = None

    def hold(self, time: float) -> None:
        """The promise holds: a step up that has lasted for the trial did not fail."""
        if self._tried is not None and time - self._tried_at > self._hysteresis.trial:
            self._failures.pop(self._tried, None)
            self._tried = None

    def fail(self, load: float, time: float) -> None:
        """The promise is broken: by the step up, where one is on trial."""
        self.hold(time)
        if self._tried is None:
            return
        before = self._failures.get(self._tried, _Failure(0, 0.0, 1.0))
        count = before.count + 1
        factor = load / self._predicted if self._predicted > 0 and math.isfinite(load) else 1.0
        wait = min(self._hysteresis.longest_hold, self._hysteresis.hold * 2**count)
        self._failures[self._tried] = _Failure(count, time + wait, max(1.0, before.factor, factor))
        self._tried = None

    def distrust(self, load: Callable[[Option], float], time: float) -> Callable[[Option], float]:
        """By which factor a predicted load is to be raised before a step up.

        What failed, and what costs as much, is believed to be as wrong as it was, until its bar ends; after that to
        half of it (of its logarithm), and to ever less.
        """
        doubts = [(load(option) * _ALIKE, self._doubt(failure, time)) for option, failure in self._failures.items()]
        return lambda option: max((doubt for least, doubt in doubts if load(option) >= least), default=1.0)

    def _doubt(self, failure: _Failure, time: float) -> float:
        if time < failure.until:
            return failure.factor
        passed = (time - failure.until) / (failure.count * self._hysteresis.longest_hold)
        return math.pow(failure.factor, math.pow(0.5, 1 + passed))
