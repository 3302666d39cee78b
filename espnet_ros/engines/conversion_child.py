"""Converts a checkpoint in a process of its own.

Conversion needs torch, which takes seconds to import and hundreds of megabytes. A node that converts in a child
process stays small, and the child runs at low priority, so that the stream of images keeps its rate.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from espnet_ros.engines.base import EngineSpec
from espnet_ros.errors import DatasetError, EngineError, WeightsError

_NICENESS = 10
_PASSED_ON = {error.__name__: error for error in (WeightsError, DatasetError)}


@dataclass(frozen=True)
class ConversionRequest:
    """What to convert.

    Attributes:
        spec: its weights are located; its precision may be ``auto``.
        precision: what the engine will compute in, never ``auto``.
        folder: where to write what the engine starts from.
    """

    spec: EngineSpec
    precision: str
    folder: Path


def convert_in_child(module: str, product: str, request: ConversionRequest) -> None:
    """Have a child process of low priority fill the request's folder.

    Args:
        module: dotted name of a module that, run as a program, ends with what ``serve_conversion`` returns.
        product: what the checkpoint becomes, for error messages.
        request: what to convert.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be used.
        EngineError: the conversion failed; the message holds what the child said last.
    """
    # the caller's module search path goes along: it may not come from the environment
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.run(
        [sys.executable, "-m", module],
        input=pickle.dumps(request),
        env=environment,
        capture_output=True,
        check=False,
    )
    if child.returncode == 0:
        return
    lines = child.stderr.decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "no message"
    kind, _, message = last.partition(": ")
    if kind in _PASSED_ON:
        raise _PASSED_ON[kind](message)
    spec = request.spec
    raise EngineError(
        f"{product} conversion of '{spec.checkpoint.name}' at {spec.input_size} failed ({child.returncode}): {last}"
    )


def serve_conversion(convert: Callable[[ConversionRequest], None]) -> int:
    """The child's side: convert what stdin asks for. Returns the exit code."""
    os.nice(max(0, _NICENESS - os.getpriority(os.PRIO_PROCESS, 0)))  # the caller's priority may be low already
    request = pickle.load(sys.stdin.buffer)
    try:
        convert(request)
    except tuple(_PASSED_ON.values()) as error:
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    return 0
