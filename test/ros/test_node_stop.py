"""A node that is stopped during its first start, on an empty cache: nothing of it stays."""

import random
import signal
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("openvino")

from cold_start import ColdStart
from waiting import wait_until

SEED = 16
LONGEST = 4.0
"""Seconds from the start to the latest moment; the first build takes longer."""


@pytest.fixture
def start(tmp_path):
    started = []

    def start_one(cache=None):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(ColdStart(folder, cache))
        return started[-1]

    yield start_one
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def _require_nothing_left(start, code):
    assert code in (0, 130), start.log
    assert start.unfinished() == []
    assert not any(word in start.log for word in ("Traceback", "failed", "cannot")), start.log


def test_ctrl_c_at_any_moment_leaves_nothing(start):
    generator = random.Random(SEED)
    for moment in [generator.uniform(0.1, LONGEST) for _ in range(3)]:
        node = start()
        time.sleep(moment)  # what is tested holds at every moment
        node.press_ctrl_c()
        _require_nothing_left(node, node.wait())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_ends_the_build_and_starts_no_other(start, number):
    node = start()
    node.wait_for_converter()
    node.press_ctrl_c(number)
    _require_nothing_left(node, node.wait())
    assert not list(node.cache.glob("*/manifest.json"))


def test_after_sigkill_no_child_stays_and_the_next_start_removes_the_files(start):
    killed = start()
    killed.wait_for_converter()
    (left,) = killed.unfinished()
    killed.process.kill()
    assert killed.wait() == -signal.SIGKILL
    following = start(killed.cache)
    wait_until(lambda: not left.exists(), "the files of the killed node are removed")
    following.press_ctrl_c()
    _require_nothing_left(following, following.wait())


def test_ctrl_c_ends_a_node_that_waits_for_the_build_of_another(start):
    builder = start()
    builder.wait_for_converter()
    waiting = start(builder.cache)
    wait_until(lambda: "another process is building" in waiting.log, "the second node waits")
    waiting.press_ctrl_c()
    assert waiting.wait() == 0
    assert builder.family() and builder.unfinished(), "the first one goes on"
    builder.press_ctrl_c()
    _require_nothing_left(builder, builder.wait())
