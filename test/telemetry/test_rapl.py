"""RAPL's counters in folders that look like powercap's, with watts worked out by hand."""

import errno
import math

import pytest
from kernel_files import POWERCAP, SPAN, add_zone, set_energies, write_tree

import espnet_ros.telemetry.rapl as rapl
from espnet_ros.errors import PowerError
from espnet_ros.telemetry.rapl import RaplReader


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def laptop(tmp_path):
    """A package with cores and an integrated GPU."""
    write_tree(tmp_path, {f"{POWERCAP}/intel-rapl/enabled": 1})  # powercap's own folder has no counter
    add_zone(tmp_path, ":0", "package-0", 5_000_000)
    add_zone(tmp_path, ":0:0", "core", 2_000_000)
    add_zone(tmp_path, ":0:1", "uncore", 1_000_000)
    return tmp_path


def test_watts_are_the_energy_since_the_last_reading_over_its_time(laptop):
    clock = Clock()
    reader = RaplReader(laptop, clock)
    clock.now += 2.0
    set_energies(laptop, _0=35_000_000, _0_0=18_000_000, _0_1=4_000_000)
    reading = reader.read()
    assert reading.watts_total == pytest.approx(15.0)  # 30 J in 2 s
    assert reading.watts_cpu == pytest.approx(8.0)
    assert reading.watts_gpu == pytest.approx(1.5)
    assert (reading.covers, reading.stamp) == ("CPU package", 102.0)
    clock.now += 0.5
    set_energies(laptop, _0=36_000_000)
    assert reader.read().watts_total == pytest.approx(2.0)


def test_a_counter_that_starts_again_at_zero_goes_on_counting(tmp_path):
    clock = Clock()
    add_zone(tmp_path, ":0", "package-0", SPAN - 4_000_000)
    reader = RaplReader(tmp_path, clock)
    clock.now += 1.0
    set_energies(tmp_path, _0=8_500_000)
    assert reader.read().watts_total == pytest.approx(12.5)  # 4 J up to the end and 8.5 J from 0


def test_packages_are_summed_up_and_dram_comes_on_top(tmp_path):
    clock = Clock()
    for zone, name in ((":0", "package-0"), (":1", "package-1-die-0"), (":0:0", "dram"), (":1:0", "dram")):
        add_zone(tmp_path, zone, name)
    reader = RaplReader(tmp_path, clock)
    clock.now += 1.0
    set_energies(tmp_path, _0=60_000_000, _1=50_000_000, _0_0=5_000_000, _1_0=7_000_000)
    reading = reader.read()
    assert (reading.watts_total, reading.covers) == (pytest.approx(122.0), "CPU package + DRAM")
    assert reading.watts_cpu == pytest.approx(110.0)
    assert math.isnan(reading.watts_gpu)


@pytest.mark.parametrize(("platform", "total", "covers"), [(20, 20.0, "platform"), (0, 15.0, "CPU package")])
def test_the_platform_is_the_total_unless_its_counter_stands_still(laptop, platform, total, covers):
    add_zone(laptop, ":1", "psys")
    clock = Clock()
    reader = RaplReader(laptop, clock)
    clock.now += 1.0
    set_energies(laptop, _0=20_000_000, _1=platform * 1_000_000)
    reading = reader.read()
    assert (reading.watts_total, reading.covers) == (pytest.approx(total), covers)


def test_counters_that_stand_still_are_zero_watts(laptop):
    clock = Clock()
    reader = RaplReader(laptop, clock)
    clock.now += 1.0
    reading = reader.read()
    assert (reading.watts_total, reading.covers) == (0.0, "CPU package")


def test_cores_of_some_packages_only_do_not_pass_for_the_cpu(laptop):
    add_zone(laptop, ":1", "package-1")
    clock = Clock()
    reader = RaplReader(laptop, clock)
    clock.now += 1.0
    set_energies(laptop, _0=25_000_000, _0_0=12_000_000, _1=10_000_000)
    assert reader.read().watts_cpu == pytest.approx(30.0)


def test_watts_are_not_known_right_after_the_start_and_then_kept_over_short_intervals(laptop):
    clock = Clock()
    reader = RaplReader(laptop, clock)
    clock.now += 0.001
    assert math.isnan(reader.read().watts_total)
    clock.now += 0.999
    set_energies(laptop, _0=15_000_000)
    assert reader.read().watts_total == pytest.approx(10.0)
    clock.now += 0.001
    assert reader.read().watts_total == pytest.approx(10.0)


def test_counts_of_throttling_that_move_mean_throttled(laptop):
    cpus = "sys/devices/system/cpu"
    for cpu in (0, 1):
        folder = f"{cpus}/cpu{cpu}"
        write_tree(
            laptop,
            {
                f"{folder}/topology/physical_package_id": 0,
                f"{folder}/thermal_throttle/core_throttle_count": 3,
                f"{folder}/thermal_throttle/package_throttle_count": 7,
            },
        )
    reader = RaplReader(laptop)
    assert reader.read().throttled is False
    write_tree(laptop, {f"{cpus}/cpu1/thermal_throttle/core_throttle_count": 4})
    assert reader.read().throttled is True
    assert reader.read().throttled is False
    write_tree(laptop, {f"{cpus}/cpu0/thermal_throttle/package_throttle_count": 8})
    assert reader.read().throttled is True


def test_what_is_not_there_is_not_known(laptop):
    reading = RaplReader(laptop).read()
    assert reading.throttled is None
    assert reading.temperatures == {}
    assert math.isnan(reading.temperature) and reading.hottest == ""
    assert math.isnan(reading.gpu_load) and math.isnan(reading.gpu_clock)


def test_the_hottest_sensor_is_named(laptop):
    for number, celsius in ((0, 55000), (1, 61000)):
        chip = f"sys/class/hwmon/hwmon{number}"
        files = {f"{chip}/name": "coretemp", f"{chip}/temp1_label": f"Package id {number}"}
        write_tree(laptop, {**files, f"{chip}/temp1_input": celsius})
    reading = RaplReader(laptop).read()
    assert (reading.hottest, reading.temperature) == ("coretemp Package id 1", 61.0)


def test_a_machine_without_counters_is_refused_by_name(tmp_path):
    with pytest.raises(PowerError, match="rapl: .*powercap has no energy counter of a CPU package"):
        RaplReader(tmp_path)


def test_counters_for_root_only_are_refused_with_what_helps(laptop, monkeypatch):
    def refuse(file):
        if file.name == "energy_uj":
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return original(file)

    original = rapl.read_integer  # root may read any file, so that the rights alone would not do here
    monkeypatch.setattr(rapl, "read_integer", refuse)
    with pytest.raises(PowerError, match=r"rapl: .*intel-rapl:0/energy_uj is readable by root only.*sudo chmod a\+r"):
        RaplReader(laptop)


def test_a_counter_that_goes_away_is_an_error(laptop):
    reader = RaplReader(laptop)
    (laptop / POWERCAP / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(PowerError, match="rapl: an energy counter cannot be read"):
        reader.read()
