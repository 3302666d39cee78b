"""Power of an x86 CPU from its RAPL energy counters (running average power limit), through Linux's powercap.

AMD's CPUs have them too, under the same name. They count energy, so each reading is the mean power since the previous
one. Tested with fake powercap files only, not on a CPU with readable counters.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from espnet_ros.errors import PowerError
from espnet_ros.telemetry.reading import PowerReading
from espnet_ros.telemetry.sysfs import find_cpu_temperatures, read_integer, read_temperatures, read_text

_SHORTEST_INTERVAL = 0.02
"""Seconds. The counters are updated once per millisecond; over shorter intervals the watts would be noise."""


@dataclass(frozen=True)
class _Domain:
    """An energy counter. ``span`` is the value at which it wraps around to 0, in microjoules."""

    kind: str
    file: Path
    span: int


class RaplReader:
    """Reads CPU packages, cores, integrated GPU and DRAM, as far as the CPU has counters for them.

    ``watts_cpu`` is the power of the cores if all packages count them, else of the packages; ``watts_gpu`` is the
    integrated GPU. ``watts_total`` is the whole platform if it is counted, else packages and DRAM. ``throttled`` is
    true if a thermal limit slowed a core or package down since the last reading.
    """

    name = "rapl"

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Find the counters. Raises PowerError if there are none, or this user may not read them."""
        self._clock = clock
        self._domains = _find_domains(root)
        self._sensors = find_cpu_temperatures(root)
        self._throttle_counts = _find_throttle_counts(root)
        self._energies = self._read_energies()
        self._stamp = clock()
        self._throttles = self._read_throttles()
        self._watts: Dict[str, float] = {}

    def read(self) -> PowerReading:
        """Return the mean watts since the last reading.

        Within 20 ms of it, the last watts are repeated; NaN if there are none yet.
        """
        energies, now = self._read_energies(), self._clock()
        seconds = now - self._stamp
        if seconds >= _SHORTEST_INTERVAL:
            self._watts = self._mean_watts(energies, seconds)
            self._energies, self._stamp = energies, now
        throttles, before = self._read_throttles(), self._throttles
        self._throttles = throttles
        total, covers = _total(self._watts)
        return PowerReading(
            stamp=now,
            watts_total=total,
            watts_gpu=self._watts.get("uncore", math.nan),
            watts_cpu=self._watts.get("core", self._watts.get("package", math.nan)),
            covers=covers,
            temperatures=read_temperatures(self._sensors),
            throttled=None if throttles is None or before is None else throttles > before,
        )

    def close(self) -> None:
        """Do nothing; no resources are held."""

    def _mean_watts(self, energies: List[int], seconds: float) -> Dict[str, float]:
        watts: Dict[str, float] = {}
        for domain, energy, before in zip(self._domains, energies, self._energies):
            spent = energy - before if energy >= before else energy - before + domain.span
            watts[domain.kind] = watts.get(domain.kind, 0.0) + spent * 1e-6 / seconds
        return watts

    def _read_energies(self) -> List[int]:
        try:
            return [read_integer(domain.file) for domain in self._domains]
        except PermissionError as error:
            raise PowerError(
                f"rapl: {error.filename} is readable by root only (the default since Linux 5.10); "
                f"`sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj` allows access until the next reboot"
            ) from error
        except (OSError, ValueError) as error:
            raise PowerError(f"rapl: an energy counter cannot be read: {error}") from error

    def _read_throttles(self) -> Optional[int]:
        try:
            return sum(read_integer(file) for file in self._throttle_counts) if self._throttle_counts else None
        except (OSError, ValueError):  # a core is offline
            return None


def _find_domains(root: Path) -> List[_Domain]:
    domains = []
    folders = sorted(root.glob("sys/class/powercap/intel-rapl:*"))
    for folder in folders:
        try:
            kind = read_text(folder / "name").split("-")[0]  # package-0, package-1-die-0
            span = read_integer(folder / "max_energy_range_uj")
        except (OSError, ValueError):
            continue
        if kind in ("package", "core", "uncore", "dram", "psys"):
            domains.append(_Domain(kind, folder / "energy_uj", span))
    kinds = [domain.kind for domain in domains]
    if "package" not in kinds:
        raise PowerError(f"rapl: {root / 'sys/class/powercap'} has no energy counter of a CPU package")
    if kinds.count("core") < kinds.count("package"):
        domains = [domain for domain in domains if domain.kind != "core"]
    return domains


def _find_throttle_counts(root: Path) -> List[Path]:
    """Return the counters of thermal throttling: one per core, and one per package at its first CPU."""
    counts: List[Path] = []
    packages = set()
    for folder in sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")):
        try:
            package = read_integer(folder.parent / "topology" / "physical_package_id")
        except (OSError, ValueError):
            package = 0
        names = ["core_throttle_count"] if package in packages else ["core_throttle_count", "package_throttle_count"]
        packages.add(package)
        counts += [folder / name for name in names if (folder / name).exists()]
    return counts


def _total(watts: Dict[str, float]) -> Tuple[float, str]:
    """Return the total watts, and what they cover."""
    if "package" not in watts:
        return math.nan, ""
    total = watts["package"] + watts.get("dram", 0.0)
    # On some boards the platform sensor is not connected, and its counter does not move.
    if "psys" in watts and watts["psys"] >= total:
        return watts["psys"], "platform"
    return total, "CPU package + DRAM" if "dram" in watts else "CPU package"
