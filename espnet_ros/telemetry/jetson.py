"""Telemetry of an NVIDIA Jetson: from the jetson-stats service, or directly from the power monitors of the board.

Tested with a fake ``jtop`` modelled on its versions 4.2 to 7.2, and with fake files of a TX2. Neither reader has run on
a Jetson.
"""

from __future__ import annotations

import importlib
import math
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from espnet_ros.errors import PowerError, one_line
from espnet_ros.telemetry.reading import PowerReading
from espnet_ros.telemetry.sysfs import (
    find_thermal_zones,
    find_throttles,
    is_throttled,
    read_integer,
    read_temperatures,
    read_text,
)

_INPUT_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")
"""TX2, Xavier NX, Orin NX and Nano; Nano and TX1; Thor. AGX Xavier and Orin have none: their rails are added up."""

_GPU_RAILS = ("VDD_SYS_GPU", "POM_5V_GPU", "GPU", "VDD_GPU_SOC", "VDD_GPU")
_CPU_RAILS = ("VDD_SYS_CPU", "POM_5V_CPU", "CPU", "VDD_CPU_CV", "VDD_CPU_SOC_MSS")
"""TX2, Nano, AGX Xavier, AGX Orin, Thor. VDD_CPU_GPU_CV of the NX modules feeds both, so it is used for neither."""

_CARRIER_RAILS = ("VDD_MUX", "VDD_5V_IO_SYS", "VDD_3V3_SYS", "VDD_3V3_IO_SLP", "VDD_1V8_IO", "VDD_3V3_SYS_M2")
"""Rails of a TX1 or TX2 developer kit outside the module."""

_NO_TEMPERATURE = -256
"""Temperature that jetson-stats reports for a sensor that is off."""


