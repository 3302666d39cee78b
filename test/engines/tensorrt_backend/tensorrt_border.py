"""What the tests tell the stand-ins for ``tensorrt``, ``torch2trt`` and CUDA, and what they read from them."""

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
"""Of JetPack 4.6 and 6.1: bindings by number, tensors by name."""

_BACKEND = "espnet_ros.engines.tensorrt"


def _is_real() -> bool:
    """Whether TensorRT, torch2trt and a GPU are here. Nothing is imported for it but torch."""
    if any(importlib.util.find_spec(name) is None for name in ("tensorrt", "torch2trt")):
        return False
    import torch

    return torch.cuda.is_available()


IS_REAL = _is_real()
needs_standin = pytest.mark.skipif(IS_REAL, reason="the real TensorRT is here, which cannot be told what to do")
versions = pytest.mark.parametrize("version", ["as installed"] if IS_REAL else VERSIONS)


class Border:
    """Tells the stand-ins what to be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def gpu(self, gpu: str) -> None:
        """Name and compute capability, as ``name:major.minor``; "" for none."""
        self._monkeypatch.setenv("STANDIN_GPU", gpu)

    def version(self, version: str) -> None:
        """Of TensorRT."""
        self._monkeypatch.setenv("STANDIN_TENSORRT", version)

    def faults(self, *names: str) -> None:
        """What goes wrong in ``tensorrt`` and ``torch2trt``."""
        self._monkeypatch.setenv("STANDIN_FAULTS", ",".join(names))

    def cuda_fault(self, function: str) -> None:
        """The CUDA function that fails; "" for none."""
        self._monkeypatch.setenv("STANDIN_CUDA_FAULT", function)

    def build_seconds(self, seconds: float) -> None:
        """What TensorRT takes to build."""
        self._monkeypatch.setenv("STANDIN_BUILD_SECONDS", str(seconds))

    def held(self) -> int:
        """Allocations and streams of CUDA that nobody gave back."""
        library = Path(os.environ["CUDA_HOME"]) / "lib64" / "libcudart.so"
        return int(ctypes.CDLL(str(library)).standinHeld())


def forget_modules() -> None:
    """Let the modules at the border, and those that have imported them, be imported anew."""
    for name in list(sys.modules):
        if name.split(".")[0] in ("tensorrt", "torch2trt") or f"{name}.".startswith(f"{_BACKEND}."):
            del sys.modules[name]


def read_plan(path: Path) -> Any:
    """What is in an engine that the stand-in has built."""
    content = path.read_bytes()
    return pickle.loads(content[content.index(b"\n") + 1 :])
