"""The interface of a cost model, and the model for boards without a better one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Protocol, Tuple

from espnet_ros.governor.operations import count_operations


class CostModel(Protocol):
    """Predicts the cost of an option on one board.

    The governor uses only ratios of frame times and differences of watts; it measures the absolute values.
    """

    def frame_time(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Return the seconds of inference per frame; ``size`` is (height, width)."""

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Return the watts of the board when frames are requested at ``rate`` Hz."""


@dataclass(frozen=True)
class OperationCostModel:
    """Predicts costs from the number of multiplications alone, for boards without another model.

    The two default constants are assumed. They set only the absolute level, until the first observation.
    """

    speeds: Mapping[str, float] = field(default_factory=dict)
    """Relative speed of each power mode; 1 for modes not listed."""
    multiplications_per_second: float = 100e9
    full_watts: float = 5.0
    """Watts above idle while the network runs continuously at speed 1."""

    def frame_time(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Return the seconds of inference per frame."""
        operations = count_operations(alpha, size).multiplications
        return operations / self.multiplications_per_second / self._speed(mode)

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Return the watts above idle when frames are requested at ``rate`` Hz; quadratic in the mode's speed."""
        return min(1.0, rate * self.frame_time(alpha, size, mode)) * self.full_watts * self._speed(mode) ** 2

    def _speed(self, mode: Optional[str]) -> float:
        return 1.0 if mode is None else self.speeds.get(mode, 1.0)
