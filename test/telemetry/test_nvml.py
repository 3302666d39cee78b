"""The NVML reader at the border to ``pynvml``, which a stand-in takes the place of."""

import math
import sys

import pytest
from fake_nvml import NEWER, OLDER, Nvml

from espnet_ros.errors import PowerError
from espnet_ros.telemetry.nvml import NvmlReader
from espnet_ros.telemetry.reading import PowerReading


class Cpu:
    name = "rapl"

    def __init__(self):
        self.error = None

    def read(self):
        if self.error:
            raise self.error
        return PowerReading(0.0, 30.0, watts_cpu=22.0, covers="CPU package", temperatures={"Tctl": 70.0})

    def close(self):
        pass


@pytest.fixture
def install(monkeypatch):
    def install_standin(**options):
        nvml = Nvml(**options)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    return install_standin


def test_all_values_of_a_card_are_in_si_units(install):
    install()
    reading = NvmlReader(clock=lambda: 7.0).read()
    assert reading.stamp == 7.0
    assert (reading.watts_total, reading.watts_gpu, reading.covers) == (123.4, 123.4, "graphics card")
    assert math.isnan(reading.watts_cpu)
    assert reading.temperatures == {"GPU": 64.0}
    assert (reading.gpu_load, reading.gpu_clock) == (0.37, 1.695e9)
    assert reading.throttled is False


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [(0x01, False), (0x02, False), (0x04, False), (0x08, True), (0x20, True), (0x40, True), (0x80, True), (0x44, True)],
)
def test_heat_and_over_current_are_throttling_but_idling_and_a_set_limit_are_not(install, reasons, throttled):
    install(reasons=reasons)
    assert NvmlReader().read().throttled is throttled


def test_an_older_package_knows_throttling_by_its_older_name(install):
    install(reasons=0x40, reason_functions=(OLDER,))
    assert NvmlReader().read().throttled is True


def test_an_older_driver_under_a_newer_package_too(install):
    install(reasons=0x40).refused = {NEWER}
    assert NvmlReader().read().throttled is True


def test_what_the_card_does_not_support_is_unknown(install):
    install().refused = {NEWER, OLDER, "nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates"}
    reading = NvmlReader().read()
    assert math.isnan(reading.watts_total) and math.isnan(reading.gpu_load)
    assert reading.throttled is None
    assert reading.covers == ""
    assert reading.temperatures == {"GPU": 64.0}


def test_the_cpu_next_to_it_is_added(install):
    install()
    reading = NvmlReader(cpu=Cpu()).read()
    assert (reading.watts_total, reading.covers) == (pytest.approx(153.4), "graphics card + CPU package")
    assert (reading.watts_gpu, reading.watts_cpu) == (123.4, 22.0)
    assert reading.temperatures == {"Tctl": 70.0, "GPU": 64.0}


def test_a_cpu_that_fails_leaves_the_card(install):
    install()
    cpu = Cpu()
    reader = NvmlReader(cpu=cpu)
    cpu.error = PowerError("rapl: gone")
    reading = reader.read()
    assert (reading.watts_total, reading.covers) == (123.4, "graphics card")


def test_a_card_that_falls_off_the_bus_is_an_error(install):
    nvml = install()
    reader = NvmlReader()
    nvml.refused = {"nvmlDeviceGetPowerUsage"}
    with pytest.raises(PowerError, match="nvml: the graphics card no longer answers: Not Supported"):
        reader.read()


def test_the_library_is_let_go(install):
    nvml = install()
    reader = NvmlReader()
    assert nvml.initialised == 1
    reader.close()
    assert nvml.initialised == 0


@pytest.mark.parametrize(
    ("index", "refused", "message"),
    [
        (0, {"nvmlInit"}, "nvml: the NVIDIA driver cannot be reached"),
        (2, set(), "nvml: graphics card 2 cannot be used: Invalid Argument"),
        (0, {"nvmlDeviceGetPowerUsage", "nvmlDeviceGetTemperature"}, "nvml: graphics card 0 reports neither"),
    ],
)
def test_a_card_of_no_use_is_refused_by_name_and_let_go(install, index, refused, message):
    nvml = install()
    nvml.refused = refused
    with pytest.raises(PowerError, match=message):
        NvmlReader(index)
    assert nvml.initialised == 0


def test_without_the_package_the_reason_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(PowerError, match="nvml: the Python package nvidia-ml-py is not installed"):
        NvmlReader()
