"""Predicts the frame rate and power of ESPNet on a Jetson TX2. Nothing here was measured on a board.

Two constants are fitted to figures published in the ESPNet paper (ECCV 2018); ``docs/tx2.md`` derives them and states
the error. A measured table replaces the prediction, see ``measured_cost_model.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, Tuple

from espnet_ros.errors import ParameterError
from espnet_ros.governor.operations import count_operations

CUDA_CORES = 256
"""Source: NVIDIA's data sheet of the Jetson TX2. Each core does one fp32 multiply-add per clock."""
MEMORY_BANDWIDTH = 58.3e9
"""Bytes per second; NVIDIA's figure for the module's LPDDR4."""
MEMORY_BUS_BYTES = 16
"""Source: NVIDIA's data sheet. The bus has 128 bits and transfers data twice per clock."""

PUBLISHED_RATE = 9.0
"""Frames per second on a TX2, from the abstract of the paper."""
PUBLISHED_SIZE = (512, 1024)
PUBLISHED_ALPHA = 8
PUBLISHED_PRECISION = "fp32"
PUBLISHED_CLOCK = 1134e6
"""Hz. Assumed: the 9 frames per second belong to the higher of the two clocks in the paper's power figures."""
PUBLISHED_WATTS = ((824e6, 1.0), (1134e6, 2.2))
"""(GPU clock in Hz, watts of the network alone), from the paper. Assumed to be the power above idle."""

IDLE_WATTS = 3.0
"""Power of the board before the network runs. Assumed, without a source."""

_PRECISIONS = {"fp32": (1.0, 4), "fp16": (2.0, 2)}  # multiply-adds per clock and core, bytes per value


@dataclass(frozen=True)
class PowerMode:
    """Maximum clocks of an nvpmodel mode, in Hz; source: the board's /etc/nvpmodel.conf of L4T 28."""

    number: int
    gpu_clock: float
    memory_clock: float
    """0 if the mode does not limit it."""

    @property
    def bandwidth(self) -> float:
        """Memory bandwidth in bytes per second."""
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


def ideal_frame_time(alpha: int, size: Tuple[int, int], gpu_clock: float, bandwidth: float, precision: str) -> float:
    """Return the seconds per frame at peak arithmetic and peak memory bandwidth, one after the other."""
    per_clock, bytes_per_value = _precision(precision)
    operations = count_operations(alpha, size)
    arithmetic = operations.multiplications / (CUDA_CORES * per_clock * gpu_clock)
    return arithmetic + operations.traffic_bytes(bytes_per_value) / bandwidth


def fitted_efficiency() -> float:
    """Return the share of the ideal speed that the published 9 frames per second reach; fitted to that one figure."""
    ideal = ideal_frame_time(PUBLISHED_ALPHA, PUBLISHED_SIZE, PUBLISHED_CLOCK, MEMORY_BANDWIDTH, PUBLISHED_PRECISION)
    return ideal * PUBLISHED_RATE


def fitted_exponent() -> float:
    """Return the exponent of the power law through the two published figures: network watts over GPU clock."""
    (low_clock, low_watts), (high_clock, high_watts) = PUBLISHED_WATTS
    return math.log(high_watts / low_watts) / math.log(high_clock / low_clock)


@lru_cache(maxsize=4096)
def predict_frame_time(alpha: int, size: Tuple[int, int], mode: str, precision: str = "fp32") -> float:
    """Return the predicted seconds of inference per frame. fp16 is assumed to have the same efficiency as fp32."""
    clocks = power_mode(mode)
    return ideal_frame_time(alpha, size, clocks.gpu_clock, clocks.bandwidth, precision) / fitted_efficiency()


def predict_rate(alpha: int, size: Tuple[int, int], mode: str, precision: str = "fp32") -> float:
    """Return the predicted frame rate when the network runs continuously, in Hz."""
    return 1 / predict_frame_time(alpha, size, mode, precision)


@lru_cache(maxsize=64)
def predict_full_watts(mode: str) -> float:
    """Return the predicted watts of the network alone when it runs continuously.

    Assumed to be the same for every alpha and size.
    """
    clock, watts = PUBLISHED_WATTS[1]
    return watts * math.pow(power_mode(mode).gpu_clock / clock, fitted_exponent())


def predict_watts(
    alpha: int, size: Tuple[int, int], mode: str, rate: float = math.inf, precision: str = "fp32"
) -> float:
    """Return the predicted watts of the board when frames are requested at ``rate`` Hz.

    The power above idle is proportional to the share of the time in which the network runs.
    """
    busy = min(1.0, rate * predict_frame_time(alpha, size, mode, precision))
    return IDLE_WATTS + busy * predict_full_watts(mode)


def power_mode(name: str) -> PowerMode:
    """Return the mode with that name.

    Raises:
        ParameterError: the TX2 has no mode with that name.
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
