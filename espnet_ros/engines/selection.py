"""Chooses the backend and builds its engine."""

from __future__ import annotations

import importlib.util
import os
from typing import Callable, Dict, NamedTuple

from espnet_ros.engines.base import Engine, EngineSpec
from espnet_ros.engines.fake import LATENCY_VARIABLE, FakeEngine
from espnet_ros.errors import EngineError


class BackendChoice(NamedTuple):
    """A backend, and why it was taken."""

    backend: str
    reason: str


def choose_backend(requested: str) -> BackendChoice:
    """The backend that ``requested`` means on this machine. Imports none of them.

    Raises:
        EngineError: it is not installed, or ``auto`` finds none.
    """
    if requested == "fake":
        return BackendChoice("fake", "asked for")
    if requested != "auto":
        if not _is_installed(requested):
            raise EngineError(f"backend '{requested}' is not installed: Python module '{requested}' cannot be found")
        return BackendChoice(requested, "asked for")
    if _is_installed("torch") and _has_nvidia_device():
        return BackendChoice("torch", "auto: an NVIDIA device is present, and torch is installed")
    if _is_installed("openvino"):
        return BackendChoice("openvino", "auto: no NVIDIA device that torch can use; openvino is the fastest on a CPU")
    if _is_installed("torch"):
        return BackendChoice("torch", "auto: openvino is not installed; torch runs anywhere")
    raise EngineError("backend 'auto': neither openvino nor torch is installed")


def build_engine(spec: EngineSpec) -> Engine:
    """Build and warm up the engine that ``spec`` asks for. The first time this may take seconds.

    Raises:
        EngineError: the backend is missing or cannot build it.
        WeightsError: the weights do not fit the network.
    """
    choice = choose_backend(spec.backend)
    spec.class_table.require_size(len(spec.checkpoint.load_class_table()), f"checkpoint '{spec.checkpoint.name}'")
    return _BUILDERS[choice.backend](spec, choice.reason)


def _build_torch(spec: EngineSpec, reason: str) -> Engine:
    from espnet_ros.engines.torch_engine import TorchEngine

    return TorchEngine(spec, reason)


def _build_openvino(spec: EngineSpec, reason: str) -> Engine:
    from espnet_ros.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(spec, reason)


def _build_fake(spec: EngineSpec, _reason: str) -> Engine:
    return FakeEngine(spec, latency=float(os.environ.get(LATENCY_VARIABLE, "0")))


_BUILDERS: Dict[str, Callable[[EngineSpec, str], Engine]] = {
    "torch": _build_torch,
    "openvino": _build_openvino,
    "fake": _build_fake,
}


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _has_nvidia_device() -> bool:
    """Whether the kernel driver of an NVIDIA GPU (desktop or Jetson) is loaded; asking torch would import it."""
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu"))  # noqa: PTH110
