"""What kind of machine this is, in words. Never which one."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine() -> str:
    """Board or processor, number of cores that this process may use, operating system and architecture."""
    return f"{_board() or _processor()}, {_usable_cores()} cores, {platform.system()} {platform.machine()}"


def _board() -> str:
    """Name of an embedded board, "" elsewhere."""
    return _read("/proc/device-tree/model").rstrip("\0")


def _processor() -> str:
    for line in _read("/proc/cpuinfo").split("\n"):
        if line.startswith("model name"):
            return " ".join(line.split(":", 1)[1].split())
    return platform.processor() or "unknown processor"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
