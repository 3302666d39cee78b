"""A board with round numbers, for decisions calculated by hand."""

from espnet_ros.governor.governor import Governor
from espnet_ros.governor.types import AllowedOptions, Observation, Option

FULL, HALF = (512, 1024), (256, 512)
ALLOWED = AllowedOptions(alphas=(3, 5, 8), sizes=(FULL, HALF))


class HandCostModel:
    """alpha 3, 5, 8: 30, 50, 80 ms at full size, a quarter at half size; "fast" halves it. 2 W idle, 12 W busy (22)."""

    def frame_time(self, alpha, size, mode):
        return alpha / 100 * (size[0] / 512) ** 2 / (2 if mode == "fast" else 1)

    def watts(self, alpha, size, mode, rate):
        return 2 + min(1.0, rate * self.frame_time(alpha, size, mode)) * (20 if mode == "fast" else 10)


def make_governor(goal, alpha=8, size=FULL, allowed=ALLOWED, **option):
    return Governor(goal, allowed, Option(alpha, size, **option), HandCostModel())


def observe(time, **values):
    return Observation(**{"time": time, "input_rate": 30.0, "output_rate": 10.0, **values})


def hold_load(governor, start, count, **values):
    """Return the decisions for a steady load, one per second."""
    return [governor.decide(observe(start + step, **values)) for step in range(count)]
