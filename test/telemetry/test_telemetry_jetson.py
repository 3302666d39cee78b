"""Both readers of a Jetson: at the border to ``jtop``, which a stand-in takes the place of, and on a TX2's files."""

import math
import sys
from types import SimpleNamespace

import pytest
from fake_jetson_stats import TX2, Jtop, JtopException, rail
from kernel_files import write_tree

from espnet_ros.errors import PowerError
from espnet_ros.telemetry.jetson import Ina3221Reader, JetsonStatsReader


@pytest.fixture
def install(monkeypatch):
    """Puts the stand-in into place; gives a list that each ``jtop`` which is made comes into."""

    def install_standin(board=TX2, start_error=None):
        made = []

        def make(interval=1.0):
            made.append(Jtop(board, start_error, interval))
            return made[-1]

        monkeypatch.setitem(sys.modules, "jtop", SimpleNamespace(jtop=make, JtopException=JtopException))
        return made

    return install_standin


def read_power(install, power, gpu=None):
    install({**TX2, "power": power, "gpu": gpu or {}})
    return JetsonStatsReader().read()


def test_jetson_stats_tells_all_in_si_units(install, tmp_path):
    folder = "sys/class/thermal/cooling_device0"
    write_tree(tmp_path, {f"{folder}/type": "gpu-balanced", f"{folder}/cur_state": 1})
    install()
    reading = JetsonStatsReader(root=tmp_path).read()
    assert (reading.watts_total, reading.watts_gpu, reading.watts_cpu) == (7.4, 2.21, 0.98)
    assert reading.covers == "module (VDD_IN)"
    assert reading.temperatures == {"GPU": 43.5, "MCPU": 45.0}
    assert (reading.gpu_load, reading.gpu_clock) == (0.875, 1.13475e9)
    assert reading.throttled is True


def test_without_an_input_rail_the_rails_are_summed_up_and_usb_supplies_are_none_of_them(install):
    rails = {"VDD_GPU_SOC": rail(6000), "VDD_CPU_CV": rail(1500), "VIN_SYS_5V0": rail(4000), "usb": rail(9000, "USB")}
    reading = read_power(install, {"rail": rails, "tot": {"power": 20500, "avg": 20500}})
    assert (reading.watts_total, reading.covers) == (11.5, "sum of the module's rails")
    assert (reading.watts_gpu, reading.watts_cpu) == (6.0, 1.5)


def test_a_rail_that_feeds_both_tells_neither_gpu_nor_cpu(install):
    rails = {"VDD_CPU_GPU_CV": rail(3000), "VDD_SOC": rail(1200)}
    reading = read_power(install, {"rail": rails, "tot": {**rail(6500), "name": "VDD_IN"}})
    assert reading.watts_total == 6.5
    assert math.isnan(reading.watts_gpu) and math.isnan(reading.watts_cpu)


def test_thors_input_is_not_added_to_what_it_feeds(install):
    rails = {"VDD_GPU": rail(9000), "VDD_CPU_SOC_MSS": rail(8000), "VIN_SYS_5V0": rail(5000), "VIN": rail(30000)}
    nvml = {"NVIDIA Thor": {"type": "integrated", "status": {"load": 12.0}, "freq": {"cur": 1575}}}
    reading = read_power(install, {"rail": rails, "tot": {"power": 52000, "avg": 52000}}, nvml)
    assert (reading.watts_total, reading.watts_gpu, reading.covers) == (30.0, 9.0, "module (VIN)")
    assert reading.gpu_clock == 1.575e9


def test_a_board_without_power_monitor_tells_the_rest(install):
    reading = read_power(install, {})
    assert math.isnan(reading.watts_total) and reading.covers == ""
    assert math.isnan(reading.gpu_load) and math.isnan(reading.gpu_clock)
    assert reading.temperature == 45.0


def test_data_are_as_old_as_when_they_came_from_the_service(install):
    times = iter([1.0, 2.0, 3.0])
    made = install()
    reader = JetsonStatsReader(period=0.5, clock=lambda: next(times))  # the first is the start
    assert made[0].interval == 0.5
    assert reader.read().stamp == reader.read().stamp == 2.0
    made[0].fetch()
    assert reader.read().stamp == 3.0


def test_a_service_that_has_gone_is_an_error(install):
    made = install()
    reader = JetsonStatsReader()
    made[0].error = JtopException("Lost connection with jtop server")
    with pytest.raises(PowerError, match="jetson-stats: the service has stopped: Lost connection with jtop server"):
        reader.read()
    made[0].error = None
    reader.close()
    with pytest.raises(PowerError, match="jetson-stats: the service has stopped$"):
        reader.read()


