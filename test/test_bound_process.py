"""Child processes that end with their parent, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import TIMEOUT, wait_until

from espnet_ros.bound_process import bound_command

pytestmark = pytest.mark.process

CHILD = "import os, sys, time; print(os.getpid(), *sys.argv[1:], flush=True); time.sleep(600)"
PARENT = """
import subprocess, sys, threading, time
from espnet_ros.bound_process import bound_command
child = subprocess.Popen(bound_command("sleeper", "one", "two"))
threading.Thread(target=time.sleep, args=(0,)).start()  # a thread that ends is not the parent's end
child.wait()
"""


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "sleeper.py").write_text(CHILD)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_the_child_ends_with_its_parent(environment, number):
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        try:
            pid, *arguments = parent.stdout.readline().split()
            assert arguments == ["one", "two"] and _is_running(pid)
        finally:
            parent.send_signal(number)
        assert parent.wait(TIMEOUT) == -number
    wait_until(lambda: not _is_running(pid), "the child has ended")


def test_a_child_whose_parent_is_dead_already_does_not_start_the_module(environment):
    parent = subprocess.Popen([sys.executable, "-c", "pass"])
    parent.wait()
    command = bound_command("sleeper")
    command[command.index(str(os.getpid()))] = str(parent.pid)
    child = subprocess.run(command, stdout=subprocess.PIPE, env=environment, timeout=TIMEOUT, check=False)
    assert (child.returncode, child.stdout) == (-signal.SIGKILL, b"")
