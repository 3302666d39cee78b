"""The power ceiling, calculated by hand: limit 85 °C, and the current option draws 10 W in the model."""

import math

import pytest

from espnet_ros.governor.thermal_guard import ThermalGuard
from espnet_ros.governor.types import Observation, Tuning


class _Board:
    def __init__(self, limit=85.0):
        self.guard = ThermalGuard(limit, Tuning())
        self.time = -1.0

    def second(self, temperature, may_step=True, goal_missed=False, throttled=False):
        """Advance one second; return whether the ceiling was lowered."""
        self.time += 1
        observation = Observation(self.time, temperature=temperature, throttled=throttled)
        self.guard.observe(observation)
        return self.guard.update(observation, 10.0, may_step, goal_missed) is not None

    def seconds(self, count, temperature, **state):
        """Advance ``count`` seconds; return the seconds in which the ceiling was lowered."""
        return [second for second in range(count) if self.second(temperature, **state)]

    def relaxed_after(self, temperature, **state):
        """Advance until the ceiling is relaxed; return the seconds this took."""
        ceiling = self.guard.ceiling
        for count in range(4000):
            self.second(temperature, **state)
            if self.guard.ceiling > ceiling:
                return count
        return None


def test_a_step_down_leaves_92_percent_of_the_watts():
    board = _Board()
    assert board.second(83.0)
    assert board.guard.ceiling == pytest.approx(9.2)


def test_a_board_that_stays_within_the_margin_is_left_alone():
    assert _Board().seconds(600, 83.5) == [0]


def test_in_the_last_half_degree_it_must_fall():
    assert _Board().seconds(25, 84.5) == [0, 10, 20]


def test_above_the_limit_it_must_be_back_within_20_seconds():
    board = _Board()
    board.guard.set_limit(70.0)
    slow = [board.second(80.0 - 0.1 * second) for second in range(40)]  # at 78 it would be 76 within 20 s
    assert sum(slow) == 4
    board = _Board()
    for second in range(12):
        board.second(77.0 - 0.4 * second)
    board.guard.set_limit(70.0)
    assert not any(board.second(72.2 - 0.4 * second) for second in range(5))  # 64.2 within 20 s


def test_a_fast_rise_is_answered_by_a_large_step():
    board = _Board()
    assert [board.second(66.0 + second) for second in range(12)].index(True) == 11  # 77 °C, 8 K below
    assert board.guard.ceiling == pytest.approx(8.0)  # 87 °C in 10 s
    board = _Board()
    assert [board.second(66.0 + second / 2) for second in range(23)].index(True) == 22  # 77 °C
    assert board.guard.ceiling == pytest.approx(9.2)  # 82 °C in 10 s


def test_a_rise_within_a_degree_of_the_limit_is_answered_by_a_large_step():
    board = _Board()
    # 0.05 degrees a second; a slope is known 10 s after the step before.
    assert [board.second(83.2 + second / 20) for second in range(11)] == [True] + 9 * [False] + [True]
    assert board.guard.ceiling == pytest.approx(9.2)  # at 83.7 °C
    assert [board.second(83.75 + second / 20) for second in range(10)] == 9 * [False] + [True]
    assert board.guard.ceiling == pytest.approx(8.0)  # at 84.2 °C


def test_a_throttling_board_steps_down_every_3_seconds_without_waiting():
    assert _Board().seconds(7, 96.0, throttled=True, may_step=False) == [0, 3, 6]
    assert _Board().seconds(7, 84.0, may_step=False) == []


def test_the_ceiling_is_relaxed_after_a_minute_8_degrees_below_the_limit():
    board = _Board()
    board.second(83.0)
    assert board.seconds(300, 77.5) == [] and board.guard.ceiling == pytest.approx(9.2)
    assert board.relaxed_after(77.0) == 60
    assert board.guard.ceiling == pytest.approx(10.2)  # 9.2 / 0.92 * 1.02


def test_the_ceiling_is_relaxed_after_the_hold_if_the_goal_is_missed():
    board = _Board()
    board.second(83.0)
    assert board.relaxed_after(77.0, goal_missed=True) == 12


def test_heat_after_a_relaxation_makes_the_next_wait_four_times_as_long():
    board = _Board()
    waits = []
    for _ in range(5):
        board.second(83.0)
        waits.append(board.relaxed_after(75.0))
        board.seconds(20, 80.0)
    assert waits == [60, 240, 960, 1800, 1800]


def test_after_a_failed_relaxation_a_missed_goal_waits_a_quarter_as_long():
    board = _Board()
    for _ in range(2):
        board.second(83.0)
        board.relaxed_after(75.0)
        board.seconds(20, 80.0)
    board.second(83.0)
    assert board.relaxed_after(75.0, goal_missed=True) == 240


def test_a_slope_from_before_a_change_is_ignored():
    board = _Board()
    for second in range(11):
        board.second(66.0 + second)
    board.guard.restart_slope(board.time)
    assert not any(board.second(77.0) for _ in range(9))


def test_a_failed_relaxation_is_retried_sooner_if_the_board_is_3_degrees_cooler():
    board = _Board()
    for _ in range(2):
        board.second(83.0)
        waited = board.relaxed_after(75.0)
    assert waited == 240
    board.second(83.0)
    assert board.relaxed_after(72.0) == 60


def test_another_limit_resets_failed_relaxations():
    board = _Board()
    for _ in range(2):
        board.second(83.0)
        board.relaxed_after(75.0)
    board.guard.set_limit(90.0)
    board.second(88.0)
    assert board.relaxed_after(80.0) == 60


def test_without_a_temperature_the_ceiling_stays():
    board = _Board()
    board.second(83.0)
    assert board.relaxed_after(math.nan) is None
