"""Free memory of the machine, and glibc's allocator. With another C library the allocator is left alone."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Optional

MEMORY_INFO = Path("/proc/meminfo")
_M_ARENA_MAX = -8  # malloc.h


def available_memory() -> float:
    """Return the memory that is available without swapping (``MemAvailable``), in MiB; infinity if unknown."""
    try:
        lines = MEMORY_INFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return float("inf")


def share_free_memory() -> None:
    """Limit the allocator to two arenas for all threads. Call this before starting threads.

    Engines are built in one thread and freed in another. By default glibc gives each thread an arena, up to eight per
    core, and memory that was freed in one arena is not available to the others.
    """
    _call_glibc("mallopt", _M_ARENA_MAX, 2)


def return_free_memory() -> None:
    """Return freed memory to the system. Takes milliseconds."""
    _call_glibc("malloc_trim", 0)


def _call_glibc(name: str, *arguments: int) -> Optional[Any]:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (OSError, TypeError, AttributeError):
        return None
    return function(*arguments)
