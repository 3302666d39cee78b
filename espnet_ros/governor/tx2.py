"""A prediction of ESPNet's frames a second and watts on a Jetson TX2. Nothing here was measured on a board.

Two constants are fitted to figures that the ESPNet paper (ECCV 2018) publishes; ``docs/tx2.md`` derives them and states
the error. A measured table takes the prediction's place, see ``measured_costs.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, Tuple

from espnet_ros.errors import ParameterError
from espnet_ros.governor.operations import count_operations

CUDA_CORES = 256
"""NVIDIA's data sheet of the Jetson TX2; each core does one fp32 multiplication with its addition a clock."""
MEMORY_BANDWIDTH = 58.3e9
"""Bytes a second that NVIDIA states for the module's LPDDR4."""
MEMORY_BUS_BYTES = 16
"""NVIDIA's data sheet: a bus of 128 bits, which moves data twice a clock."""

PUBLISHED_RATE = 9.0
"""Frames a second on a TX2 by the paper's abstract."""
PUBLISHED_SIZE = (512, 1024)
PUBLISHED_ALPHA = 8
PUBLISHED_PRECISION = "fp32"
PUBLISHED_CLOCK = 1134e6
"""Assumed: that the 9 frames a second belong to the higher of the two clocks (Hz) that the power figures name."""
PUBLISHED_WATTS = ((824e6, 1.0), (1134e6, 2.2))
"""(GPU clock in Hz, watts of the network alone), from the paper. Taken as what the board draws more than at rest."""

IDLE_WATTS = 3.0
"""Assumed, with no source: what the board draws before the network runs."""

_PRECISIONS = {"fp32": (1.0, 4), "fp16": (2.0, 2)}  # multiplications a clock and core, bytes a value


@dataclass(frozen=True)
class PowerMode:
    """Highest clocks of one nvpmodel mode, in Hz; from the board's /etc/nvpmodel.conf of L4T 28."""

    number: int
    gpu_clock: float
    memory_clock: float
    """0 where the mode does not limit it."""

    @property
    def bandwidth(self) -> float:
        """Bytes a second."""
        if not self.memory_clock:
            return MEMORY_BANDWIDTH
        return min(MEMORY_BANDWIDTH, 2 * MEMORY_BUS_BYTES * self.memory_clock)


MODES: Dict[str, PowerMode] = {
    "MAXN": PowerMode(0, 1300.5e6, 0.0),
    "MAXQ": PowerMode(1, 850e6, 1331.2e6),
    "MAXP_CORE_ALL": PowerMode(2, 1120e6, 1600e6),
    "MAXP_CORE_ARM": PowerMode(3, 1120e6, 1600e6),
    "MAXP_CORE_DENVER": PowerMode(4, 1120e6, 1600e6),
}
BOOT_MODE = "MAXP_CORE_ARM"


def ideal_seconds(alpha: int, size: Tuple[int, int], gpu_clock: float, bandwidth: float, precision: str) -> float:
    """Seconds a frame if every core multiplied at every clock and the memory were always busy, one after the other."""
    per_clock, bytes_per_value = _precision(precision)
    operations = count_operations(alpha, size)
    arithmetic = operations.multiplications / (CUDA_CORES * per_clock * gpu_clock)
    return arithmetic + operations.traffic_bytes(bytes_per_value) / bandwidth


def fitted_efficiency() -> float:
    """Share of the ideal speed that the published 9 frames a second are; fitted on that one figure."""
    ideal = ideal_seconds(PUBLISHED_ALPHA, PUBLISHED_SIZE, PUBLISHED_CLOCK, MEMORY_BANDWIDTH, PUBLISHED_PRECISION)
    return ideal * PUBLISHED_RATE


def fitted_exponent() -> float:
    """How the network's watts grow with the GPU clock: the power law through the two published figures."""
    (low_clock, low_watts), (high_clock, high_watts) = PUBLISHED_WATTS
    return math.log(high_watts / low_watts) / math.log(high_clock / low_clock)


@lru_cache(maxsize=4096)
def predict_seconds(alpha: int, size: Tuple[int, int], mode: str, precision: str = "fp32") -> float:
    """Predicted seconds of inference a frame. fp16 is assumed to reach fp32's share of its own ideal."""
    clocks = power_mode(mode)
    return ideal_seconds(alpha, size, clocks.gpu_clock, clocks.bandwidth, precision) / fitted_efficiency()


def predict_rate(alpha: int, size: Tuple[int, int], mode: str, precision: str = "fp32") -> float:
    """Predicted frames a second when the network always runs."""
    return 1 / predict_seconds(alpha, size, mode, precision)


@lru_cache(maxsize=64)
def predict_full_watts(mode: str) -> float:
    """Predicted watts of the network alone when it always runs. Assumed to be the same for each alpha and size."""
    clock, watts = PUBLISHED_WATTS[1]
    return watts * math.pow(power_mode(mode).gpu_clock / clock, fitted_exponent())


def predict_watts(
    alpha: int, size: Tuple[int, int], mode: str, rate: float = math.inf, precision: str = "fp32"
) -> float:
    """Predicted watts of the board when ``rate`` frames a second are asked; half busy draws half above rest."""
    busy = min(1.0, rate * predict_seconds(alpha, size, mode, precision))
    return IDLE_WATTS + busy * predict_full_watts(mode)


def power_mode(name: str) -> PowerMode:
    """The mode of that name.

    Raises:
        ParameterError: the TX2 has no such mode.
    """
    try:
        return MODES[name]
    except KeyError:
        raise ParameterError(f"power mode must be one of {', '.join(MODES)}, is '{name}'") from None


def _precision(name: str) -> Tuple[float, int]:
    try:
        return _PRECISIONS[name]
    except KeyError:
        raise ParameterError(f"precision must be one of {', '.join(_PRECISIONS)}, is '{name}'") from None
