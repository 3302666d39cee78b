"""The key of an engine in the cache: everything that a built engine depends on."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Tuple

from espnet_ros.engines.base import EngineSpec

PACKAGE = Path(__file__).resolve().parents[1]
_CPU_INFO = Path("/proc/cpuinfo")
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
"""By line of /proc/cpuinfo: prefixes of the flags that decide which kernels can run."""


def engine_key(spec: EngineSpec, backend: str, version: str, precision: str, device: str) -> Dict[str, str]:
    """Return the key of an engine: everything that it depends on, by name.

    The code that builds an engine is in the key as a hash, so that a new release builds it again. Only the number of
    classes is in the key, because the class names and colours are applied to the labels later. The number of threads is
    not, because it is set when an engine is loaded, nor are the versions of torch and NumPy, whose results differ by
    rounding and which a robot that starts from its cache may lack. Backends add what else they depend on, such as the
    calibration images.

    Args:
        spec: what the engine is built from; its weights have been located.
        backend: the backend, never ``auto``.
        version: version of the backend's library.
        precision: the engine's precision, never ``auto``.
        device: device that the engine is built for: name and compute capability of a GPU, or ``cpu_device()``.
    """
    checkpoint = spec.checkpoint
    return {
        "backend": backend,
        "version": version,
        "precision": precision,
        "device": device,
        "code": hash_sources(*_SHARED_SOURCES, f"engines/{backend}*.py", f"engines/{backend}/*.py"),
        "weights": checkpoint.sha256,
        "network": checkpoint.network,
        "alpha": str(checkpoint.alpha),
        "classes": str(len(spec.class_table)),
        "input_size": str(spec.input_size),
        "normalisation": f"{checkpoint.mean_bgr} {checkpoint.std_bgr} {checkpoint.divisor}",
    }


def cpu_device() -> str:
    """Return this machine's CPU and its vector instructions, as ``name; flag flag ...``.

    If the kernel knows the board, such as a Jetson, the board's name replaces the CPU's. Only instructions that all
    cores have are listed: a TX2's power modes switch off all cores of one kind, and an engine must work in each mode.
    """
    return describe_cpu(_read(_CPU_INFO), _read(_BOARD_NAME), platform.machine())


def cpu_flags() -> Tuple[str, ...]:
    """Return the vector instructions of this machine's CPU, named as in /proc/cpuinfo."""
    return tuple(cpu_device().partition(";")[2].split())


def describe_cpu(cpu_info: str, board: str, machine: str) -> str:
    """Return the ``cpu_device`` of any machine.

    Args:
        cpu_info: its /proc/cpuinfo, "" if it has none.
        board: its name in the device tree, "" if it has none.
        machine: its architecture, used if the CPU has no name.
    """
    cores = [_parse_core(block) for block in cpu_info.split("\n\n") if block.strip()]
    name = board.rstrip("\0").strip() or next((core["model name"] for core in cores if "model name" in core), machine)
    flags = [_vector_flags(core) for core in cores if not _VECTOR_FLAGS.keys().isdisjoint(core)]
    common = sorted(frozenset.intersection(*flags)) if flags else []
    return f"{name}; {' '.join(common)}" if common else name


def _parse_core(block: str) -> Dict[str, str]:
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _vector_flags(core: Mapping[str, str]) -> FrozenSet[str]:
    found: List[str] = []
    for line, prefixes in _VECTOR_FLAGS.items():
        found += [flag for flag in core.get(line, "").split() if flag.startswith(prefixes)]
    return frozenset(found)


def hash_sources(*patterns: str) -> str:
    """Return the SHA-256 of the package's files that match the patterns, which are relative to the package."""
    sources = sorted({path for pattern in patterns for path in PACKAGE.glob(pattern)})
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
