"""What a measurement depends on besides this code. Never which machine it was."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List

from espnet_ros import __version__
from espnet_ros.demo.machine import describe_machine

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
_FLAGS = r"avx2|f16c|fma|avx512(f|_bf16|_vnni|_fp16)|avx_vnni|amx_(tile|bf16|int8)|asimd(dp|hp)?|sve2?|i8mm|bf16"
"""Instructions that decide how fast a network runs, by their names in /proc/cpuinfo."""


def describe_environment() -> Dict[str, Any]:
    """Machine, those of its instructions that matter, and versions of the libraries that are installed."""
    versions = {"espnet_ros": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"machine": describe_machine(), "instructions": _instructions(), "versions": versions}


def _instructions() -> List[str]:
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", facts, re.MULTILINE)
    return sorted(flag for flag in line.group(1).split() if re.fullmatch(_FLAGS, flag)) if line else []
