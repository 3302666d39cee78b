"""Folders with the kernel's sensor files of whole machines, the sources that read them, and what they must say."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, NamedTuple
from unittest import mock

from fake_jetson_stats import TX2, Jtop, JtopException
from fake_nvml import Nvml
from kernel_files import add_zone, write_tree

from espnet_ros.telemetry.sampler import default_sources, open_first_available


class Machine(NamedTuple):
    """A machine that telemetry may run on.

    Attributes:
        write: writes its files into a folder.
        packages: modules by name that stand in for its packages; None for one that is not installed.
        covers: what the power that is read from it is the power of.
    """

    write: Callable[[Path], None]
    packages: Dict[str, Any]
    covers: str


def write_orin(root: Path) -> None:
    """Three INA3221 with three rails each, volts and amperes apart; 12 thermal zones, 20 cooling devices."""
    for number, name in enumerate(["VDD_IN", *(f"VDD_{number}" for number in range(8))]):
        monitor, channel = divmod(number, 3)
        folder = f"sys/bus/i2c/drivers/ina3221/1-004{monitor}/hwmon/hwmon{monitor}"
        files = {f"in{channel + 1}_label": name, f"in{channel + 1}_input": 5000, f"curr{channel + 1}_input": 1480}
        write_tree(root / folder, files)
    gpu, thermal = "sys/class/devfreq/17000000.gpu", "sys/class/thermal"
    write_tree(root, {f"{gpu}/cur_freq": 918000000, f"{gpu}/device/load": 875})
    for number in range(12):
        zone = f"{thermal}/thermal_zone{number}"
        write_tree(root, {f"{zone}/type": f"zone-{number}", f"{zone}/temp": 45000})
    for number in range(20):
        device = f"{thermal}/cooling_device{number}"
        write_tree(root, {f"{device}/type": f"cpu-balanced-{number}", f"{device}/cur_state": 0})


def write_server(root: Path) -> None:
    """Two packages with DRAM, and 64 CPUs that count their throttling."""
    for package in (0, 1):
        add_zone(root, f":{package}", f"package-{package}")
        add_zone(root, f":{package}:0", "dram")
        chip = f"sys/class/hwmon/hwmon{package}"
        write_tree(root / chip, {"name": "coretemp", "temp1_label": f"Package id {package}", "temp1_input": 50000})
    for cpu in range(64):
        throttle = {"thermal_throttle/core_throttle_count": 0, "thermal_throttle/package_throttle_count": 0}
        write_tree(root / f"sys/devices/system/cpu/cpu{cpu}", {"topology/physical_package_id": cpu // 32, **throttle})


_JTOP = SimpleNamespace(jtop=lambda interval: Jtop(TX2, None, interval), JtopException=JtopException)
MACHINES = {
    "a Jetson's power monitors": Machine(write_orin, {"jtop": None, "pynvml": None}, "module (VDD_IN)"),
    "jetson-stats, without its own thread": Machine(write_orin, {"jtop": _JTOP, "pynvml": None}, "module (VDD_IN)"),
    "a graphics card and the CPU": Machine(
        write_server, {"jtop": None, "pynvml": Nvml()}, "graphics card + CPU package + DRAM"
    ),
    "the counters of a server": Machine(write_server, {"jtop": None, "pynvml": None}, "CPU package + DRAM"),
}


@contextmanager
def reader_of(machine: Machine, root: Path) -> Iterator[Any]:
    """The reader that telemetry opens on that machine, whose files are written to an empty folder."""
    machine.write(root)
    with mock.patch.dict(sys.modules, machine.packages):
        yield open_first_available(default_sources(root=root)).reader
