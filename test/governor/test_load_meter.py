"""What the images of the last second cost, by hand."""

import math
import threading

import pytest

from espnet_ros.governor.load_meter import LoadMeter


def test_the_load_is_that_of_the_time_since_it_was_taken_last():
    meter = LoadMeter(10.0)
    meter.add(latency=0.1, busy=0.04)
    meter.add(latency=0.3, busy=0.08)
    load = meter.take(12.0, received=6)
    assert (load.asked_rate, load.answered_rate) == (3.0, 1.0)
    assert load.seconds == pytest.approx(0.06)
    assert load.latency == pytest.approx(0.29)  # 0.1 + 0.95 * (0.3 - 0.1)
    meter.add(latency=0.2, busy=0.05)
    load = meter.take(12.5, received=8)
    assert load == pytest.approx((4.0, 2.0, 0.05, 0.2))


def test_without_answers_there_are_rates_but_no_times():
    load = LoadMeter(0.0).take(2.0, received=4)
    assert (load.asked_rate, load.answered_rate) == (2.0, 0.0)
    assert math.isnan(load.seconds) and math.isnan(load.latency)


def test_without_images_the_rates_are_0():
    load = LoadMeter(0.0).take(2.0, received=0)
    assert (load.asked_rate, load.answered_rate) == (0.0, 0.0)


def test_without_time_nothing_is_known():
    meter = LoadMeter(5.0)
    assert all(map(math.isnan, meter.take(5.0, received=1)))
    assert meter.take(6.0, received=3).asked_rate == 2.0


def test_answers_from_several_threads_all_count():
    meter = LoadMeter(0.0)
    threads = [threading.Thread(target=lambda: [meter.add(0.1, 0.1) for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.take(1.0, received=4000).answered_rate == 4000.0
