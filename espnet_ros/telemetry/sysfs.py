"""What Linux itself says about temperatures and throttling, in the files under /sys.

``root`` is the folder that stands for ``/``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional

_CPU_DRIVERS = ("coretemp", "k10temp", "zenpower")
_PAGE = 4096  # bytes


class TemperatureSensor(NamedTuple):
    """A file that holds a temperature in thousandths of a degree Celsius."""

    name: str
    file: Path


def read_text(file: Path) -> str:
    """The file's content without blanks around it, up to a page, which is all that the kernel gives. Raises OSError."""
    # A reading takes some fifty of these, and a text stream for each would cost more than twice as much.
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _PAGE).decode("ascii", errors="replace").strip()
    finally:
        os.close(descriptor)


def read_integer(file: Path) -> int:
    """The integer in the file. Raises OSError, or ValueError where there is none."""
    return int(read_text(file))


def find_cpu_temperatures(root: Path) -> List[TemperatureSensor]:
    """Sensors of the CPU: those of its hwmon driver, else the thermal zone of the package.

    Where the driver has one sensor for the whole package, those of single cores are left out: a package is as hot as
    its hottest core.
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
    """The thermal zones, each by its type. Two of one type get the zone's number behind it."""
    zones: Dict[str, Path] = {}
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        name = _text_or_none(folder / "type")
        # PMIC-Die of a TX1, TX2 or Nano always says 100 degrees.
        if name is None or name.startswith("PMIC"):
            continue
        if name in zones:
            name += folder.name[len("thermal_zone") :]
        zones[name] = folder / "temp"
    return [TemperatureSensor(name, file) for name, file in zones.items()]


def read_temperatures(sensors: Iterable[TemperatureSensor]) -> Dict[str, float]:
    """Degrees Celsius by name. A sensor that does not answer, as one that sleeps with its device, is left out."""
    temperatures = {}
    for sensor in sensors:
        try:
            temperatures[sensor.name] = read_integer(sensor.file) / 1000
        except (OSError, ValueError):
            continue
    return temperatures


def find_throttles(root: Path) -> List[Path]:
    """Files with the state of each cooling device that holds clocks down. Fans and mere alerts are none of them."""
    states = []
    for folder in sorted(root.glob("sys/class/thermal/cooling_device*")):
        kind = (_text_or_none(folder / "type") or "fan").lower()
        if "fan" not in kind and kind != "hot-surface-alert":
            states.append(folder / "cur_state")
    return states


def is_throttled(states: Iterable[Path]) -> Optional[bool]:
    """Whether any of the cooling devices is at work; None where none of them answers."""
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
