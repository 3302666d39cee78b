"""Telemetry of an NVIDIA Jetson: from jetson-stats' service, or from the power monitors on the board directly.

Tested on a stand-in for ``jtop``, written after its versions 4.2 to 7.2, and on files that look like a TX2's. Neither
reader has run on a Jetson.
"""

from __future__ import annotations

import importlib
import math
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from espnet_ros.errors import PowerError
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
"""TX2, Xavier NX, Orin NX and Nano; Nano and TX1; Thor. An AGX Xavier or Orin has none: its rails are summed up."""

_GPU_RAILS = ("VDD_SYS_GPU", "POM_5V_GPU", "GPU", "VDD_GPU_SOC", "VDD_GPU")
_CPU_RAILS = ("VDD_SYS_CPU", "POM_5V_CPU", "CPU", "VDD_CPU_CV", "VDD_CPU_SOC_MSS")
"""TX2, Nano, AGX Xavier, AGX Orin, Thor. VDD_CPU_GPU_CV of the NX modules feeds both and so tells neither."""

_CARRIER_RAILS = ("VDD_MUX", "VDD_5V_IO_SYS", "VDD_3V3_SYS", "VDD_3V3_IO_SLP", "VDD_1V8_IO", "VDD_3V3_SYS_M2")
"""Rails of a TX1 or TX2 developer kit that lie outside the module."""

_NO_TEMPERATURE = -256
"""What jetson-stats says of a sensor that is off."""


class JetsonStatsReader:
    """What jetson-stats' service says (https://github.com/rbonghi/jetson_stats), TX2 to Thor.

    Its own thread fetches from the service, so that ``read`` waits for nothing. The stamp is when the data came: a
    service that falls silent shows as a reading that grows old.
    """

    name = "jetson-stats"

    def __init__(
        self, period: float = 1.0, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask the service for data every ``period`` seconds. Raises PowerError where there is no service."""
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
        except Exception as error:  # of several kinds: jtop's own, the operating system's, multiprocessing's
            raise PowerError(f"jetson-stats: its service cannot be used: {_one_line(error)}") from error

    def read(self) -> PowerReading:
        """The newest data. Raises PowerError when the service is gone."""
        try:
            is_running = self._jetson.ok(spin=True)
        except Exception as error:  # whatever ended jtop's thread
            raise PowerError(f"jetson-stats: its service has gone: {_one_line(error)}") from error
        if not is_running:
            raise PowerError("jetson-stats: its service has gone")
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
        """Leave the service."""
        self._jetson.close()

    def _note_time(self, _jetson: Any) -> None:
        self._stamp = self._clock()


class Ina3221Reader:
    """The INA3221 power monitors of a Jetson, through the kernel's driver: no package and no service is needed.

    Rails up to JetPack 4 give milliwatts (driver ``ina3221x``), from JetPack 5 on millivolts and milliamperes (hwmon).
    GPU load and clock are read where the kernel has a device ``*.gpu``, ``*.gp10b`` or the like in devfreq.
    """

    name = "ina3221"

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Raises PowerError where there is no monitor."""
        self._clock = clock
        self._rails = _find_rails(root)
        if not self._rails:
            raise PowerError(f"ina3221: {root / 'sys/bus/i2c/drivers'} has no INA3221 power monitor")
        self._zones = find_thermal_zones(root)
        self._throttles = find_throttles(root)
        self._gpu = _find_gpu(root)

    def read(self) -> PowerReading:
        """All rails now. Raises PowerError when one of them no longer answers."""
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
        """Nothing is held."""


class _Rail(NamedTuple):
    """Files whose product, times ``unit``, is the rail's power in watts."""

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
    for label in sorted(drivers.glob("ina3221*/*/hwmon/hwmon*/in[123]_label")):  # in7 is a sum of the three
        number = label.name[2]
        files = (label.parent / f"in{number}_input", label.parent / f"curr{number}_input")
        rails.append(_Rail(read_text(label), files, 1e-6))
    # A channel that nothing is connected to is called NC.
    return [rail for rail in rails if rail.name != "NC" and all(file.exists() for file in rail.files)]


def _find_gpu(root: Path) -> Optional[Path]:
    """Folder of the GPU in devfreq."""
    for kind in ("gpu", "gp10b", "gv11b", "ga10b", "gpu-gpc-0"):
        for folder in sorted(root.glob(f"sys/class/devfreq/*{kind}")):
            return folder
    return None


def _number(file: Optional[Path], unit: float) -> float:
    """The file's number in ``unit``; NaN where there is none."""
    if file is None:
        return math.nan
    try:
        return read_integer(file) * unit
    except (OSError, ValueError):
        return math.nan


def _watts_by_rail(power: Mapping[str, Any]) -> Dict[str, float]:
    """jetson-stats keeps the input rail apart, as the total, and lists USB supplies among the rails: put both right."""
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
    """Watts in total, of the GPU and of the CPU, and what the total covers."""
    gpu = next((watts[name] for name in _GPU_RAILS if name in watts), math.nan)
    cpu = next((watts[name] for name in _CPU_RAILS if name in watts), math.nan)
    for name in _INPUT_RAILS:
        if name in watts:
            return watts[name], gpu, cpu, f"module ({name})"
    own = [value for name, value in watts.items() if name not in _CARRIER_RAILS]
    return (sum(own), gpu, cpu, "sum of the module's rails") if own else (math.nan, gpu, cpu, "")


def _gpu_state(gpus: Mapping[str, Any]) -> Tuple[float, float]:
    """Load from 0 to 1, and clock in Hz, of the first GPU."""
    for gpu in gpus.values():
        load = gpu.get("status", {}).get("load")
        clock = gpu.get("freq", {}).get("cur")
        if clock:
            # It is kHz, but MHz on Thor, where jetson-stats passes on what NVML says. No GPU runs below 10 MHz.
            clock *= 1e3 if clock >= 10_000 else 1e6
        return math.nan if load is None else load / 100, float(clock) if clock else math.nan
    return math.nan, math.nan


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
