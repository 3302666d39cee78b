"""Starts the child processes that build engines, and ends them when this process is to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Iterator, Optional

from espnet_ros.bound_process import bound_command
from espnet_ros.stopping import POLL_PERIOD, check_stop

_NICENESS = 10


@contextmanager
def started_child(module: str, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module in a child process during a ``with`` block. At the block's end it is killed if it still runs.

    The child ends with this process, and Ctrl-C in the terminal does not reach it: its session is its own.

    Args:
        module: dotted name of the module. It calls ``enter_child`` first.
        stderr: as for ``subprocess.Popen``. Stdin and stdout are pipes.

    Raises:
        Stopped: this process is to end.
    """
    check_stop()
    # pass the module search path on: it may not come from the environment
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.Popen(
        bound_command(module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def run_child(module: str, request: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a module in a child process, with a request on stdin, until it ends.

    Raises:
        Stopped: this process is to end. The child has ended, too.
    """
    with started_child(module) as child:
        pending: Optional[bytes] = request
        while True:
            try:
                output, errors = child.communicate(pending, timeout=POLL_PERIOD)
                break
            except subprocess.TimeoutExpired:
                pending = None  # it has been taken
                check_stop()
        check_end(child.returncode)
        return subprocess.CompletedProcess(module, child.returncode, output, errors)


def check_end(code: int) -> None:
    """Check that a child's end is its own doing, not that of a signal which also ends this process.

    Args:
        code: the child's exit code.

    Raises:
        Stopped: this process is to end.
    """
    if code < 0:  # a signal; if it was sent to all processes, this one's handler may not have run yet
        time.sleep(POLL_PERIOD)
    check_stop()


def enter_child() -> None:
    """Prepare a child process: low priority, and deaf to Ctrl-C, which the parent handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(max(0, _NICENESS - os.getpriority(os.PRIO_PROCESS, 0)))  # the parent's priority may already be low
