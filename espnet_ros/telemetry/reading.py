"""What a telemetry source says at one moment, and what every source can do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Dict, Optional

from typing_extensions import Protocol


@dataclass(frozen=True)
class PowerReading:
    """One reading. What a source does not know is NaN, an empty dictionary, or None for ``throttled``.

    Attributes:
        stamp: when it was measured, in seconds of ``time.monotonic``.
        watts_total: all that the source measures; ``covers`` says what that is.
        watts_gpu: the GPU. On some Jetsons its rail feeds a neighbour too (``VDD_GPU_SOC``); that is then in it.
        watts_cpu: the CPU, with the same caution.
        covers: what ``watts_total`` is the power of, as "module (VDD_IN)" or "CPU package + DRAM".
        temperatures: degrees Celsius by the sensor's name.
        gpu_load: 0 to 1.
        gpu_clock: Hz.
        throttled: something holds the clocks down against heat or over-current. A power limit that the user set is
            not meant.
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
        """Name of the hottest sensor; empty without any."""
        return max(self.temperatures, key=self.temperatures.__getitem__, default="")

    @property
    def temperature(self) -> float:
        """What the hottest sensor says, in degrees Celsius; NaN without any."""
        return max(self.temperatures.values(), default=math.nan)


class TelemetryReader(Protocol):
    """A telemetry source that is open. Only one thread uses it."""

    @property
    def name(self) -> str:
        """What a user sees: "jetson-stats", "nvml", "rapl"."""
        ...

    def read(self) -> PowerReading:
        """What the source says now. Whatever it raises, the source is given up for good."""
        ...

    def close(self) -> None:
        """Give back what the source holds."""
        ...