class JetsonStatsReader:
    """Reads from the jetson-stats service (https://github.com/rbonghi/jetson_stats), TX2 to Thor.

    A thread of jetson-stats receives the data, so ``read`` does not block. The stamp is the time of arrival: if the
    service stops sending, the reading gets old.
    """

    name = "jetson-stats"

    def __init__(
        self, period: float = 1.0, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Request data every ``period`` seconds. Raises PowerError if there is no service."""
        try:
            jtop = importlib.import_module("jtop").jtop
        except (ImportError, AttributeError) as error:
            raise PowerError("jetson-stats: the Python package jetson-stats is not installed") from error
        self._clock = clock
        self._stamp = clock()
        self._throttles = find_throttles(root)
        self._jetson: Any = jtop(interval=period)
        self._jetson.attach(self._note_time)
        try:
            self._jetson.start()
        except Exception as error:  # from jtop, the operating system or multiprocessing
            raise PowerError(f"jetson-stats: the service cannot be used: {one_line(error)}") from error

    def read(self) -> PowerReading:
        """Return the newest reading. Raises PowerError if the service has stopped."""
        try:
            is_running = self._jetson.ok(spin=True)
        except Exception as error:  # the exception that ended jtop's thread
            raise PowerError(f"jetson-stats: the service has stopped: {one_line(error)}") from error
        if not is_running:
            raise PowerError("jetson-stats: the service has stopped")
        total, gpu, cpu, covers = _sum_rails(_watts_by_rail(self._jetson.power))
        load, gpu_clock = _gpu_state(self._jetson.gpu)
        return PowerReading(
            stamp=self._stamp,
            watts_total=total,
            watts_gpu=gpu,
            watts_cpu=cpu,
            covers=covers,
            temperatures={
                name: float(sensor["temp"])
                for name, sensor in self._jetson.temperature.items()
                if sensor.get("online", True) and sensor["temp"] > _NO_TEMPERATURE
            },
            gpu_load=load,
            gpu_clock=gpu_clock,
            throttled=is_throttled(self._throttles),
        )

    def close(self) -> None:
        """Disconnect from the service."""
        self._jetson.close()

    def _note_time(self, _jetson: Any) -> None:
        self._stamp = self._clock()


class Ina3221Reader:
    """Reads the INA3221 power monitors of a Jetson through the kernel driver, without any package or service.

    Up to JetPack 4 the rails report milliwatts (driver ``ina3221x``), from JetPack 5 on millivolts and milliamperes
    (hwmon). GPU load and clock are read if devfreq has a device such as ``*.gpu`` or ``*.gp10b``.
    """

    name = "ina3221"

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Find the power rails. Raises PowerError if there is no power monitor."""
        self._clock = clock
        self._rails = _find_rails(root)
        if not self._rails:
            raise PowerError(f"ina3221: {root / 'sys/bus/i2c/drivers'} has no INA3221 power monitor")
        self._zones = find_thermal_zones(root)
        self._throttles = find_throttles(root)
        self._gpu = _find_gpu(root)

    def read(self) -> PowerReading:
        """Return the current reading. Raises PowerError if a rail can no longer be read."""
        try:
            watts = {rail.name: rail.read() for rail in self._rails}
        except (OSError, ValueError) as error:
            raise PowerError(f"ina3221: a power rail cannot be read: {error}") from error
        total, gpu, cpu, covers = _sum_rails(watts)
        return PowerReading(
            stamp=self._clock(),
            watts_total=total,
            watts_gpu=gpu,
            watts_cpu=cpu,
            covers=covers,
            temperatures=read_temperatures(self._zones),
            gpu_load=_number(self._gpu and self._gpu / "device" / "load", 1e-3),
            gpu_clock=_number(self._gpu and self._gpu / "cur_freq", 1.0),
            throttled=is_throttled(self._throttles),
        )

    def close(self) -> None:
        """Do nothing; no resources are held."""


class _Rail(NamedTuple):
    """A power rail: the product of ``files``, times ``unit``, is its power in watts."""

    name: str
    files: Tuple[Path, ...]
    unit: float

    def read(self) -> float:
        return math.prod(read_integer(file) for file in self.files) * self.unit


def _find_rails(root: Path) -> List[_Rail]:
    drivers = root / "sys/bus/i2c/drivers"
    rails = []
    for label in sorted(drivers.glob("ina3221*/*/iio:device*/rail_name_*")):
        number = label.name[len("rail_name_") :]
        rails.append(_Rail(read_text(label), (label.parent / f"in_power{number}_input",), 1e-3))
    for label in sorted(drivers.glob("ina3221*/*/hwmon/hwmon*/in[123]_label")):  # in7 is the sum of the three
        number = label.name[2]
        files = (label.parent / f"in{number}_input", label.parent / f"curr{number}_input")
        rails.append(_Rail(read_text(label), files, 1e-6))
    # Unconnected channels are named NC.
    return [rail for rail in rails if rail.name != "NC" and all(file.exists() for file in rail.files)]


def _find_gpu(root: Path) -> Optional[Path]:
    """Return the GPU's folder in devfreq."""
    for kind in ("gpu", "gp10b", "gv11b", "ga10b", "gpu-gpc-0"):
        for folder in sorted(root.glob(f"sys/class/devfreq/*{kind}")):
            return folder
    return None


def _number(file: Optional[Path], unit: float) -> float:
    """Return the number in the file times ``unit``; NaN if it cannot be read."""
    if file is None:
        return math.nan
    try:
        return read_integer(file) * unit
    except (OSError, ValueError):
        return math.nan


def _watts_by_rail(power: Mapping[str, Any]) -> Dict[str, float]:
    """Return watts by rail.

    jetson-stats reports the input rail separately, as the total, and lists USB supplies among the rails. This adds the
    first and removes the others.
    """
    watts = {
        name: rail["power"] / 1000
        for name, rail in power.get("rail", {}).items()
        if rail.get("type", "INA3221") == "INA3221"
    }
    total = power.get("tot", {})
    if "name" in total:
        watts[total["name"]] = total["power"] / 1000
    return watts


def _sum_rails(watts: Mapping[str, float]) -> Tuple[float, float, float, str]:
    """Return the watts in total, of the GPU and of the CPU, and what the total covers."""
    gpu = next((watts[name] for name in _GPU_RAILS if name in watts), math.nan)
    cpu = next((watts[name] for name in _CPU_RAILS if name in watts), math.nan)
    for name in _INPUT_RAILS:
        if name in watts:
            return watts[name], gpu, cpu, f"module ({name})"
    module = [value for name, value in watts.items() if name not in _CARRIER_RAILS]
    return (sum(module), gpu, cpu, "sum of the module's rails") if module else (math.nan, gpu, cpu, "")


def _gpu_state(gpus: Mapping[str, Any]) -> Tuple[float, float]:
    """Return the load, from 0 to 1, and the clock, in Hz, of the first GPU."""
    for gpu in gpus.values():
        load = gpu.get("status", {}).get("load")
        clock = gpu.get("freq", {}).get("cur")
        if clock:
            # In kHz, but in MHz on Thor, where jetson-stats forwards the value of NVML. No GPU runs below 10 MHz.
            clock *= 1e3 if clock >= 10_000 else 1e6
        return math.nan if load is None else load / 100, float(clock) if clock else math.nan
    return math.nan, math.nan
