"""Time contenders interleaved, so that drifts in the machine's speed affect all of them alike."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Tuple


@dataclass(frozen=True)
class Timing:
    """Times of the calls of one contender, in order, in seconds."""

    seconds: Tuple[float, ...]

    @property
    def median(self) -> float:
        """Median time, in seconds."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """Time of the fastest call, in seconds."""
        return min(self.seconds)


def measure_interleaved(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    on_round: Callable[[], Any] = lambda: None,
    pause: float = 0.0,
) -> Dict[str, Timing]:
    """Call every contender once per round. The first round does not count.

    Args:
        contenders: to time, by name.
        rounds: counted calls of each contender.
        on_round: called after each round.
        pause: seconds before each call, for the previous contender's threads to become idle.

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
