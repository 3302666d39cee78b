"""Description of the machine and its software. It names the kind of machine, never the individual one."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List

from espnet_ros import __version__

_LIBRARIES = (
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "torch",
    "llvmlite",
    "openvino",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
)
_INSTRUCTIONS = r"avx2|f16c|fma|avx512(f|_bf16|_vnni|_fp16)|avx_vnni|amx_(tile|bf16|int8)|asimd(dp|hp)?|sve2?|i8mm|bf16"
"""Instruction sets that affect the speed of a network, as named in /proc/cpuinfo."""


def describe_machine() -> str:
    """Return the board or processor, the number of cores available to this process, the OS and the architecture."""
    return f"{_board() or _processor()}, {_usable_cores()} cores, {platform.system()} {platform.machine()}"


def describe_environment() -> Dict[str, Any]:
    """Return the machine, its relevant instruction sets, and the versions of the installed libraries."""
    versions = {"espnet_ros": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"machine": describe_machine(), "instructions": _instructions(), "versions": versions}


def _board() -> str:
    """Name of an embedded board; empty on other machines."""
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


def _instructions() -> List[str]:
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return sorted(flag for flag in line.group(1).split() if re.fullmatch(_INSTRUCTIONS, flag)) if line else []


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
