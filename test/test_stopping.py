"""A request to stop, and programs in their first second."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import TIMEOUT, wait_until

from espnet_ros import stopping

LAUNCHED = "import sys; from espnet_ros.programs import {0}; sys.exit({0}())"
COMMAND = ["-c", LAUNCHED.format("espnet_ros"), "engine", "build", "--cache"]
NODE = ["-c", LAUNCHED.format("espnet_node")]


@pytest.fixture
def stop():
    """Requests a stop; the request is withdrawn after the test."""
    yield stopping.request_stop
    stopping.withdraw_stop()


def test_without_a_request_work_returns_or_raises_as_it_would(stop):
    done = []
    stopping.run_until_stopped(lambda: done.append(threading.current_thread()))
    assert done != [threading.current_thread()]
    with pytest.raises(ZeroDivisionError):
        stopping.run_until_stopped(lambda: 1 / 0)


def test_a_stop_is_heeded_while_the_work_hangs(stop):
    is_over = threading.Event()
    threading.Timer(0.01, stop).start()
    with pytest.raises(stopping.Stopped):
        stopping.run_until_stopped(lambda: is_over.wait(TIMEOUT))
    assert stopping.is_stop_requested()
    is_over.set()


def test_a_stop_is_no_failure_that_another_attempt_may_mend():
    assert not issubclass(stopping.Stopped, Exception)


@pytest.mark.process
@pytest.mark.parametrize("library", ["numpy", "cv2"])
@pytest.mark.parametrize(
    "program",
    [COMMAND, ["-m", "espnet_ros.cli", *COMMAND[2:]], NODE, ["-m", "espnet_ros.ros.node"]],
    ids=["espnet_ros", "espnet_ros as a module", "espnet_node", "espnet_node as a module"],
)
def test_ctrl_c_during_the_imports_ends_a_program_quietly(tmp_path, program, library):
    if "node" in program[1]:
        pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
    arguments = [*program, str(tmp_path / "engines")] if program[-1] == "--cache" else program
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=output, stderr=output)
    try:
        maps = Path(f"/proc/{process.pid}/maps")
        wait_until(lambda: library in maps.read_text(), f"the program has loaded {library}")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130
    finally:
        process.kill()
        process.wait()
    assert log.read_text() == ""
