"""The ONNX Runtime backend: any CPU, or a CUDA device if the installed build supports it. Starts without torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.engines.cache import EngineCache
from espnet_ros.engines.cache_key import engine_key
from espnet_ros.engines.onnx_export import PIXELS, export_in_child, model_file
from espnet_ros.errors import EngineError

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# ONNX Runtime's errors have no common base. pybind11 turns all other C++ exceptions into RuntimeError.
_FAILURES: Tuple[Any, ...] = (
    RuntimeError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
)


class OnnxRuntimeEngine:
    """Runs the segmentation graph in ONNX Runtime, in fp32.

    Each kind of call (uint8 or float32 pixels, with or without confidence) has a session that is created at its first
    use. The cache holds the plain model, which is optimised at every start in a fraction of a second, because a saved
    optimised model fits only one kind of processor.

    Raises:
        EngineError: the precision is not supported, or ONNX Runtime failed.
    """

    backend = "onnxruntime"
    precision = "fp32"

    def __init__(self, spec: EngineSpec, reason: str = "requested") -> None:
        if spec.precision not in ("auto", "fp32"):
            raise EngineError(
                f"precision '{spec.precision}' is not supported by backend 'onnxruntime', which computes in fp32"
            )
        self.spec = spec
        self.reason = reason
        self._providers = _choose_providers()
        # a plain model fits any device
        key = engine_key(spec, self.backend, onnxruntime.__version__, self.precision, device="any")
        self._entry = EngineCache(spec.cache).find_or_build(key, self._export, spec.checkpoint.name)
        self._sessions: Dict[Tuple[str, bool], Any] = {}
        # fail now, not at the first image
        self.device = _describe(self._session("uint8", False).get_providers())

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``."""
        check_pixels(pixels, self.spec.input_size)
        try:
            outputs = self._session(str(pixels.dtype), with_confidence).run(None, {PIXELS: pixels[np.newaxis]})
        except _FAILURES as error:
            raise EngineError(f"ONNX Runtime failed on {self.device}: {error}") from error
        return EngineOutput(outputs[0][0], outputs[1][0] if with_confidence else None)

    def close(self) -> None:
        """See ``Engine.close``."""
        self._sessions.clear()

    def _export(self, folder: Path) -> None:
        export_in_child(self.spec, folder)

    def _session(self, dtype: str, with_confidence: bool) -> Any:
        variant = (dtype, with_confidence)
        if variant not in self._sessions:
            self._sessions[variant] = self._start(self._entry / model_file(*variant))
        return self._sessions[variant]

    def _start(self, model: Path) -> Any:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # by default ONNX Runtime pins its threads to cores, which other programs need as well
        options.intra_op_num_threads = self.spec.threads or len(os.sched_getaffinity(0))
        # by default its threads spin for tens of milliseconds after every image
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            # from memory: ONNX Runtime opens no file whose name is not UTF-8
            return onnxruntime.InferenceSession(model.read_bytes(), options, providers=self._providers)
        except _FAILURES as error:
            raise EngineError(f"ONNX Runtime cannot load {model}: {error}") from error


def _choose_providers() -> List[Any]:
    """Return CUDA, if available, without TF32 (which would not be fp32), then the CPU."""
    available = onnxruntime.get_available_providers()
    return [(_CUDA, {"use_tf32": "0"}), _CPU] if _CUDA in available else [_CPU]


def _describe(providers: List[str]) -> str:
    """Return the device of a session. ONNX Runtime silently falls back to the CPU if CUDA does not start."""
    return "CUDA" if providers[0] == _CUDA else "CPU"
