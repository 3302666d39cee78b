"""Memory of the machine, and of this process. Where the C library is not glibc, nothing is changed."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Optional

MEMORY_INFO = Path("/proc/meminfo")
_M_ARENA_MAX = -8  # malloc.h


def available_memory() -> float:
    """MiB that programs can still get without swapping, by ``MemAvailable``; infinity where the system does not say."""
    try:
        lines = MEMORY_INFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return float("inf")


def share_free_memory() -> None:
    """Let all threads share two arenas; to be called before there are threads.

    Engines are built in one thread and freed in another. By itself glibc gives every thread an arena of its own, up to
    eight a core, and what was freed in one is of no use to the others.
    """
    _call_glibc("mallopt", _M_ARENA_MAX, 2)


def return_free_memory() -> None:
    """Give the system back what was freed. Takes milliseconds."""
    _call_glibc("malloc_trim", 0)


def _call_glibc(name: str, *arguments: int) -> Optional[Any]:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (OSError, TypeError, AttributeError):
        return None
    return function(*arguments)
