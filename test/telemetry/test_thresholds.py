"""Which values are beyond a level."""

import math

import pytest

from espnet_ros.config import NodeConfig
from espnet_ros.telemetry.frame_statistics import FrameSummary
from espnet_ros.telemetry.reading import PowerReading
from espnet_ros.telemetry.thresholds import Excess, judge_frames, judge_reading

GOOD = {"frame_rate": 10.0, "latency_p50": 0.04, "latency_p95": 0.1, "latency_p99": 0.2, "watts": 7.0}
GOOD.update(joules_per_frame=0.7, frames_per_joule=1.4, dropped=0)


def reading(watts=math.nan, **temperatures):
    return PowerReading(0.0, watts_total=watts, temperatures=temperatures)


def frames(**values):
    return FrameSummary(**{**GOOD, **values})


def test_the_hottest_sensor_is_judged_by_default():
    assert judge_reading(NodeConfig(), reading(GPU=89.9, CPU=90.0)) == []
    found = judge_reading(NodeConfig(), reading(GPU=90.5, CPU=20.0))
    assert found == [Excess(False, "hottest sensor GPU is 90.5 °C, warn_temperature is 90 °C")]


def test_an_error_stands_for_its_warning_too_and_says_by_how_much():
    found = judge_reading(NodeConfig(), reading(GPU=100.4))
    assert found == [Excess(True, "hottest sensor GPU is 100.4 °C, error_temperature is 100 °C")]


def test_an_error_without_a_warning_is_one_too():
    config = NodeConfig(error_power=7.0)
    assert judge_reading(config, reading(7.5)) == [Excess(True, "power is 7.5 W, error_power is 7 W")]


def test_a_level_of_0_is_never_passed():
    config = NodeConfig(warn_temperature=0.0, error_temperature=0.0)
    assert judge_reading(config, reading(1234.0, GPU=150.0)) == []
    assert judge_frames(config, frames(joules_per_frame=99.0, latency_p95=9.0, frame_rate=0.0), is_wanted=True) == []


@pytest.mark.parametrize("quantity", ["temperature", "power", "energy", "latency", "rate"])
def test_what_is_not_known_passes(quantity):
    config = NodeConfig(**{f"warn_{quantity}": 1.0, f"error_{quantity}": 1.0})
    unknown = frames(joules_per_frame=math.nan, latency_p95=math.nan, frame_rate=math.nan)
    assert judge_reading(config, reading()) + judge_frames(config, unknown, is_wanted=True) == []


def test_temperature_and_power_are_both_told():
    found = judge_reading(NodeConfig(warn_power=1000.0), reading(1234.0, GPU=95.0))
    assert [excess.text for excess in found] == [
        "hottest sensor GPU is 95 °C, warn_temperature is 90 °C",
        "power is 1234 W, warn_power is 1000 W",
    ]


@pytest.mark.parametrize(
    ("levels", "values", "found"),
    [
        ({"warn_energy": 0.7}, {}, []),
        ({"warn_energy": 0.6}, {}, [Excess(False, "energy of an image is 0.7 J, warn_energy is 0.6 J")]),
        (
            {"warn_latency": 0.05, "error_latency": 0.2},
            {},
            [Excess(False, "95th percentile of the latency is 0.1 s, warn_latency is 0.05 s")],
        ),
        ({"warn_rate": 10.0}, {}, []),
        (
            {"warn_rate": 15.0, "error_rate": 12.0},
            {},
            [Excess(True, "rate of answers is 10 Hz, error_rate is 12 Hz")],
        ),
        (
            {"warn_rate": 15.0, "error_rate": 12.0},
            {"frame_rate": 13.0},
            [Excess(False, "rate of answers is 13 Hz, warn_rate is 15 Hz")],
        ),
        ({"error_rate": 1.0}, {"frame_rate": 0.0}, [Excess(True, "rate of answers is 0 Hz, error_rate is 1 Hz")]),
    ],
)
def test_energy_and_latency_are_judged_from_above_and_the_rate_from_below(levels, values, found):
    assert judge_frames(NodeConfig(**levels), frames(**values), is_wanted=True) == found


def test_a_rate_that_nobody_wants_is_not_judged():
    assert judge_frames(NodeConfig(warn_rate=100.0), frames(), is_wanted=False) == []
