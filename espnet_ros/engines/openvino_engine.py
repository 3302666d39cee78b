"""The OpenVINO backend, on a CPU. Starts from its cache without importing torch."""

from __future__ import annotations

import logging
from typing import Any, Dict, Tuple

import numpy as np
import openvino

from espnet_ros.engines.agreement_result import read_agreement_result
from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.engines.cache import EngineCache
from espnet_ros.engines.cache_key import cpu_device, engine_key
from espnet_ros.engines.openvino_export import MODEL_FILE, export_in_child
from espnet_ros.engines.openvino_model import compile_variant, openvino_core
from espnet_ros.errors import EngineError

PRECISIONS = ("fp32", "bf16", "int8")
INT8_FLAGS = ("avx512_vnni", "avx_vnni")
"""CPU flags of which int8 needs one to be faster than floating point."""
_logger = logging.getLogger(__name__)


class OpenVinoEngine:
    """Runs the segmentation graph, compiled for this CPU.

    Each kind of call (uint8 or float32 pixels, with or without confidence) has a variant that is compiled at its first
    use. Always computing the confidence would cost a tenth of the time.

    Raises:
        EngineError: the precision is not supported or changes too many labels, or OpenVINO failed.
    """

    backend = "openvino"

    def __init__(self, spec: EngineSpec, reason: str = "requested") -> None:
        self.spec = spec
        self.reason = reason
        self._core = openvino_core()
        self.device = str(self._core.get_property("CPU", "FULL_DEVICE_NAME"))
        self._has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision, path = self._prepare()
        try:
            self._model = self._core.read_model(path)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot read {path}: {error}") from error
        self._requests: Dict[Tuple[str, bool], Any] = {}

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. The result is valid until the next call."""
        check_pixels(pixels, self.spec.input_size)
        variant = (str(pixels.dtype), with_confidence)
        try:
            if variant not in self._requests:
                self._requests[variant] = compile_variant(
                    self._core, self._model, *variant, "fp32" if self.precision == "fp32" else "auto", self.spec.threads
                )
            request = self._requests[variant]
            request.infer([pixels[np.newaxis]], share_inputs=True, share_outputs=True)
            labels = request.get_output_tensor(0).data[0]
            confidence = request.get_output_tensor(1).data[0] if with_confidence else None
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on {self.device}: {error}") from error
        return EngineOutput(labels, confidence)

    def close(self) -> None:
        """See ``Engine.close``."""
        self._requests.clear()

    def _prepare(self) -> Tuple[str, str]:
        """Return the precision, and the file of the model that was converted for it."""
        requested = self.spec.precision
        if requested != "auto":
            return requested, self._convert(self._require(requested))
        if any(flag in cpu_device().split() for flag in INT8_FLAGS):
            try:
                return "int8", self._convert("int8")
            except EngineError as error:
                _logger.info("not using precision int8: %s", error)
        precision = "bf16" if self._has_bf16 else "fp32"
        return precision, self._convert(precision)

    def _require(self, precision: str) -> str:
        if precision not in PRECISIONS:
            supported = ", ".join(PRECISIONS)
            raise EngineError(f"precision '{precision}' is not supported by backend 'openvino', which has {supported}")
        if precision == "bf16" and not self._has_bf16:
            raise EngineError(f"precision 'bf16' needs a CPU that supports bf16; {self.device} does not")
        return precision

    def _convert(self, precision: str) -> str:
        spec = self.spec
        key = engine_key(spec, self.backend, openvino.__version__, precision, cpu_device())
        if precision == "int8":
            key["calibration"] = spec.calibration.description
        cache, name = EngineCache(spec.cache), spec.checkpoint.name
        entry = cache.find_or_build(key, lambda folder: export_in_child(spec, precision, folder), name)
        if precision == "int8":
            agreement = read_agreement_result(entry)
            if agreement.refusal:
                raise EngineError(f"precision 'int8': {agreement.refusal}")
            _logger.info("int8: %s", agreement)
        return str(entry / MODEL_FILE)
