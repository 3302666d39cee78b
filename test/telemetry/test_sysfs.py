"""Sensors and cooling devices in folders that look like Linux's."""

import pytest
from kernel_files import write_tree

from espnet_ros.telemetry.sysfs import (
    find_cpu_temperatures,
    find_thermal_zones,
    find_throttles,
    is_throttled,
    read_temperatures,
)


def test_thermal_zones_are_in_degrees_and_have_different_names(tmp_path):
    zones = "sys/class/thermal/thermal_zone"
    write_tree(
        tmp_path,
        {
            f"{zones}0/type": "GPU-therm", f"{zones}0/temp": 41500,
            f"{zones}1/type": "acpitz", f"{zones}1/temp": 27800,
            f"{zones}2/type": "acpitz", f"{zones}2/temp": 29000,
            f"{zones}3/type": "PMIC-Die", f"{zones}3/temp": 100000,
        },
    )  # fmt: skip
    assert read_temperatures(find_thermal_zones(tmp_path)) == {"GPU-therm": 41.5, "acpitz": 27.8, "acpitz2": 29.0}


def test_a_sensor_that_sleeps_is_left_out(tmp_path):
    zone = "sys/class/thermal/thermal_zone0"
    write_tree(tmp_path, {f"{zone}/type": "iwlwifi", f"{zone}/temp": ""})
    assert read_temperatures(find_thermal_zones(tmp_path)) == {}


def test_of_a_cpu_with_a_package_sensor_the_cores_are_left_out(tmp_path):
    chip = "sys/class/hwmon/hwmon3"
    write_tree(
        tmp_path,
        {
            "sys/class/hwmon/hwmon0/name": "nvme", "sys/class/hwmon/hwmon0/temp1_input": 60000,
            f"{chip}/name": "coretemp",
            f"{chip}/temp1_label": "Package id 0", f"{chip}/temp1_input": 55000,
            f"{chip}/temp2_label": "Core 0", f"{chip}/temp2_input": 54000,
        },
    )  # fmt: skip
    assert read_temperatures(find_cpu_temperatures(tmp_path)) == {"coretemp Package id 0": 55.0}


def test_an_amd_sensor_without_a_label_goes_by_its_number(tmp_path):
    chip = "sys/class/hwmon/hwmon1"
    write_tree(tmp_path, {f"{chip}/name": "k10temp", f"{chip}/temp1_input": 48125})
    assert read_temperatures(find_cpu_temperatures(tmp_path)) == {"k10temp temp1": 48.125}


def test_without_a_driver_the_thermal_zone_of_the_package_is_taken(tmp_path):
    zones = "sys/class/thermal/thermal_zone"
    write_tree(
        tmp_path,
        {
            f"{zones}0/type": "acpitz", f"{zones}0/temp": 27800,
            f"{zones}1/type": "x86_pkg_temp", f"{zones}1/temp": 61000,
        },
    )  # fmt: skip
    assert read_temperatures(find_cpu_temperatures(tmp_path)) == {"x86_pkg_temp": 61.0}


@pytest.mark.parametrize(
    ("devices", "throttled"),
    [
        ({}, None),
        ({"pwm-fan": 3}, None),
        ({"pwm-fan": 3, "hot-surface-alert": 1}, None),
        ({"pwm-fan": 3, "gpu-balanced": 0}, False),
        ({"gpu-balanced": 0, "cpu-balanced": 2}, True),
        ({"cpu-balanced": 2, "gpu-balanced": 0}, True),
        ({"gpu-balanced": ""}, None),
    ],
)
def test_a_cooling_device_at_work_that_is_no_fan_means_throttled(tmp_path, devices, throttled):
    for number, (kind, state) in enumerate(devices.items()):
        folder = f"sys/class/thermal/cooling_device{number}"
        write_tree(tmp_path, {f"{folder}/type": kind, f"{folder}/cur_state": state})
    assert is_throttled(find_throttles(tmp_path)) is throttled
