"""Rate, latency and energy of the last seconds, with values worked out by hand."""

import math

import pytest

from espnet_ros.telemetry.frame_statistics import FrameStatistics


def statistics_of(latencies, start=0.0, rate=10.0, window=10.0):
    statistics = FrameStatistics(start, window)
    for number, latency in enumerate(latencies, 1):
        statistics.add_frame(start + number / rate, latency)
    return statistics


def test_percentiles_lie_between_neighbours():
    summary = statistics_of([number / 100 for number in range(101)], rate=20.0).summary(6.0)
    assert (summary.latency_p50, summary.latency_p95, summary.latency_p99) == pytest.approx((0.50, 0.95, 0.99))
    summary = statistics_of([0.1, 0.2]).summary(1.0)
    assert (summary.latency_p50, summary.latency_p95, summary.latency_p99) == pytest.approx((0.15, 0.195, 0.199))


def test_the_rate_counts_from_the_start_until_the_window_is_full():
    statistics = statistics_of([0.05] * 40)  # 10 Hz for 4 s
    assert statistics.summary(4.0).frame_rate == pytest.approx(10.0)
    assert statistics.summary(8.0).frame_rate == pytest.approx(5.0)


def test_what_is_older_than_the_window_is_forgotten():
    statistics = statistics_of([0.9] * 20 + [0.1] * 20, window=2.0)  # 10 Hz, slow for 2 s, then fast for 2 s
    summary = statistics.summary(4.0)
    assert summary.frame_rate == pytest.approx(10.0)
    assert summary.latency_p99 == pytest.approx(0.1)


def test_a_silence_brings_the_rate_to_zero():
    summary = statistics_of([0.05] * 40).summary(60.0)
    assert summary.frame_rate == 0.0
    assert math.isnan(summary.latency_p50)


def test_dropped_images_of_the_window_are_counted():
    statistics = FrameStatistics(0.0, 10.0)
    statistics.add_dropped(1.0)
    statistics.add_dropped(5.0, 3)
    assert statistics.summary(6.0).dropped == 4
    assert statistics.summary(12.0).dropped == 3


def test_joules_per_frame_are_the_energy_between_readings_over_the_images_between_them():
    statistics = FrameStatistics(0.0)
    for stamp in (0.5, 1.5, 2.0, 2.5, 3.0, 3.5):  # 1.5 to 3.0 lie between the readings
        statistics.add_frame(stamp, 0.1)
    for stamp, watts in ((1.0, 10.0), (2.0, 20.0), (3.0, 30.0)):  # 15 J, then 25 J
        statistics.add_reading(stamp, watts)
    summary = statistics.summary(4.0)
    assert summary.watts == pytest.approx(20.0)
    assert summary.joules_per_frame == pytest.approx(10.0)
    assert summary.frames_per_joule == pytest.approx(0.1)


def test_time_without_known_watts_counts_neither_energy_nor_images():
    statistics = statistics_of([0.1] * 80)  # 10 Hz for 8 s
    for stamp, watts in ((1.0, 10.0), (2.0, 10.0), (3.0, math.nan), (4.0, 99.0), (8.0, 99.0)):
        statistics.add_reading(stamp, watts)  # the last two are 4 s apart
    summary = statistics.summary(8.0)
    assert summary.watts == pytest.approx(10.0)
    assert summary.joules_per_frame == pytest.approx(1.0)


def test_a_repeated_reading_counts_once():
    statistics = statistics_of([0.1] * 20)
    for stamp, watts in ((0.0, 8.0), (1.0, 8.0), (1.0, 8.0), (2.0, 8.0)):
        statistics.add_reading(stamp, watts)
    assert statistics.summary(2.0).joules_per_frame == pytest.approx(0.8)


def test_without_images_the_energy_per_image_is_unknown():
    statistics = FrameStatistics(0.0)
    statistics.add_reading(1.0, 5.0)
    statistics.add_reading(2.0, 5.0)
    summary = statistics.summary(2.0)
    assert summary.watts == 5.0
    assert math.isnan(summary.joules_per_frame)
    assert summary.frames_per_joule == 0.0


def test_without_readings_the_energy_is_unknown():
    summary = statistics_of([0.1] * 20).summary(2.0)
    assert math.isnan(summary.watts)
    assert math.isnan(summary.joules_per_frame)
    assert math.isnan(summary.frames_per_joule)
