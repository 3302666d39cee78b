"""Logging of TensorRT's messages and of the build's progress."""

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

LOG_PREFIX = "TensorRT: "
"""Starts each log message of this backend."""

_LEVELS = (logging.ERROR, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)  # by TensorRT's severity
_LINE = re.compile(r"\[TRT\] \[([FEWIV])\] (.*)")


def log(level: int, message: str) -> None:
    """Log a message that the user must see.

    A program that has not configured logging shows nothing below WARNING. There, messages are logged as warnings,
    because a build that is silent for minutes looks like a crash.
    """
    _logger.log(level if _logger.isEnabledFor(level) else logging.WARNING, "%s%s", LOG_PREFIX, message)


def parse_line(line: str) -> Optional[Tuple[int, str]]:
    """Return the level and text of a line printed by TensorRT's own logger; None for any other line."""
    match = _LINE.search(line)
    return None if match is None else (_LEVELS["FEWIV".index(match.group(1))], match.group(2).strip())


class _ForwardingLogger(trt.ILogger):  # type: ignore[misc]  # it has no types
    """Forwards TensorRT's messages to Python's logging."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.severity = int(trt.Logger.WARNING)
        self.last_error = ""

    def log(self, severity: Any, msg: str) -> None:
        """Handle a message; called by TensorRT from any thread."""
        if int(severity) <= int(trt.Logger.ERROR):
            self.last_error = msg
        if int(severity) <= self.severity:
            log(_LEVELS[int(severity)], msg)

    def take_error(self) -> str:
        """Return TensorRT's last error and clear it."""
        error, self.last_error = self.last_error, ""
        return error or "no reason given"


@lru_cache(maxsize=1)
def _shared_logger() -> _ForwardingLogger:
    return _ForwardingLogger()


def tensorrt_logger(log_level: str) -> _ForwardingLogger:
    """Return this process's logger for TensorRT, set to ``log_level``.

    There is only one, because TensorRT keeps using the first logger that it gets.
    """
    logger = _shared_logger()
    logger.severity = int(SEVERITIES[log_level])
    return logger
