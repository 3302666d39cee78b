"""Chooses a backend and builds its engine. If that fails, ``auto`` falls back to the next backend."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import re
from typing import Callable, Collection, Dict, List, NamedTuple

from espnet_ros.engines.base import Engine, EngineSpec
from espnet_ros.engines.fake import LATENCY_VARIABLE, FakeEngine
from espnet_ros.errors import EngineError, EspnetError, describe_error, one_line

_logger = logging.getLogger(__name__)


class Candidate(NamedTuple):
    """A backend that can be tried.

    Attributes:
        backend: name of the backend.
        reason: why it would be chosen.
        problem: why it cannot run on this machine; "" if no reason is known.
        device: ``cuda``, ``cpu`` or ``auto``, for backends that support several devices.
    """

    backend: str
    reason: str
    problem: str = ""
    device: str = "auto"


def list_candidates(requested: str) -> List[Candidate]:
    """Return the backends to try for a request on this machine, the best one first. Imports none of them."""
    if requested != "auto":
        return [Candidate(requested, "requested", _installation_problem(requested))]
    gpu = "an NVIDIA device is present"
    no_gpu = "" if has_nvidia_device() else "no NVIDIA device"
    return [
        Candidate("tensorrt", f"auto: {gpu}", no_gpu or _installation_problem("tensorrt")),
        Candidate("torch", f"auto: {gpu}", no_gpu or _installation_problem("torch"), "cuda"),
        Candidate("native", "auto: the fastest on a CPU", _installation_problem("native")),
        Candidate("openvino", "auto: fast on any CPU", _installation_problem("openvino")),
        Candidate("onnxruntime", "auto: runs on any CPU", _installation_problem("onnxruntime")),
        Candidate("torch", "auto: runs anywhere", _installation_problem("torch"), "cpu"),
    ]


def choose_backend(requested: str) -> Candidate:
    """Return the backend to try first. Imports none of them.

    Raises:
        EngineError: the backend is not installed, or ``auto`` finds none.
    """
    candidates = list_candidates(requested)
    for candidate in candidates:
        if not candidate.problem:
            return candidate
    raise EngineError(_refusal(requested, [f"{each.backend}: {each.problem}" for each in candidates]))


def build_engine(spec: EngineSpec, excluded: Collection[str] = ()) -> Engine:
    """Build an engine, or load it from the cache. Building can take minutes.

    With the backend ``auto``, the next backend is tried when one fails. The log and the engine's ``reason`` have the
    failures.

    Args:
        spec: what to build.
        excluded: backends not to try, such as one that has just failed.

    Raises:
        EngineError: no backend can build the engine; the message has the reason of each.
        WeightsError: the weights do not fit the network.
        ClassTableError: the class table does not fit the weights.
        DatasetError: the calibration images cannot be read.
    """
    spec.class_table.require_size(len(spec.checkpoint.load_class_table()), f"checkpoint '{spec.checkpoint.name}'")
    failures: List[str] = []
    for candidate in list_candidates(spec.backend):
        if candidate.problem or candidate.backend in excluded:
            failures.append(f"{candidate.backend}: {candidate.problem or 'failed earlier'}")
            continue
        try:
            return BUILDERS[candidate.backend](spec, candidate._replace(reason=_explain(candidate, failures)))
        except EngineError as error:
            if spec.backend != "auto":
                raise
            failures.append(f"{candidate.backend}: {error}")
            _logger.warning("backend %s cannot be used: %s", candidate.backend, error)
        except EspnetError:  # the request is at fault, not the backend
            raise
        except (
            Exception,
            SystemExit,
        ) as error:  # installed, but a part of it is missing, damaged or does not fit this machine
            reason = one_line(error) if isinstance(error, ImportError) else describe_error(error)
            failures.append(f"{candidate.backend}: {reason}")
            _logger.warning("backend %s cannot be loaded: %s", candidate.backend, reason)
            _logger.debug("backend %s cannot be loaded", candidate.backend, exc_info=True)
    raise EngineError(_refusal(spec.backend, failures))


def _explain(candidate: Candidate, failures: List[str]) -> str:
    """Return the reason for a candidate, followed by the failures of the better ones."""
    return "; ".join([candidate.reason, *failures])


def _refusal(requested: str, failures: List[str]) -> str:
    return f"backend '{requested}' cannot be used: {'; '.join(failures)}"


def _build_tensorrt(spec: EngineSpec, candidate: Candidate) -> Engine:
    from espnet_ros.engines.tensorrt.engine import TensorRtEngine

    return TensorRtEngine(spec, candidate.reason)


def _build_onnxruntime(spec: EngineSpec, candidate: Candidate) -> Engine:
    from espnet_ros.engines.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(spec, candidate.reason)


def _build_torch(spec: EngineSpec, candidate: Candidate) -> Engine:
    from espnet_ros.engines.torch_engine import TorchEngine

    return TorchEngine(spec, candidate.reason, candidate.device)


def _build_native(spec: EngineSpec, candidate: Candidate) -> Engine:
    from espnet_ros.engines.native.engine import NativeEngine

    return NativeEngine(spec, candidate.reason)


def _build_openvino(spec: EngineSpec, candidate: Candidate) -> Engine:
    from espnet_ros.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(spec, candidate.reason)


def _build_fake(spec: EngineSpec, _candidate: Candidate) -> Engine:
    return FakeEngine(spec, latency=float(os.environ.get(LATENCY_VARIABLE, "0")))


_MODULES = {"native": "llvmlite"}
"""Python module of a backend, if its name is not the backend's."""
_MIN_VERSIONS = {"native": (0, 45)}
"""Older releases of llvmlite have an LLVM without opaque pointers. Keep it equal to that in setup.py."""
BUILDERS: Dict[str, Callable[[EngineSpec, Candidate], Engine]] = {
    "tensorrt": _build_tensorrt,
    "onnxruntime": _build_onnxruntime,
    "native": _build_native,
    "openvino": _build_openvino,
    "torch": _build_torch,
    "fake": _build_fake,
}


def _installation_problem(backend: str) -> str:
    """Return why a backend cannot run, as far as that is known without importing it; "" if it may."""
    module = _MODULES.get(backend, backend)
    if backend != "fake" and not is_installed(module):
        return f"Python module '{module}' is not installed"
    if backend not in _MIN_VERSIONS:
        return ""
    wanted, found = _MIN_VERSIONS[backend], installed_version(module)
    numbers = tuple(map(int, re.findall(r"\d+", found)[: len(wanted)]))
    if not numbers or numbers >= wanted:
        return ""
    return f"needs {module} {'.'.join(map(str, wanted))} or newer, has {found}"


def is_installed(module: str) -> bool:
    """Return whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):  # loaded in an unusual way, or damaged: importing it will tell
        return True


def installed_version(module: str) -> str:
    """Return the version of an installed module, without importing it; "" if it is unknown."""
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        return ""


def has_nvidia_device() -> bool:
    """Return whether the kernel driver of an NVIDIA GPU (desktop or Jetson) is loaded, without importing torch."""
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu"))  # noqa: PTH110
