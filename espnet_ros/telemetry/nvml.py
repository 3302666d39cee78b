"""Telemetry of an NVIDIA graphics card from NVML, NVIDIA's management library, through the package nvidia-ml-py.

Tested with a fake ``pynvml`` only, not on a real card.
"""

from __future__ import annotations

import importlib
import math
import time
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple

from espnet_ros.errors import PowerError
from espnet_ros.telemetry.reading import PowerReading, TelemetryReader

_THROTTLE_REASONS = 0x08 | 0x20 | 0x40 | 0x80
"""HwSlowdown, SwThermalSlowdown, HwThermalSlowdown and HwPowerBrakeSlowdown in nvml.h. SwPowerCap is not included:
a card at full load usually runs at its power limit, which is a setting."""


_Query = Callable[[], Any]


class NvmlReader:
    """Reads a graphics card and, with ``cpu``, the CPU next to it.

    Cards do not support every query. Queries that fail when the reader is opened are not used, and their values are
    unknown. A query that fails later is an error.
    """

    name = "nvml"

    def __init__(
        self, index: int = 0, cpu: Optional[TelemetryReader] = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the card.

        Args:
            index: number of the card, as in ``nvidia-smi``.
            cpu: reader of the CPU, if available.
            clock: source of the stamps.

        Raises:
            PowerError: NVML or the card is not available.
        """
        try:
            self._nvml: Any = importlib.import_module("pynvml")
        except ImportError as error:
            raise PowerError("nvml: the Python package nvidia-ml-py is not installed") from error
        self._clock = clock
        self._cpu = cpu
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise PowerError(f"nvml: the NVIDIA driver cannot be reached: {error}") from error
        try:
            self._card = self._nvml.nvmlDeviceGetHandleByIndex(index)
            self._queries = self._supported(self._all_queries())
        except self._nvml.NVMLError as error:
            self._nvml.nvmlShutdown()
            raise PowerError(f"nvml: graphics card {index} cannot be used: {error}") from error
        if "watts" not in self._queries and "celsius" not in self._queries:
            self._nvml.nvmlShutdown()
            raise PowerError(f"nvml: graphics card {index} reports neither power nor temperature")

    def read(self) -> PowerReading:
        """Return the current reading. Raises PowerError if the card no longer answers."""
        try:
            values: Dict[str, Any] = {name: query() for name, query in self._queries.items()}
        except self._nvml.NVMLError as error:
            raise PowerError(f"nvml: the graphics card no longer answers: {error}") from error
        cpu = self._read_cpu()
        watts = values.get("watts", math.nan)
        total, covers = watts, "graphics card"
        if cpu is not None and math.isfinite(cpu.watts_total):
            total, covers = watts + cpu.watts_total, f"graphics card + {cpu.covers}"
        temperatures = {"GPU": values["celsius"]} if "celsius" in values else {}
        return PowerReading(
            stamp=self._clock(),
            watts_total=total,
            watts_gpu=watts,
            watts_cpu=math.nan if cpu is None else cpu.watts_cpu,
            covers=covers if math.isfinite(total) else "",
            temperatures=temperatures if cpu is None else {**cpu.temperatures, **temperatures},
            gpu_load=values.get("load", math.nan),
            gpu_clock=values.get("clock", math.nan),
            throttled=_either(values.get("throttled"), None if cpu is None else cpu.throttled),
        )

    def close(self) -> None:
        """Shut NVML down and close the CPU reader."""
        if self._cpu is not None:
            self._cpu.close()
        self._nvml.nvmlShutdown()

    def _read_cpu(self) -> Optional[PowerReading]:
        if self._cpu is None:
            return None
        try:
            return self._cpu.read()
        except PowerError:
            self._cpu = None  # continue with the card alone
            return None

    def _all_queries(self) -> List[Tuple[str, _Query]]:
        nvml, card = self._nvml, self._card
        queries: List[Tuple[str, _Query]] = [
            ("watts", lambda: nvml.nvmlDeviceGetPowerUsage(card) / 1000),
            ("celsius", lambda: float(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))),
            ("load", lambda: nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100),
            ("clock", lambda: nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_SM) * 1e6),
        ]
        # The first is the newer name. The package may have it without the driver supporting it, or have neither.
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            if hasattr(nvml, name):
                queries.append(("throttled", partial(_is_throttled, getattr(nvml, name), card)))
        return queries

    def _supported(self, queries: List[Tuple[str, _Query]]) -> Dict[str, _Query]:
        """Return the queries that the card supports, the first of each name."""
        supported: Dict[str, _Query] = {}
        for name, query in queries:
            if name in supported:
                continue
            try:
                query()
            except self._nvml.NVMLError:
                continue
            supported[name] = query
        return supported


def _is_throttled(query: Callable[[Any], int], card: Any) -> bool:
    return bool(query(card) & _THROTTLE_REASONS)


def _either(one: Optional[bool], other: Optional[bool]) -> Optional[bool]:
    """Return whether one of them is true; None if neither is known."""
    known = [value for value in (one, other) if value is not None]
    return any(known) if known else None