def test_a_service_that_is_not_there_is_refused_with_what_jtop_says(install):
    install(start_error=JtopException("The jtop.service is not active. Please run:\nsudo jtop --install-service"))
    with pytest.raises(PowerError, match=r"jetson-stats: .*not active. Please run: sudo jtop --install-service$"):
        JetsonStatsReader()


def test_without_the_package_the_reason_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", None)
    with pytest.raises(PowerError, match="jetson-stats: the Python package jetson-stats is not installed"):
        JetsonStatsReader()


@pytest.fixture
def tx2(tmp_path):
    """JetPack 4: milliwatts from the driver ina3221x. The carrier board has a monitor too."""
    drivers = "sys/bus/i2c/drivers/ina3221x"
    monitors = {
        "0-0040/iio:device0": {"VDD_SYS_GPU": 2210, "VDD_SYS_SOC": 760, "VDD_4V0_WIFI": 40},
        "0-0041/iio:device1": {"VDD_IN": 7400, "VDD_SYS_CPU": 980, "VDD_SYS_DDR": 1300},
        "0-0042/iio:device2": {"VDD_MUX": 9300, "VDD_5V_IO_SYS": 1900, "VDD_3V3_SYS": 700},
    }
    for folder, rails in monitors.items():
        for number, (name, milliwatts) in enumerate(rails.items()):
            files = {f"rail_name_{number}": name, f"in_power{number}_input": milliwatts}
            write_tree(tmp_path / drivers / folder, files)
    zone = "sys/class/thermal/thermal_zone0"
    write_tree(tmp_path, {f"{zone}/type": "MCPU-therm", f"{zone}/temp": 45500})
    gpu = "sys/class/devfreq/17000000.gp10b"
    return write_tree(tmp_path, {f"{gpu}/cur_freq": 1134750000, f"{gpu}/device/load": 875})


def test_a_tx2_without_jetson_stats_is_read_from_its_files(tx2):
    reading = Ina3221Reader(tx2, clock=lambda: 5.0).read()
    assert (reading.watts_total, reading.watts_gpu, reading.watts_cpu) == (7.4, 2.21, 0.98)
    assert (reading.covers, reading.stamp) == ("module (VDD_IN)", 5.0)
    assert reading.temperatures == {"MCPU-therm": 45.5}
    assert (reading.gpu_load, reading.gpu_clock) == (0.875, 1.13475e9)
    assert reading.throttled is None


def test_the_carrier_board_does_not_count_where_the_input_is_not_measured(tx2):
    (tx2 / "sys/bus/i2c/drivers/ina3221x/0-0041/iio:device1/rail_name_0").unlink()
    # 2.21 + 0.76 + 0.04 + 0.98 + 1.3
    assert Ina3221Reader(tx2).read().watts_total == pytest.approx(5.29)


def test_from_jetpack_5_on_watts_are_volts_times_amperes(tmp_path):
    folder = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon4"
    write_tree(
        tmp_path,
        {
            f"{folder}/in1_label": "VDD_IN", f"{folder}/in1_input": 5000, f"{folder}/curr1_input": 1480,
            f"{folder}/in2_label": "VDD_CPU_GPU_CV", f"{folder}/in2_input": 5000, f"{folder}/curr2_input": 400,
            f"{folder}/in3_label": "NC", f"{folder}/in3_input": 5000, f"{folder}/curr3_input": 0,
            f"{folder}/in7_label": "sum of shunt voltages", f"{folder}/in7_input": 3,
        },
    )  # fmt: skip
    reading = Ina3221Reader(tmp_path).read()
    assert (reading.watts_total, reading.covers) == (pytest.approx(7.4), "module (VDD_IN)")
    assert math.isnan(reading.watts_gpu)


def test_a_rail_that_goes_away_is_an_error(tx2):
    reader = Ina3221Reader(tx2)
    (tx2 / "sys/bus/i2c/drivers/ina3221x/0-0041/iio:device1/in_power0_input").unlink()
    with pytest.raises(PowerError, match="ina3221: a power rail cannot be read"):
        reader.read()


def test_a_board_without_monitors_is_refused_by_name(tmp_path):
    with pytest.raises(PowerError, match="ina3221: .*i2c/drivers has no INA3221 power monitor"):
        Ina3221Reader(tmp_path)
