"""Failed steps up: how wrong their prediction was, and how long they are not retried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, Optional

from espnet_ros.governor.types import Option, Tuning

_SIMILAR = 0.98
"""An option whose predicted load is at least this share of a failed option's is penalised with it."""


@dataclass(frozen=True)
class _Failure:
    count: int
    until: float
    factor: float
    """Observed load / predicted load."""


class StepUpTrials:
    """Puts each step up on trial and remembers the ones that failed."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._failures: Dict[Option, _Failure] = {}
        self._tried: Optional[Option] = None
        self._tried_at = -math.inf
        self._predicted = 0.0

    def start(self, option: Option, predicted: float, time: float) -> None:
        """Start the trial of a step up to ``option``, which has this predicted load."""
        self._tried, self._tried_at, self._predicted = option, time, predicted

    def cancel(self) -> None:
        """End the current trial without a result."""
        self._tried = None

    def reset(self) -> None:
        """Forget all failures: the kind of goal changed, or time went back."""
        self._failures.clear()
        self._tried = None

    def pass_if_over(self, time: float) -> None:
        """Pass the current trial if its time is over; call while the goal is met."""
        if self._tried is not None and time - self._tried_at > self._tuning.trial_time:
            self._failures.pop(self._tried, None)
            self._tried = None

    def fail(self, load: float, time: float) -> None:
        """Fail the current trial, if any; call when the goal is missed."""
        self.pass_if_over(time)
        if self._tried is None:
            return
        previous = self._failures.get(self._tried, _Failure(0, 0.0, 1.0))
        count = previous.count + 1
        factor = load / self._predicted if self._predicted > 0 and math.isfinite(load) else 1.0
        wait = min(self._tuning.backoff_limit, self._tuning.hold * 2**count)
        self._failures[self._tried] = _Failure(count, time + wait, max(1.0, previous.factor, factor))
        self._tried = None

    def penalties(self, load: Callable[[Option], float], time: float) -> Callable[[Option], float]:
        """Return a function with the factor by which an option's predicted load is raised before a step up.

        A failed option, and every option with a similar or higher load, gets the factor by which the prediction was
        wrong until the backoff ends. Then half of it (of its logarithm), and less and less.
        """
        penalties = [
            (load(option) * _SIMILAR, self._penalty(failure, time)) for option, failure in self._failures.items()
        ]
        return lambda option: max((penalty for least, penalty in penalties if load(option) >= least), default=1.0)

    def _penalty(self, failure: _Failure, time: float) -> float:
        if time < failure.until:
            return failure.factor
        passed = (time - failure.until) / (failure.count * self._tuning.backoff_limit)
        return math.pow(failure.factor, math.pow(0.5, 1 + passed))
