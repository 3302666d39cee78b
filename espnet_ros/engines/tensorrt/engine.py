"""The TensorRT backend. Starts from its cache without importing torch."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import tensorrt as trt

from espnet_ros.engines.agreement_result import AgreementResult, read_agreement_result
from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.engines.cache import EngineCache
from espnet_ros.engines.cache_key import engine_key
from espnet_ros.engines.tensorrt.build_process import PLAN_FILE, BuildRequest, PrecisionRefusedError, build_in_child
from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
from espnet_ros.engines.tensorrt.device import Gpu, choose_precision, find_gpu
from espnet_ros.engines.tensorrt.log import log
from espnet_ros.engines.tensorrt.session import EngineSession
from espnet_ros.errors import EngineError

_BUILD_SOURCES = ("build.py", "conversion.py", "converters.py", "graph.py")
_BUILD_MODULES = ("torch", "torch2trt")


class TensorRtEngine:
    """A TensorRT engine, built for this GPU and this version of TensorRT.

    An engine is rejected if too many of its labels differ from torch's. Precision ``auto`` then falls back to fp32.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be read.
        EngineError: there is no GPU, it does not support the precision, or the engine cannot be built or is rejected.
    """

    backend = "tensorrt"

    def __init__(self, spec: EngineSpec, reason: str = "requested") -> None:
        self.spec = spec
        self._runtime = CudaRuntime()
        self._gpu = find_gpu(self._runtime)
        self.device = str(self._gpu)
        self.precision = choose_precision(spec.precision, self._gpu)
        reasons = [reason]
        try:
            folder, agreement = self._find_or_build()
        except PrecisionRefusedError as error:
            if spec.precision != "auto" or self.precision == "fp32":
                raise
            log(logging.WARNING, f"{error}; using fp32")
            reasons.append(str(error))
            self.precision = "fp32"
            folder, agreement = self._find_or_build()
        self.reason = "; ".join([*reasons, str(agreement)])
        self._session = self._start(folder / PLAN_FILE)

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. The result is valid until the next call."""
        check_pixels(pixels, self.spec.input_size)
        try:
            return self._session.run(pixels, with_confidence)
        except EngineError as error:
            raise EngineError(f"{error} (on {self.device})") from error

    def close(self) -> None:
        """Free the engine and its memory."""
        self._session.close()

    def _find_or_build(self) -> Tuple[Path, AgreementResult]:
        key = cache_key(self.spec, self.precision, self._gpu)
        folder = EngineCache(self.spec.cache).find_or_build(key, self._build, self.spec.checkpoint.name)
        agreement = read_agreement_result(folder)
        if agreement.refusal:
            raise PrecisionRefusedError(
                f"{agreement.refusal} (cached in {folder}; delete it to build the engine again)"
            )
        return folder, agreement

    def _build(self, folder: Path) -> None:
        missing = [name for name in _BUILD_MODULES if importlib.util.find_spec(name) is None]
        if missing:
            raise EngineError(
                f"building for TensorRT needs the Python modules {' and '.join(_BUILD_MODULES)}; not installed: "
                f"{', '.join(missing)}; see docs/tensorrt.md"
            )
        build_in_child(BuildRequest(self.spec, self.precision, self._gpu, folder))

    def _start(self, plan: Path) -> EngineSession:
        session = EngineSession(plan.read_bytes(), self.spec.input_size, self.spec.log_level, self._runtime)
        try:
            session.run(np.zeros((*self.spec.input_size, 3), np.uint8))  # warm up: the first run takes longer
        except BaseException:
            session.close()
            raise
        return session


def cache_key(spec: EngineSpec, precision: str, gpu: Gpu) -> Dict[str, str]:
    """Return the cache key: everything that the engine and its comparison with torch depend on."""
    folder = Path(__file__).parent
    sources = b"".join((folder / name).read_bytes() for name in _BUILD_SOURCES)
    return {
        **engine_key(spec, "tensorrt", trt.__version__, precision, str(gpu)),
        "conversion": hashlib.sha256(sources).hexdigest(),
        "workspace": str(spec.workspace),
        "calibration": spec.calibration.description,
    }
