"""The folder of ROS's log files: rclpy cannot start if it cannot be written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional

NO_LOG_FILES = ("--ros-args", "--disable-external-lib-logs")
"""Arguments for `rclpy.init`: the log goes to the terminal and to /rosout only."""


def find_log_problem() -> str:
    """Return why rclpy cannot write its log files, for a warning; "" if it can."""
    folder = _log_folder()
    if folder is not None and _is_writable(folder):
        return ""
    reason = "no home folder" if folder is None else f"{folder} cannot be written"
    return f"no ROS log files ({reason}): set ROS_LOG_DIR to a folder that can be written"


def log_arguments() -> List[str]:
    """Return the arguments for `rclpy.init` that disable log files if these cannot be written; usually none."""
    return list(NO_LOG_FILES) if find_log_problem() else []


def _log_folder() -> Optional[Path]:
    """Return the folder as rcl_logging_interface chooses it. It asks $HOME alone, not the passwd entry."""
    home = os.environ.get("HOME", "")
    for folder, below in ((os.environ.get("ROS_LOG_DIR"), ""), (os.environ.get("ROS_HOME"), "log"), (home, ".ros/log")):
        if folder:
            if folder.startswith("~"):
                folder = home + folder[1:]
            return Path(folder) / below
    return None


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(str(folder), os.W_OK | os.X_OK)
