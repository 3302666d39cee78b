"""What a built engine depends on: the key that it is cached under, the same for every backend."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Tuple

from espnet_ros.engines.base import EngineSpec

PACKAGE = Path(__file__).resolve().parents[1]
_CPU_FACTS = Path("/proc/cpuinfo")
_BOARD_NAME = Path("/proc/device-tree/model")
_SHARED_SOURCES = (
    "model/*.py",
    "engines/*_export.py",
    "engines/agreement.py",
    "calibration.py",
    "engines/agreement_result.py",
)
_VECTOR_FLAGS = {
    "flags": ("sse", "ssse", "avx", "fma", "f16c", "amx"),  # x86
    "Features": ("neon", "vfp", "asimd", "fphp", "sve", "i8mm", "bf16"),  # ARM
}
"""Line of /proc/cpuinfo to the beginnings of those of its words that decide which kernels can run."""


def engine_key(spec: EngineSpec, backend: str, version: str, precision: str, device: str) -> Dict[str, str]:
    """All that a built engine depends on.

    The classes count, as the network's outputs; their names and colours are put to the labels afterwards. Threads are
    chosen when an engine is loaded. An engine that depends on more (calibration images, modules that build it in a
    folder of their own) adds that to the key.

    Args:
        spec: what is built; its weights are located.
        backend: what runs it, never ``auto``.
        version: of the backend's library.
        precision: what it computes in, never ``auto``.
        device: what it is built for: name and compute capability of a GPU, or ``cpu_device()``.
    """
    checkpoint = spec.checkpoint
    return {
        "backend": backend,
        "version": version,
        "precision": precision,
        "device": device,
        "code": _sum_of_sources(backend),
        "weights": checkpoint.sha256,
        "network": checkpoint.network,
        "alpha": str(checkpoint.alpha),
        "classes": str(len(spec.class_table)),
        "input_size": str(spec.input_size),
        "normalisation": f"{checkpoint.mean_bgr} {checkpoint.std_bgr} {checkpoint.divisor}",
    }


def cpu_device() -> str:
    """This machine's CPU and its vector instructions, as ``name; flag flag ...``.

    Where the kernel knows the board (a Jetson, say) its name stands for the CPU's, and only what all cores can do
    counts: a TX2's power modes switch off all cores of one kind, and an engine shall outlive a change of the mode.
    """
    return describe_cpu(_read(_CPU_FACTS), _read(_BOARD_NAME), platform.machine())


def cpu_flags() -> Tuple[str, ...]:
    """Those of the vector instructions of this machine's CPU, as /proc/cpuinfo has them."""
    return tuple(cpu_device().partition(";")[2].split())


def describe_cpu(facts: str, board: str, machine: str) -> str:
    """``cpu_device`` of a machine.

    Args:
        facts: its /proc/cpuinfo, "" where there is none.
        board: its name in the device tree, "" where there is none.
        machine: architecture, for a CPU that has no name.
    """
    cores = [_parse_core(block) for block in facts.split("\n\n") if block.strip()]
    name = board.rstrip("\0").strip() or next((core["model name"] for core in cores if "model name" in core), machine)
    flags = [_vector_flags(core) for core in cores if not _VECTOR_FLAGS.keys().isdisjoint(core)]
    common = sorted(frozenset.intersection(*flags)) if flags else []
    return f"{name}; {' '.join(common)}" if common else name


def _parse_core(block: str) -> Dict[str, str]:
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _vector_flags(core: Mapping[str, str]) -> FrozenSet[str]:
    found: List[str] = []
    for line, beginnings in _VECTOR_FLAGS.items():
        found += [flag for flag in core.get(line, "").split() if flag.startswith(beginnings)]
    return frozenset(found)


def _sum_of_sources(backend: str) -> str:
    """SHA-256 of the code that decides what is in an entry, so that another release builds its own."""
    patterns = (*_SHARED_SOURCES, f"engines/{backend}*.py", f"engines/{backend}/*.py")
    sources = sorted({path for pattern in patterns for path in PACKAGE.glob(pattern)})
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
