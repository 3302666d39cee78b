"""The native backend: machine code generated for this CPU. Starts from its cache without importing torch."""

from __future__ import annotations

import logging
import os
from typing import Optional, Tuple

import llvmlite
import numpy as np

from espnet_ros.engines.agreement_result import read_agreement_result
from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.engines.cache import EngineCache
from espnet_ros.engines.cache_key import cpu_device, cpu_flags, engine_key
from espnet_ros.engines.native.export import export_in_child
from espnet_ros.engines.native.machine_code import MachineCode, host_cpu
from espnet_ros.engines.native.vectors import VectorUnit, choose_unit
from espnet_ros.errors import EngineError

PRECISIONS = ("int8", "bf16", "fp32")
"""Fastest first."""
_NETWORK = "espnet"
_MIN_WIDTH = 16
"""Smallest image width: one AVX-512 vector."""
_logger = logging.getLogger(__name__)


class NativeEngine:
    """ESPNet as machine code generated for its weights, its image size and this CPU.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be read.
        EngineError: the CPU, network, size or precision is not supported, the build failed, or too many labels differ
            from torch's.
    """

    backend = "native"

    def __init__(self, spec: EngineSpec, reason: str = "requested") -> None:
        self.spec = spec
        self.reason = reason
        self.device = cpu_device().partition(";")[0]
        self._flags = cpu_flags()
        self._unit = _require_unit(self.device, self._flags)
        _require_supported(spec)
        self.precision, self._code = self._prepare()

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. The result is valid until the next call."""
        check_pixels(pixels, self.spec.input_size)
        self._code.run(pixels, with_confidence)
        return EngineOutput(self._code.labels, self._code.confidence if with_confidence else None)

    def close(self) -> None:
        """Stop the worker threads and free the code."""
        self._code.close()

    def _prepare(self) -> Tuple[str, MachineCode]:
        """Load the requested precision; for ``auto``, the fastest one that is supported and keeps the labels."""
        requested = self.spec.precision
        if requested != "auto":
            return requested, self._load(requested)
        refusal: Optional[EngineError] = None
        for precision in PRECISIONS:
            if not self._unsupported_reason(precision):
                try:
                    return precision, self._load(precision)
                except EngineError as error:
                    _logger.info("not using precision %s: %s", precision, error)
                    refusal = error
        assert refusal is not None, "every unit supports fp32"
        raise refusal

    def _unsupported_reason(self, precision: str) -> str:
        """Return why the CPU does not support a precision; "" if it does."""
        if precision not in PRECISIONS:
            return f"precision '{precision}' is not supported by backend 'native', which has {', '.join(PRECISIONS)}"
        required = {"int8": self._unit.int8, "bf16": self._unit.bf16, "fp32": None}[precision]
        if required is None or self._unit.has_any(required, self._flags):
            return ""
        return (
            f"precision '{precision}' needs a CPU with {' or '.join(required) or 'AVX-512'}, which {self.device} lacks"
        )

    def _load(self, precision: str) -> MachineCode:
        problem = self._unsupported_reason(precision)
        if problem:
            raise EngineError(problem)
        spec = self.spec
        key = engine_key(spec, self.backend, llvmlite.__version__, precision, cpu_device())
        key["calibration"] = spec.calibration.description
        key["target"] = " ".join(host_cpu())
        cache, name = EngineCache(spec.cache), spec.checkpoint.name
        entry = cache.find_or_build(key, lambda folder: export_in_child(spec, precision, folder), name)
        agreement = read_agreement_result(entry)
        if agreement.refusal:
            raise EngineError(f"precision '{precision}': {agreement.refusal}")
        _logger.info("%s: %s", precision, agreement)
        return MachineCode(entry, spec.threads or len(os.sched_getaffinity(0)))


def _require_supported(spec: EngineSpec) -> None:
    network, width = spec.checkpoint.network, spec.input_size.width
    if network != _NETWORK:
        raise EngineError(f"network '{network}' is not supported by backend 'native', which runs {_NETWORK}")
    if width < _MIN_WIDTH:
        raise EngineError(f"backend 'native' needs an input_width of at least {_MIN_WIDTH}, has {width}")


def _require_unit(device: str, flags: Tuple[str, ...]) -> VectorUnit:
    unit = choose_unit(flags)
    if unit is None:
        raise EngineError(f"backend 'native' needs an x86-64 CPU with AVX2 and FMA, which {device} lacks")
    return unit
