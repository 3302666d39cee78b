"""Reads temperatures and throttling from the files that Linux provides under /sys.

``root`` is the folder used instead of ``/``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional

_CPU_DRIVERS = ("coretemp", "k10temp", "zenpower")
_PAGE = 4096  # bytes


class TemperatureSensor(NamedTuple):
    """A file with a temperature in thousandths of a degree Celsius."""

    name: str
    file: Path


def read_text(file: Path) -> str:
    """Return the content of a file, stripped, up to the page that the kernel provides at most. Raises OSError."""
    # One reading needs about fifty of these calls; opening text streams would take more than twice as long.
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _PAGE).decode("ascii", errors="replace").strip()
    finally:
        os.close(descriptor)


def read_integer(file: Path) -> int:
    """Return the integer in a file. Raises OSError, or ValueError if the content is not an integer."""
    return int(read_text(file))


def find_cpu_temperatures(root: Path) -> List[TemperatureSensor]:
    """Return the sensors of the CPU: those of its hwmon driver, else the thermal zone of the package.

    If the driver has a sensor for the whole package, the sensors of single cores are left out: the package sensor
    reports the hottest core.
    """
    found = []
    for folder in sorted(root.glob("sys/class/hwmon/hwmon*")):
        driver = _text_or_none(folder / "name")
        if driver not in _CPU_DRIVERS:
            continue
        inputs = sorted(folder.glob("temp*_input"))
        named = [(_text_or_none(Path(str(file)[: -len("input")] + "label")) or file.name[:-6], file) for file in inputs]
        packages = [entry for entry in named if entry[0].startswith("Package")]
        found += [TemperatureSensor(f"{driver} {label}", file) for label, file in packages or named]
    return found or [zone for zone in find_thermal_zones(root) if zone.name == "x86_pkg_temp"]


def find_thermal_zones(root: Path) -> List[TemperatureSensor]:
    """Return the thermal zones, named by type. If a type occurs again, the zone's number is appended."""
    zones: Dict[str, Path] = {}
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        name = _text_or_none(folder / "type")
        # PMIC-Die of a TX1, TX2 or Nano always reports 100 degrees.
        if name is None or name.startswith("PMIC"):
            continue
        if name in zones:
            name += folder.name[len("thermal_zone") :]
        zones[name] = folder / "temp"
    return [TemperatureSensor(name, file) for name, file in zones.items()]


def read_temperatures(sensors: Iterable[TemperatureSensor]) -> Dict[str, float]:
    """Return degrees Celsius by name. Sensors that cannot be read, for example of a sleeping device, are left out."""
    temperatures = {}
    for sensor in sensors:
        try:
            temperatures[sensor.name] = read_integer(sensor.file) / 1000
        except (OSError, ValueError):
            continue
    return temperatures


def find_throttles(root: Path) -> List[Path]:
    """Return the state files of all cooling devices that lower clocks, which excludes fans and alerts."""
    states = []
    for folder in sorted(root.glob("sys/class/thermal/cooling_device*")):
        kind = (_text_or_none(folder / "type") or "fan").lower()
        if "fan" not in kind and kind != "hot-surface-alert":
            states.append(folder / "cur_state")
    return states


def is_throttled(states: Iterable[Path]) -> Optional[bool]:
    """Return whether any of the cooling devices is active; None if none can be read."""
    throttled = None
    for state in states:
        try:
            throttled = bool(throttled) or read_integer(state) > 0
        except (OSError, ValueError):
            continue
    return throttled


def _text_or_none(file: Path) -> Optional[str]:
    try:
        return read_text(file)
    except OSError:
        return None
