"""Runs the build in a child process, logs its progress, and reports why it failed if it did.

The child writes one event per line to stdout: ``PREFIX`` and a JSON object with ``phase``, with ``level`` and
``message`` (a log record), or with ``failure`` and ``message``. Other lines are output of TensorRT or torch2trt.
"""

from __future__ import annotations

import json
import logging
import pickle
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Deque, Dict, Optional, Type

from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.child import check_end, started_child
from espnet_ros.engines.tensorrt.device import Gpu
from espnet_ros.engines.tensorrt.log import LOG_PREFIX, log, parse_line
from espnet_ros.errors import DatasetError, EngineError, WeightsError
from espnet_ros.stopping import POLL_PERIOD, check_stop

PLAN_FILE = "engine.plan"
"""File name of the serialised engine in a cache entry. Entries of rejected engines have no such file."""
PREFIX = "@espnet_ros "
"""Starts each event line of the child."""
HEARTBEAT = 10.0
"""Seconds without a log message after which the current phase and the elapsed time are logged again."""

_MODULE = "espnet_ros.engines.tensorrt.build"
_KEPT_ERRORS = 3
_END = ""


class PrecisionRefusedError(EngineError):
    """The network cannot run in this precision on this machine. Another precision may work."""


_FAILURES: Dict[str, Type[Exception]] = {
    error.__name__: error for error in (DatasetError, EngineError, PrecisionRefusedError, WeightsError)
}


@dataclass(frozen=True)
class BuildRequest:
    """Request to build an engine.

    Attributes:
        spec: what to build.
        precision: ``fp32``, ``fp16`` or ``int8``, never ``auto``.
        gpu: GPU to build for.
        folder: folder for the result.
    """

    spec: EngineSpec
    precision: str
    gpu: Gpu
    folder: Path

    def __str__(self) -> str:
        checkpoint = self.spec.checkpoint
        return f"{checkpoint.name} at {self.spec.input_size} in {self.precision}"


def build_in_child(request: BuildRequest) -> None:
    """Build an engine in a child process with low priority, and write it to the request's folder.

    Building needs torch, hundreds of megabytes and minutes. The child ends when this process does.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be read.
        PrecisionRefusedError: the GPU does not support the precision.
        EngineError: the build failed; the message contains TensorRT's errors or the child's last output.
        Stopped: this process is to end.
    """
    monitor = _BuildMonitor(request)
    with started_child(_MODULE, subprocess.STDOUT) as child:
        _send_request(child, request)
        monitor.follow(child)
        code = child.wait()
        check_end(code)
        monitor.raise_failure(code)


def _send_request(child: subprocess.Popen[bytes], request: BuildRequest) -> None:
    assert child.stdin is not None
    try:
        pickle.dump(request, child.stdin)
        child.stdin.flush()
    except BrokenPipeError:
        pass  # the child has died; ``follow`` reads what it printed


class _BuildMonitor:
    """Monitors one build."""

    def __init__(self, request: BuildRequest) -> None:
        self._request = request
        self._phase = "starting"
        self._start = time.monotonic()
        self._failure: Optional[Exception] = None
        self._errors: Deque[str] = deque(maxlen=_KEPT_ERRORS)  # logged by TensorRT
        self._last_line = "no message"

    def follow(self, child: subprocess.Popen[bytes]) -> None:
        """Log the child's output until it ends, and the elapsed time when it prints nothing for a while."""
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read_lines, args=(child.stdout, lines), name="build log", daemon=True).start()
        log(logging.INFO, f"building {self._request} for {self._request.gpu}; this may take many minutes")
        last_logged = time.monotonic()
        while True:
            check_stop()
            try:
                line = lines.get(timeout=POLL_PERIOD)
            except queue.Empty:
                if time.monotonic() > last_logged + HEARTBEAT:
                    self._log_phase()
                    last_logged = time.monotonic()
                continue
            if line == _END:
                return
            if self._handle_line(line.rstrip()):
                last_logged = time.monotonic()

    def raise_failure(self, code: int) -> None:
        """Raise the child's failure, if it failed; ``code`` is its exit code."""
        elapsed = time.monotonic() - self._start
        if code == 0 and self._failure is None:
            log(logging.INFO, f"built {self._request} in {elapsed:.0f} s")
            return
        errors = f"; TensorRT reported: {'; '.join(self._errors)}" if self._errors else ""
        if self._failure is not None:
            raise type(self._failure)(f"{self._failure}{errors}")
        raise EngineError(
            f"TensorRT build of {self._request} ended after {elapsed:.0f} s in phase '{self._phase}' "
            f"({_describe_exit(code)}): {self._last_line}{errors}"
        )

    def _handle_line(self, line: str) -> bool:
        """Handle one line of output; return whether something was logged."""
        if line.startswith(PREFIX):
            return self._handle_event(json.loads(line[len(PREFIX) :]))
        record = parse_line(line)
        if record is None:
            self._last_line = line or self._last_line
            return False
        return self._handle_record(*record)

    def _handle_event(self, event: Dict[str, Any]) -> bool:
        if "failure" in event:
            self._failure = _FAILURES[event["failure"]](event["message"])
            return False
        if "level" in event:
            message = str(event["message"])
            if message.startswith(LOG_PREFIX):
                message = message[len(LOG_PREFIX) :]
            return self._handle_record(int(event["level"]), message)
        self._phase = event["phase"]
        self._log_phase()
        return True

    def _handle_record(self, level: int, message: str) -> bool:
        if level >= logging.ERROR:
            self._errors.append(message)
        log(level, message)
        return True

    def _log_phase(self) -> None:
        elapsed = time.monotonic() - self._start
        log(logging.INFO, f"building {self._request}: {self._phase}, {elapsed:.0f} s so far")


def _read_lines(stream: IO[bytes], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line.decode(errors="replace") or "\n")
    lines.put(_END)


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, which Linux sends, for example, when memory runs out" if name == "SIGKILL" else name
