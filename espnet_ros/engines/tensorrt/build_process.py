"""The build in a process of its own, watched: what it says goes to the log, and what it does not say is said for it."""

from __future__ import annotations

import json
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Deque, Dict, Optional, Type

from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.tensorrt.device import Gpu
from espnet_ros.engines.tensorrt.log import SPEAKER, parse_line, say
from espnet_ros.errors import DatasetError, EngineError, WeightsError

PLAN_FILE = "engine.plan"
"""The serialised engine in an entry of the cache; one that was refused has none."""
PREFIX = "@espnet_ros "
"""Begins each line in which the child tells how it goes; JSON follows."""
HEARTBEAT = 10.0
"""Seconds of silence after which the log says that the build goes on, and for how long it has."""

_MODULE = "espnet_ros.engines.tensorrt.build"
_KEPT_ERRORS = 3
_END = ""


class PrecisionRefusedError(EngineError):
    """The network cannot be run in this precision on this machine; another may do."""


_FAILURES: Dict[str, Type[Exception]] = {
    error.__name__: error for error in (DatasetError, EngineError, PrecisionRefusedError, WeightsError)
}


@dataclass(frozen=True)
class BuildRequest:
    """What the child is asked for.

    Attributes:
        spec: what to build.
        precision: what it shall compute in, never ``auto``.
        gpu: what it is built for.
        folder: where its files go.
    """

    spec: EngineSpec
    precision: str
    gpu: Gpu
    folder: Path

    def __str__(self) -> str:
        checkpoint = self.spec.checkpoint
        return f"{checkpoint.name} at {self.spec.input_size} in {self.precision}"


def build_in_child(request: BuildRequest) -> None:
    """Have a child process of low priority fill the request's folder.

    Building takes torch, hundreds of megabytes and minutes. The child ends when this process does.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the images for calibration cannot be used.
        PrecisionRefusedError: the GPU does not compute in the precision.
        EngineError: the build failed; the message has what TensorRT or the child said.
    """
    # the caller's module search path goes along: it may not come from the environment
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    watch = _Watch(request)
    try:
        _hand_over(child, request)
        watch.follow(child)
        watch.judge(child.wait())
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


def _hand_over(child: subprocess.Popen[bytes], request: BuildRequest) -> None:
    """Send the request. The pipe stays open: its end tells the child that nobody waits for it any more."""
    assert child.stdin is not None
    try:
        pickle.dump(request, child.stdin)
        child.stdin.flush()
    except BrokenPipeError:
        pass  # it has died, and ``follow`` finds what it said


class _Watch:
    """Follows one build."""

    def __init__(self, request: BuildRequest) -> None:
        self._request = request
        self._phase = "starting"
        self._start = time.monotonic()
        self._failure: Optional[Exception] = None
        self._errors: Deque[str] = deque(maxlen=_KEPT_ERRORS)  # of TensorRT
        self._last_line = "no message"

    def follow(self, child: subprocess.Popen[bytes]) -> None:
        """Log what the child says until it ends, and a sign of life whenever it says nothing for a while."""
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read_lines, args=(child.stdout, lines), name="build log", daemon=True).start()
        say(logging.INFO, f"building {self._request} for {self._request.gpu}; this may take many minutes")
        last_said = time.monotonic()
        while True:
            try:
                line = lines.get(timeout=max(0.0, last_said + HEARTBEAT - time.monotonic()))
            except queue.Empty:
                self._say_phase()
                last_said = time.monotonic()
                continue
            if line == _END:
                return
            if self._take(line.rstrip()):
                last_said = time.monotonic()

    def judge(self, code: int) -> None:
        """Raise what the child failed with, where it did."""
        elapsed = time.monotonic() - self._start
        if code == 0 and self._failure is None:
            say(logging.INFO, f"built {self._request} in {elapsed:.0f} s")
            return
        told = f"; TensorRT said: {'; '.join(self._errors)}" if self._errors else ""
        if self._failure is not None:
            raise type(self._failure)(f"{self._failure}{told}")
        raise EngineError(
            f"TensorRT build of {self._request} ended after {elapsed:.0f} s while it was {self._phase} "
            f"({_describe_exit(code)}): {self._last_line}{told}"
        )

    def _take(self, line: str) -> bool:
        """Deal with one line; returns whether the log says something now."""
        if line.startswith(PREFIX):
            return self._take_news(json.loads(line[len(PREFIX) :]))
        said = parse_line(line)
        if said is None:
            self._last_line = line or self._last_line
            return False
        return self._take_message(*said)

    def _take_news(self, news: Dict[str, Any]) -> bool:
        if "failure" in news:
            self._failure = _FAILURES[news["failure"]](news["message"])
            return False
        if "level" in news:
            message = str(news["message"])
            if message.startswith(SPEAKER):
                message = message[len(SPEAKER) :]
            return self._take_message(int(news["level"]), message)
        self._phase = news["phase"]
        self._say_phase()
        return True

    def _take_message(self, level: int, message: str) -> bool:
        if level >= logging.ERROR:
            self._errors.append(message)
        say(level, message)
        return True

    def _say_phase(self) -> None:
        elapsed = time.monotonic() - self._start
        say(logging.INFO, f"building {self._request}: {self._phase}, {elapsed:.0f} s so far")


def _read_lines(stream: IO[bytes], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line.decode(errors="replace") or "\n")
    lines.put(_END)


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, which Linux also sends when memory runs out" if name == "SIGKILL" else name
