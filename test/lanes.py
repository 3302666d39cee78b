"""The lanes of a test run: which tests are fast, and a guard that keeps them fast.

Every test is in exactly one lane:

* ``ros``: tests in ``test/ros``. They use rclpy.
* ``process``: tests marked so, and tests of the stand-in board (fixture ``tx2``) that are not marked otherwise. They
  start other programs or let time pass.
* ``slow``: tests marked so. They need seconds of processor time, most of them to build an engine or to train.
* ``fast``: all others. ``make test-fast`` runs these alone.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

ROS_FOLDER = Path(__file__).parent / "ros"
LANES = ("fast", "ros", "process", "slow")
LONGEST_SLEEP = 0.1  # s
_PROCESS_EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}


def lanes_of(item):
    """Lanes that a test is marked with."""
    return [lane for lane in LANES if item.get_closest_marker(lane)]


def assign_lanes(items):
    """Mark each test that is not marked yet with its lane.

    Raises:
        pytest.UsageError: a test would be in two lanes.
    """
    for item in items:
        if ROS_FOLDER in item.path.parents:
            item.add_marker("ros")
        elif not lanes_of(item):
            item.add_marker("process" if "tx2" in item.fixturenames else "fast")
        if len(lanes_of(item)) > 1:
            raise pytest.UsageError(f"{item.nodeid} is in the lanes {' and '.join(lanes_of(item))}: mark it with one")


class FastLaneGuard:
    """Fails a fast test that starts a process, sleeps for more than 0.1 s or imports rclpy."""

    def __init__(self):
        self._is_fast = False
        self._thread_offence = None
        sys.addaudithook(self._check)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self._is_fast = item.get_closest_marker("fast") is not None
        sleep = time.sleep
        if self._is_fast:
            time.sleep = self._guard(sleep)  # Python 3.11 has no audit event for it
        try:
            yield
        finally:
            time.sleep = sleep
            self._is_fast = False

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self):
        """Fail a test for what one of its threads did: an error in a thread fails no test."""
        self._thread_offence = None
        outcome = yield
        if self._thread_offence is not None and outcome.excinfo is None:
            outcome.force_exception(pytest.fail.Exception(self._thread_offence, pytrace=False))

    def _guard(self, sleep):
        def guarded_sleep(seconds):
            if seconds > LONGEST_SLEEP:
                self._refuse(f"sleeps for {seconds} s: mark it 'process'")
            sleep(seconds)

        return guarded_sleep

    def _check(self, event, arguments):
        if not self._is_fast:
            return
        if event in _PROCESS_EVENTS:
            what = f"{event}({arguments[0]})" if arguments else event
            self._refuse(f"starts a process ({what}): mark it 'process'")
        elif event == "import" and arguments[0] == "rclpy":
            self._refuse("imports rclpy: move it to test/ros")

    def _refuse(self, offence):
        message = f"a test of the fast lane {offence}"
        if threading.current_thread() is not threading.main_thread():
            self._thread_offence = message
        pytest.fail(message)
