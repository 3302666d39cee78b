"""Times contenders in turn, so that a machine whose speed drifts is equally unfair to all."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Tuple


@dataclass(frozen=True)
class Timing:
    """Seconds of each call of one contender, in order."""

    seconds: Tuple[float, ...]

    @property
    def median(self) -> float:
        """Median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """Shortest call, in seconds."""
        return min(self.seconds)


def measure_interleaved(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    on_round: Callable[[], Any] = lambda: None,
    pause: float = 0.0,
) -> Dict[str, Timing]:
    """Call every contender once a round, after one round that does not count.

    Args:
        contenders: what to time, by name.
        rounds: counted calls of each.
        on_round: called after each round.
        pause: seconds before each call, in which the threads of the one before come to rest.

    Returns:
        Timing by name.
    """
    seconds: Dict[str, List[float]] = {name: [] for name in contenders}
    for counted in range(rounds + 1):
        for name, call in contenders.items():
            time.sleep(pause)
            start = time.perf_counter()
            call()
            if counted:
                seconds[name].append(time.perf_counter() - start)
        on_round()
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
