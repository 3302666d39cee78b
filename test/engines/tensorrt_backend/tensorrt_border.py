"""Controls the stand-ins for ``tensorrt``, ``torch2trt`` and CUDA, and reads their state."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

STANDIN = Path(__file__).with_name("standin")
TX2 = "NVIDIA Tegra X2:6.2"
XAVIER = "Xavier:7.2"
PASCAL = "GTX 1080:6.1"
VERSIONS = ["8.2.1.8", "10.3.0.26"]
"""TensorRT versions of JetPack 4.6 (bindings by number) and 6.1 (tensors by name)."""

_BACKEND = "espnet_ros.engines.tensorrt"


def _is_real() -> bool:
    """Return whether TensorRT, torch2trt and a GPU exist. Imports only torch."""
    if any(importlib.util.find_spec(name) is None for name in ("tensorrt", "torch2trt")):
        return False
    import torch

    return torch.cuda.is_available()


IS_REAL = _is_real()
needs_standin = pytest.mark.skipif(IS_REAL, reason="needs the stand-ins, but the real TensorRT is installed")
versions = pytest.mark.parametrize("version", ["as installed"] if IS_REAL else VERSIONS)


class Border:
    """Configures the stand-ins through environment variables, which the build process inherits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def gpu(self, gpu: str) -> None:
        """Set the GPU as ``name:major.minor``; "" for none."""
        self._monkeypatch.setenv("STANDIN_GPU", gpu)

    def version(self, version: str) -> None:
        """Set the version of TensorRT."""
        self._monkeypatch.setenv("STANDIN_TENSORRT", version)

    def faults(self, *names: str) -> None:
        """Set the faults of ``tensorrt`` and ``torch2trt``."""
        self._monkeypatch.setenv("STANDIN_FAULTS", ",".join(names))

    def cuda_fault(self, function: str) -> None:
        """Set the CUDA function that fails; "" for none."""
        self._monkeypatch.setenv("STANDIN_CUDA_FAULT", function)

    def build_seconds(self, seconds: float) -> None:
        """Set how long TensorRT takes to build."""
        self._monkeypatch.setenv("STANDIN_BUILD_SECONDS", str(seconds))

    def held(self) -> int:
        """Return the number of CUDA allocations and streams that have not been freed."""
        library = Path(os.environ["CUDA_HOME"]) / "lib64" / "libcudart.so"
        return int(ctypes.CDLL(str(library)).standinHeld())


def forget_modules() -> None:
    """Unload the stand-in modules and the modules that import them, so that the next import reloads them."""
    for name in list(sys.modules):
        if name.split(".")[0] in ("tensorrt", "torch2trt") or f"{name}.".startswith(f"{_BACKEND}."):
            del sys.modules[name]


def read_plan(path: Path) -> Any:
    """Read an engine that the stand-in has built."""
    content = path.read_bytes()
    return pickle.loads(content[content.index(b"\n") + 1 :])
