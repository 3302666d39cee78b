"""Converts a checkpoint in a child process.

Conversion needs torch, which takes seconds to import and hundreds of megabytes of memory. A child process keeps the
node small, and its low priority keeps the node's frame rate up.
"""

from __future__ import annotations

import pickle
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.child import enter_child, run_child
from espnet_ros.errors import DatasetError, EngineError, WeightsError, describe_error, one_line

_FORWARDED_ERRORS = {error.__name__: error for error in (WeightsError, DatasetError)}


@dataclass(frozen=True)
class ConversionRequest:
    """What to convert.

    Attributes:
        spec: what the engine is built from. Its weights have been located; its precision may be ``auto``.
        precision: the engine's precision, never ``auto``.
        folder: where to write the engine's files.
    """

    spec: EngineSpec
    precision: str
    folder: Path


def convert_in_child(module: str, product: str, request: ConversionRequest) -> None:
    """Fill the request's folder in a child process of low priority.

    Args:
        module: dotted name of a module that, run as a program, exits with the result of ``serve_conversion``.
        product: name of the format that the checkpoint is converted to, for error messages.
        request: what to convert.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be read.
        EngineError: the conversion failed; the message has the child's last output.
        Stopped: this process is to end.
    """
    child = run_child(module, pickle.dumps(request))
    if child.returncode == 0:
        return
    lines = [line for line in child.stderr.decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else "no message"
    kind, _, message = last.partition(": ")
    if kind in _FORWARDED_ERRORS:
        raise _FORWARDED_ERRORS[kind](message)
    spec = request.spec
    raise EngineError(
        f"{product} conversion of '{spec.checkpoint.name}' at {spec.input_size} failed ({child.returncode}): {last}"
    )


def serve_conversion(convert: Callable[[ConversionRequest], None]) -> int:
    """Run in the child: convert the request from stdin, and return the exit code."""
    enter_child()
    request = pickle.load(sys.stdin.buffer)
    try:
        convert(request)
    except tuple(_FORWARDED_ERRORS.values()) as error:
        sys.stderr.write(f"{type(error).__name__}: {one_line(error)}\n")
        return 1
    except Exception as error:  # the parent reports the last line only
        traceback.print_exc()
        sys.stderr.write(f"{describe_error(error)}\n")
        return 1
    return 0
