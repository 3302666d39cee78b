"""OpenVINO on a CPU: the default where there is no GPU. Starts from its cache without importing torch."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

import espnet_ros.model
from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.engines.cache import EngineCache
from espnet_ros.engines.openvino_export import MODEL_FILE, export_in_child
from espnet_ros.errors import EngineError

_GRAPH_SOURCES = ("espnet.py", "graph.py", "channels_last_graph.py", "loading.py")
_ELEMENT_TYPES = {"uint8": openvino.Type.u8, "float32": openvino.Type.f32}
_HINTS = {"fp32": "f32", "bf16": "bf16"}


@lru_cache(maxsize=1)
def _core() -> openvino.Core:
    """The one Core of the process, which is never freed.

    OpenVINO's CPU plugin gives the thread that loads it a signal stack of its own and frees it with the last Core, in
    whichever thread that happens. After an engine built in one thread is closed in another, the next signal would
    find its stack gone, and the process would die of it.
    """
    return openvino.Core()


class OpenVinoEngine:
    """The segmentation graph, compiled for this CPU.

    One variant is compiled for each kind of call (uint8 or float32 pixels, with or without confidence) when it is
    first needed, since confidence nobody asked for would cost a tenth of the time.
    """

    backend = "openvino"

    def __init__(self, spec: EngineSpec, reason: str = "asked for") -> None:
        self.spec = spec
        self.reason = reason
        self._core = _core()
        self.device = str(self._core.get_property("CPU", "FULL_DEVICE_NAME"))
        self.precision = self._choose_precision(spec.precision)
        entry = EngineCache(spec.cache).find_or_build(_cache_key(spec), self._export)
        try:
            self._model = self._core.read_model(str(entry / MODEL_FILE))
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot read {entry / MODEL_FILE}: {error}") from error
        self._requests: Dict[Tuple[str, bool], Any] = {}

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. The result is valid until the next call."""
        check_pixels(pixels, self.spec.input_size)
        variant = (str(pixels.dtype), with_confidence)
        try:
            if variant not in self._requests:
                self._requests[variant] = self._compile(*variant)
            request = self._requests[variant]
            request.infer([pixels[np.newaxis]], share_inputs=True, share_outputs=True)
            labels = request.get_output_tensor(0).data[0]
            confidence = request.get_output_tensor(1).data[0] if with_confidence else None
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on {self.device}: {error}") from error
        return EngineOutput(labels, confidence)

    def close(self) -> None:
        """Free the compiled variants."""
        self._requests.clear()

    def _choose_precision(self, requested: str) -> str:
        if requested not in ("auto", "fp32", "bf16"):
            raise EngineError(f"precision '{requested}' is not offered by backend 'openvino': fp32 or bf16")
        has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if requested == "bf16" and not has_bf16:
            raise EngineError(f"precision 'bf16' needs a CPU that computes in it; {self.device} does not")
        if requested == "auto":
            return "bf16" if has_bf16 else "fp32"
        return requested

    def _export(self, folder: Path) -> None:
        export_in_child(self.spec.checkpoint, self.spec.input_size, folder)

    def _compile(self, dtype: str, with_confidence: bool) -> Any:
        outputs = self._model.outputs if with_confidence else self._model.outputs[:1]
        model = openvino.Model(outputs, self._model.get_parameters()).clone()
        typed = PrePostProcessor(model)
        typed.input().tensor().set_element_type(_ELEMENT_TYPES[dtype])
        compiled = self._core.compile_model(
            typed.build(),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
                # left to itself OpenVINO takes one thread a physical core, and some machines hide theirs
                "INFERENCE_NUM_THREADS": self.spec.threads or len(os.sched_getaffinity(0)),
            },
        )
        return compiled.create_infer_request()


def _cache_key(spec: EngineSpec) -> Dict[str, str]:
    """All that the converted model depends on; precision and threads are chosen later, when it is compiled."""
    folder = Path(espnet_ros.model.__file__).parent
    code = hashlib.sha256(b"".join((folder / name).read_bytes() for name in _GRAPH_SOURCES)).hexdigest()
    checkpoint = spec.checkpoint
    return {
        "backend": "openvino",
        "version": openvino.__version__,
        "code": code,
        "weights": checkpoint.sha256,
        "network": checkpoint.network,
        "alpha": str(checkpoint.alpha),
        "classes": str(len(spec.class_table)),
        "input_size": str(spec.input_size),
        "normalisation": f"{checkpoint.mean_bgr} {checkpoint.std_bgr} {checkpoint.divisor}",
    }
