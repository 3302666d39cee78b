"""The throughput between two measurements, calculated by hand."""

import math
import threading

import pytest

from espnet_ros.governor.throughput_meter import ThroughputMeter


def test_the_throughput_covers_the_time_since_the_previous_measurement():
    meter = ThroughputMeter(10.0)
    meter.add(latency=0.1, busy=0.04)
    meter.add(latency=0.3, busy=0.08)
    throughput = meter.measure(12.0, received=6)
    assert (throughput.input_rate, throughput.output_rate) == (3.0, 1.0)
    assert throughput.frame_time == pytest.approx(0.06)
    assert throughput.latency == pytest.approx(0.29)  # 0.1 + 0.95 * (0.3 - 0.1)
    meter.add(latency=0.2, busy=0.05)
    throughput = meter.measure(12.5, received=8)
    assert throughput == pytest.approx((4.0, 2.0, 0.05, 0.2))


def test_without_labelled_images_there_are_rates_but_no_times():
    throughput = ThroughputMeter(0.0).measure(2.0, received=4)
    assert (throughput.input_rate, throughput.output_rate) == (2.0, 0.0)
    assert math.isnan(throughput.frame_time) and math.isnan(throughput.latency)


def test_without_images_the_rates_are_0():
    throughput = ThroughputMeter(0.0).measure(2.0, received=0)
    assert (throughput.input_rate, throughput.output_rate) == (0.0, 0.0)


def test_after_no_time_everything_is_unknown():
    meter = ThroughputMeter(5.0)
    assert all(map(math.isnan, meter.measure(5.0, received=1)))
    assert meter.measure(6.0, received=3).input_rate == 2.0


def test_images_from_several_threads_all_count():
    meter = ThroughputMeter(0.0)
    threads = [threading.Thread(target=lambda: [meter.add(0.1, 0.1) for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.measure(1.0, received=4000).output_rate == 4000.0
