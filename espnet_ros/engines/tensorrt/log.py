"""What TensorRT and its build say, on its way to the log."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any, Dict, Optional, Tuple

import tensorrt as trt

_logger = logging.getLogger(__name__)

SEVERITIES: Dict[str, Any] = {
    "error": trt.Logger.ERROR,
    "warning": trt.Logger.WARNING,
    "info": trt.Logger.INFO,
    "verbose": trt.Logger.VERBOSE,
}
"""TensorRT's severity for each value of ``EngineSpec.log_level``."""

SPEAKER = "TensorRT: "
"""Begins what this backend logs."""

_LEVELS = (logging.ERROR, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)  # by TensorRT's severity
_LINE = re.compile(r"\[TRT\] \[([FEWIV])\] (.*)")


def say(level: int, message: str) -> None:
    """Log what the user has to see, with the speaker's name before it.

    A program that never set up logging shows nothing below WARNING. A build of minutes that says nothing is taken for a
    crash, so there it is said as a warning.
    """
    _logger.log(level if _logger.isEnabledFor(level) else logging.WARNING, "%s%s", SPEAKER, message)


def parse_line(line: str) -> Optional[Tuple[int, str]]:
    """Level and text of a line that TensorRT's own logger printed; None for any other line."""
    match = _LINE.search(line)
    return None if match is None else (_LEVELS["FEWIV".index(match.group(1))], match.group(2).strip())


class _Forwarder(trt.ILogger):  # type: ignore[misc]  # it has no types
    """TensorRT's logger in this process."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.severity = int(trt.Logger.WARNING)
        self.last_error = ""

    def log(self, severity: Any, msg: str) -> None:
        """Called by TensorRT, from whatever thread."""
        if int(severity) <= int(trt.Logger.ERROR):
            self.last_error = msg
        if int(severity) <= self.severity:
            say(_LEVELS[int(severity)], msg)

    def take_error(self) -> str:
        """What TensorRT last called an error, once."""
        error, self.last_error = self.last_error, ""
        return error or "it gave no reason"


@lru_cache(maxsize=1)
def _forwarder() -> _Forwarder:
    return _Forwarder()


def tensorrt_logger(log_level: str) -> _Forwarder:
    """The process's one logger for TensorRT, which keeps the first it gets; it says what ``log_level`` allows."""
    forwarder = _forwarder()
    forwarder.severity = int(SEVERITIES[log_level])
    return forwarder
