"""A telemetry reading, and the interface of telemetry sources."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Dict, Optional

from typing_extensions import Protocol


@dataclass(frozen=True)
class PowerReading:
    """One reading. Unknown values are NaN, an empty dictionary, or None for ``throttled``.

    Attributes:
        stamp: time of the measurement, in seconds of ``time.monotonic``.
        watts_total: total power that the source measures; ``covers`` describes of what.
        watts_gpu: power of the GPU. On some Jetsons the GPU's rail also feeds other parts (``VDD_GPU_SOC``); they
            are then included.
        watts_cpu: power of the CPU, with the same restriction.
        covers: what ``watts_total`` includes, such as "module (VDD_IN)" or "CPU package + DRAM".
        temperatures: degrees Celsius by sensor name.
        gpu_load: 0 to 1.
        gpu_clock: Hz.
        throttled: whether the clocks are lowered because of heat or over-current. A power limit set by the user does
            not count.
    """

    stamp: float
    watts_total: float = math.nan
    watts_gpu: float = math.nan
    watts_cpu: float = math.nan
    covers: str = ""
    temperatures: Dict[str, float] = field(default_factory=dict)
    gpu_load: float = math.nan
    gpu_clock: float = math.nan
    throttled: Optional[bool] = None

    @property
    def hottest(self) -> str:
        """Name of the hottest sensor; empty without sensors."""
        return max(self.temperatures, key=self.temperatures.__getitem__, default="")

    @property
    def temperature(self) -> float:
        """Temperature of the hottest sensor in degrees Celsius; NaN without sensors."""
        return max(self.temperatures.values(), default=math.nan)


class TelemetryReader(Protocol):
    """An open telemetry source. Used by one thread only."""

    @property
    def name(self) -> str:
        """Name shown to the user: "jetson-stats", "ina3221", "nvml" or "rapl"."""
        ...

    def read(self) -> PowerReading:
        """Return the current reading. After any exception the source is not used again."""
        ...

    def close(self) -> None:
        """Release the source's resources."""
        ...
