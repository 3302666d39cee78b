"""Forwards the log records of espnet_ros to the node's log."""

from __future__ import annotations

import logging
from typing import Any

_CORE = "espnet_ros"


class RosLogHandler(logging.Handler):
    """Forwards records to an rclpy logger.

    Args:
        logger: an rclpy logger; it applies its own level.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a record. Each severity has its own line: rclpy rejects two severities from one line of code."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def show_core_logs(logger: Any) -> None:
    """Forward everything that espnet_ros logs through ``logging`` to an rclpy logger, in place of an earlier one."""
    core = logging.getLogger(_CORE)
    for handler in [each for each in core.handlers if isinstance(each, RosLogHandler)]:
        core.removeHandler(handler)
    core.addHandler(RosLogHandler(logger))
    core.setLevel(logging.DEBUG)
    core.propagate = False
