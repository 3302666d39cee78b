"""The lanes of a test run: which tests are fast, and a guard that keeps them fast.

Every test is in one lane:

* ``ros``: tests in ``test/ros`` and tests marked so. They use rclpy.
* ``process``: tests marked so, and tests with one of ``PROCESS_FIXTURES``. They start other programs or let time pass.
* ``slow``: tests marked so. They need seconds of processor time, most of them to build an engine or to train.
* ``fast``: all others. ``make test-fast`` runs these alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROS_FOLDER = Path(__file__).parent / "ros"
PROCESS_FIXTURES = {"tx2", "service", "start_node"}
LONGEST_SLEEP = 0.1  # s
_SLOW_LANES = ("ros", "process", "slow")
_PROCESS_EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}


def assign_lanes(items):
    """Mark each test with its lane."""
    for item in items:
        if ROS_FOLDER in item.path.parents:
            item.add_marker("ros")
        if PROCESS_FIXTURES.intersection(item.fixturenames):
            item.add_marker("process")
        if not any(item.get_closest_marker(lane) for lane in _SLOW_LANES):
            item.add_marker("fast")


class FastLaneGuard:
    """Fails a fast test that starts a process, sleeps for more than 0.1 s or imports rclpy."""

    def __init__(self):
        self._is_fast = False
        sys.addaudithook(self._check)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self._is_fast = item.get_closest_marker("fast") is not None
        yield
        self._is_fast = False

    def _check(self, event, arguments):
        if not self._is_fast:
            return
        if event in _PROCESS_EVENTS:
            pytest.fail(f"a test of the fast lane starts a process ({arguments[0]}): mark it 'process'")
        elif event == "time.sleep" and arguments[0] > LONGEST_SLEEP:
            pytest.fail(f"a test of the fast lane sleeps for {arguments[0]} s: mark it 'process'")
        elif event == "import" and arguments[0] == "rclpy":
            pytest.fail("a test of the fast lane imports rclpy: move it to test/ros")
