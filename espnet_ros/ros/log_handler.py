"""What the core logs, in the node's log."""

from __future__ import annotations

import logging
from typing import Any

_CORE = "espnet_ros"


class RosLogHandler(logging.Handler):
    """Passes records on to a logger of rclpy.

    Args:
        logger: of rclpy; it decides what is severe enough to be shown.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """One line of code for each severity: rclpy refuses another severity from the same line."""
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
    """Have everything that this package logs through ``logging`` appear in a logger of rclpy, and nowhere else."""
    core = logging.getLogger(_CORE)
    core.addHandler(RosLogHandler(logger))
    core.setLevel(logging.DEBUG)
    core.propagate = False
