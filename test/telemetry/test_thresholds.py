"""Checks of measured values against thresholds."""

import math

import pytest

from espnet_ros.config import NodeConfig
from espnet_ros.telemetry.frame_statistics import FrameSummary
from espnet_ros.telemetry.reading import PowerReading
from espnet_ros.telemetry.thresholds import ThresholdViolation, check_frames, check_reading

GOOD = {"frame_rate": 10.0, "latency_p50": 0.04, "latency_p95": 0.1, "latency_p99": 0.2, "watts": 7.0}
GOOD.update(joules_per_frame=0.7, frames_per_joule=1.4, dropped=0)


def reading(watts=math.nan, **temperatures):
    return PowerReading(0.0, watts_total=watts, temperatures=temperatures)


def frames(**values):
    return FrameSummary(**{**GOOD, **values})


def test_the_hottest_sensor_is_checked_by_default():
    assert check_reading(NodeConfig(), reading(GPU=89.9, CPU=90.0)) == []
    found = check_reading(NodeConfig(), reading(GPU=90.5, CPU=20.0))
    assert found == [ThresholdViolation(False, "hottest sensor GPU is 90.5 °C, above warn_temperature (90 °C)")]


def test_an_error_stands_for_its_warning_too_and_says_by_how_much():
    found = check_reading(NodeConfig(), reading(GPU=100.4))
    assert found == [ThresholdViolation(True, "hottest sensor GPU is 100.4 °C, above error_temperature (100 °C)")]


def test_an_error_without_a_warning_is_one_too():
    config = NodeConfig(error_power=7.0)
    assert check_reading(config, reading(7.5)) == [ThresholdViolation(True, "power is 7.5 W, above error_power (7 W)")]


def test_a_threshold_of_0_disables_the_check():
    config = NodeConfig(warn_temperature=0.0, error_temperature=0.0)
    assert check_reading(config, reading(1234.0, GPU=150.0)) == []
    assert check_frames(config, frames(joules_per_frame=99.0, latency_p95=9.0, frame_rate=0.0), check_rate=True) == []


@pytest.mark.parametrize("quantity", ["temperature", "power", "energy", "latency", "rate"])
def test_unknown_values_pass(quantity):
    config = NodeConfig(**{f"warn_{quantity}": 1.0, f"error_{quantity}": 1.0})
    unknown = frames(joules_per_frame=math.nan, latency_p95=math.nan, frame_rate=math.nan)
    assert check_reading(config, reading()) + check_frames(config, unknown, check_rate=True) == []


def test_temperature_and_power_are_both_reported():
    found = check_reading(NodeConfig(warn_power=1000.0), reading(1234.0, GPU=95.0))
    assert [violation.text for violation in found] == [
        "hottest sensor GPU is 95 °C, above warn_temperature (90 °C)",
        "power is 1234 W, above warn_power (1000 W)",
    ]


@pytest.mark.parametrize(
    ("thresholds", "values", "found"),
    [
        ({"warn_energy": 0.7}, {}, []),
        ({"warn_energy": 0.6}, {}, [ThresholdViolation(False, "energy per frame is 0.7 J, above warn_energy (0.6 J)")]),
        (
            {"warn_latency": 0.05, "error_latency": 0.2},
            {},
            [ThresholdViolation(False, "latency (95th percentile) is 0.1 s, above warn_latency (0.05 s)")],
        ),
        ({"warn_rate": 10.0}, {}, []),
        (
            {"warn_rate": 15.0, "error_rate": 12.0},
            {},
            [ThresholdViolation(True, "frame rate is 10 Hz, below error_rate (12 Hz)")],
        ),
        (
            {"warn_rate": 15.0, "error_rate": 12.0},
            {"frame_rate": 13.0},
            [ThresholdViolation(False, "frame rate is 13 Hz, below warn_rate (15 Hz)")],
        ),
        (
            {"error_rate": 1.0},
            {"frame_rate": 0.0},
            [ThresholdViolation(True, "frame rate is 0 Hz, below error_rate (1 Hz)")],
        ),
    ],
)
def test_energy_and_latency_are_checked_from_above_and_the_rate_from_below(thresholds, values, found):
    assert check_frames(NodeConfig(**thresholds), frames(**values), check_rate=True) == found


def test_a_rate_without_subscriber_is_not_checked():
    assert check_frames(NodeConfig(warn_rate=100.0), frames(), check_rate=False) == []
