"""What telemetry takes from the images: CPU time of the sampler's thread at a reading a second, source by source.

The files lie in a folder, so what the kernel does to answer is the cheap part of it: a real INA3221 is asked over I2C,
for which the thread waits. The stand-ins of ``jtop`` and ``pynvml`` answer at once; what these packages compute
themselves, jetson-stats in a thread of its own, is not in the numbers.
"""

import sys
import threading
import time
from types import SimpleNamespace

import pytest
from fake_jetson_stats import TX2, Jtop, JtopException
from fake_nvml import Nvml
from kernel_files import add_zone, write_tree

from espnet_ros.telemetry.sampler import TelemetrySampler, TelemetrySource, default_sources, open_first_available

PERIOD = 0.02  # s: readings are this much nearer together than at the default of 1 s
READINGS = 100
LIMIT = 0.01  # s of CPU time a reading: 1 % of a core at a reading a second


def seconds_a_reading(reader):
    """CPU time of the sampler's thread from one reading to the next, waiting and bookkeeping included.

    CPU time does not grow when other programs keep the thread waiting.
    """
    begun, readings = [], []
    is_done = threading.Event()

    class Timed:
        name = reader.name
        close = reader.close

        def read(self):
            begun.append(time.thread_time())
            if len(begun) > READINGS:
                is_done.set()
            readings.append(reader.read())
            return readings[-1]

    sampler = TelemetrySampler([TelemetrySource(reader.name, Timed)], PERIOD)
    assert is_done.wait(120), sampler.latest()
    assert sampler.close(10)
    assert not sampler.latest().dropped
    return (begun[READINGS] - begun[0]) / READINGS, readings[-1]


def usual_reader(root):
    return open_first_available(default_sources(root=root)).reader


@pytest.fixture(autouse=True)
def no_packages(monkeypatch):
    """Nothing of this machine's own: each test puts its source into place."""
    for package in ("jtop", "pynvml"):
        monkeypatch.setitem(sys.modules, package, None)


def add_zones_and_devices(root, zones, devices):
    folder = "sys/class/thermal"
    for number in range(zones):
        files = {f"{folder}/thermal_zone{number}/type": f"zone-{number}", f"{folder}/thermal_zone{number}/temp": 45000}
        write_tree(root, files)
    for number in range(devices):
        device = f"{folder}/cooling_device{number}"
        write_tree(root, {f"{device}/type": f"cpu-balanced-{number}", f"{device}/cur_state": 0})
    return root


@pytest.fixture
def orin(tmp_path):
    """Three INA3221 with three rails each, volts and amperes apart; 12 thermal zones, 20 cooling devices."""
    names = ["VDD_IN", *(f"VDD_{number}" for number in range(8))]
    for number, name in enumerate(names):
        monitor, channel = divmod(number, 3)
        folder = f"sys/bus/i2c/drivers/ina3221/1-004{monitor}/hwmon/hwmon{monitor}"
        files = {"label": name, "input": 5000}
        write_tree(tmp_path / folder, {f"in{channel + 1}_{what}": value for what, value in files.items()})
        write_tree(tmp_path / folder, {f"curr{channel + 1}_input": 1480})
    gpu = "sys/class/devfreq/17000000.gpu"
    write_tree(tmp_path, {f"{gpu}/cur_freq": 918000000, f"{gpu}/device/load": 875})
    return add_zones_and_devices(tmp_path, zones=12, devices=20)


@pytest.fixture
def server(tmp_path):
    """Two packages with DRAM, and 64 CPUs that count their throttling."""
    for package in (0, 1):
        add_zone(tmp_path, f":{package}", f"package-{package}")
        add_zone(tmp_path, f":{package}:0", "dram")
        chip = f"sys/class/hwmon/hwmon{package}"
        files = {"name": "coretemp", "temp1_label": f"Package id {package}", "temp1_input": 50000}
        write_tree(tmp_path / chip, files)
    for cpu in range(64):
        files = {"topology/physical_package_id": cpu // 32, "thermal_throttle/core_throttle_count": 0}
        files["thermal_throttle/package_throttle_count"] = 0
        write_tree(tmp_path / f"sys/devices/system/cpu/cpu{cpu}", files)
    return tmp_path


def judge(seconds):
    print(f"{seconds * 1e3:.2f} ms of CPU time a reading")
    assert seconds < LIMIT


def test_a_jetsons_power_monitors_cost_less_than_a_hundredth_of_a_core(orin):
    seconds, reading = seconds_a_reading(usual_reader(orin))
    assert (reading.watts_total, len(reading.temperatures)) == (pytest.approx(7.4), 12)
    judge(seconds)


def test_jetson_stats_costs_less_than_a_hundredth_of_a_core_besides_its_own_thread(monkeypatch, orin):
    module = SimpleNamespace(jtop=lambda interval: Jtop(TX2, None, interval), JtopException=JtopException)
    monkeypatch.setitem(sys.modules, "jtop", module)
    seconds, reading = seconds_a_reading(usual_reader(orin))
    assert (reading.watts_total, reading.throttled) == (7.4, False)
    judge(seconds)


def test_a_graphics_card_with_the_cpu_next_to_it_costs_less_than_a_hundredth_of_a_core(monkeypatch, server):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    seconds, reading = seconds_a_reading(usual_reader(server))
    assert reading.covers == "graphics card + CPU package + DRAM"
    judge(seconds)


def test_the_counters_of_a_large_server_cost_less_than_a_hundredth_of_a_core(server):
    seconds, reading = seconds_a_reading(usual_reader(server))
    assert (reading.covers, reading.throttled) == ("CPU package + DRAM", False)
    judge(seconds)


def test_a_source_that_costs_more_is_found_out():
    class Busy:
        name = "busy"

        def close(self):
            pass

        def read(self):
            end = time.thread_time() + 1.2 * LIMIT
            while time.thread_time() < end:
                pass

    seconds, _ = seconds_a_reading(Busy())
    assert seconds >= 1.2 * LIMIT
