"""Telemetry of an NVIDIA graphics card from its management library, NVML, through the package nvidia-ml-py.

Tested on a stand-in for ``pynvml``; not run on a real card.
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
"""HwSlowdown, SwThermalSlowdown, HwThermalSlowdown and HwPowerBrakeSlowdown of nvml.h. SwPowerCap is not among them:
a card at full load is usually at its power limit, which is a setting."""


_Question = Callable[[], Any]


class NvmlReader:
    """A graphics card, and the CPU next to it where ``cpu`` reads that.

    A card need not answer every question: what it refuses when it is opened is unknown from then on. A question that
    it has answered and then refuses is an error.
    """

    name = "nvml"

    def __init__(
        self, index: int = 0, cpu: Optional[TelemetryReader] = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``index`` counts the cards as ``nvidia-smi`` does. Raises PowerError without NVML or the card."""
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
            self._questions = self._answered(self._all_questions())
        except self._nvml.NVMLError as error:
            self._nvml.nvmlShutdown()
            raise PowerError(f"nvml: graphics card {index} cannot be used: {error}") from error
        if "watts" not in self._questions and "celsius" not in self._questions:
            self._nvml.nvmlShutdown()
            raise PowerError(f"nvml: graphics card {index} tells neither its power nor its temperature")

    def read(self) -> PowerReading:
        """The card now. Raises PowerError when it no longer answers."""
        try:
            told: Dict[str, Any] = {what: ask() for what, ask in self._questions.items()}
        except self._nvml.NVMLError as error:
            raise PowerError(f"nvml: the graphics card no longer answers: {error}") from error
        cpu = self._read_cpu()
        watts = told.get("watts", math.nan)
        total, covers = watts, "graphics card"
        if cpu is not None and math.isfinite(cpu.watts_total):
            total, covers = watts + cpu.watts_total, f"graphics card + {cpu.covers}"
        temperatures = {"GPU": told["celsius"]} if "celsius" in told else {}
        return PowerReading(
            stamp=self._clock(),
            watts_total=total,
            watts_gpu=watts,
            watts_cpu=math.nan if cpu is None else cpu.watts_cpu,
            covers=covers if math.isfinite(total) else "",
            temperatures=temperatures if cpu is None else {**cpu.temperatures, **temperatures},
            gpu_load=told.get("load", math.nan),
            gpu_clock=told.get("clock", math.nan),
            throttled=_either(told.get("throttled"), None if cpu is None else cpu.throttled),
        )

    def close(self) -> None:
        """Let go of NVML."""
        if self._cpu is not None:
            self._cpu.close()
        self._nvml.nvmlShutdown()

    def _read_cpu(self) -> Optional[PowerReading]:
        if self._cpu is None:
            return None
        try:
            return self._cpu.read()
        except PowerError:
            self._cpu = None  # the card is worth reading without it
            return None

    def _all_questions(self) -> List[Tuple[str, _Question]]:
        nvml, card = self._nvml, self._card
        questions: List[Tuple[str, _Question]] = [
            ("watts", lambda: nvml.nvmlDeviceGetPowerUsage(card) / 1000),
            ("celsius", lambda: float(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))),
            ("load", lambda: nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100),
            ("clock", lambda: nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_SM) * 1e6),
        ]
        # The first is the newer name. The package may know it and an older driver not, or neither of them.
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            if hasattr(nvml, name):
                questions.append(("throttled", partial(_is_held_down, getattr(nvml, name), card)))
        return questions

    def _answered(self, questions: List[Tuple[str, _Question]]) -> Dict[str, _Question]:
        """The questions that the card answers, the first of each kind."""
        answered: Dict[str, _Question] = {}
        for what, ask in questions:
            if what in answered:
                continue
            try:
                ask()
            except self._nvml.NVMLError:
                continue
            answered[what] = ask
        return answered


def _is_held_down(ask: Callable[[Any], int], card: Any) -> bool:
    return bool(ask(card) & _THROTTLE_REASONS)


def _either(one: Optional[bool], other: Optional[bool]) -> Optional[bool]:
    """Whether one of them is true; None where neither is known."""
    known = [value for value in (one, other) if value is not None]
    return any(known) if known else None
