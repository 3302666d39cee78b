"""Machine code of our own: the default on a CPU that has the instructions. Starts from its cache without torch."""

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
from espnet_ros.engines.native.machine_code import MachineCode
from espnet_ros.engines.native.vectors import VectorUnit, choose_unit
from espnet_ros.errors import EngineError

PRECISIONS = ("int8", "bf16", "fp32")
"""The fastest first."""
_NETWORK = "espnet"
_LEAST_WIDTH = 16
"""Of images: it fills a vector."""
_LEAST_CLASSES = 5
"""With fewer, branches of the decoder's ESP unit are empty."""
_logger = logging.getLogger(__name__)


class NativeEngine:
    """ESPNet as machine code that was written for it and for this processor.

    Raises:
        EngineError: the processor, network, size or precision is not to be had, or the code labels too differently.
    """

    backend = "native"

    def __init__(self, spec: EngineSpec, reason: str = "asked for") -> None:
        self.spec = spec
        self.reason = reason
        self.device = cpu_device().partition(";")[0]
        self._flags = cpu_flags()
        self._unit = _require_unit(self.device, self._flags)
        _require_offered(spec)
        self.precision, self._code = self._prepare()

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. The result is valid until the next call."""
        check_pixels(pixels, self.spec.input_size)
        self._code.run(pixels, with_confidence)
        return EngineOutput(self._code.labels, self._code.confidence if with_confidence else None)

    def close(self) -> None:
        """End the threads and free the code."""
        self._code.close()

    def _prepare(self) -> Tuple[str, MachineCode]:
        """The precision asked for, or the fastest one that the processor has and that keeps the labels."""
        requested = self.spec.precision
        if requested != "auto":
            return requested, self._load(requested)
        refusal: Optional[EngineError] = None
        for precision in PRECISIONS:
            if not self._why_not(precision):
                try:
                    return precision, self._load(precision)
                except EngineError as error:
                    _logger.info("precision %s is not used: %s", precision, error)
                    refusal = error
        assert refusal is not None, "every unit has fp32"
        raise refusal

    def _why_not(self, precision: str) -> str:
        if precision not in PRECISIONS:
            return f"precision '{precision}' is not offered by backend 'native': {', '.join(PRECISIONS)}"
        needed = {"int8": self._unit.int8, "bf16": self._unit.bf16, "fp32": None}[precision]
        if needed is None or self._unit.has(needed, self._flags):
            return ""
        return f"precision '{precision}' needs a CPU with {' or '.join(needed) or 'AVX-512'}; {self.device} has none"

    def _load(self, precision: str) -> MachineCode:
        problem = self._why_not(precision)
        if problem:
            raise EngineError(problem)
        spec = self.spec
        key = engine_key(spec, self.backend, llvmlite.__version__, precision, cpu_device())
        key["calibration"] = spec.calibration.description
        cache, name = EngineCache(spec.cache), spec.checkpoint.name
        entry = cache.find_or_build(key, lambda folder: export_in_child(spec, precision, folder), name)
        verdict = read_agreement_result(entry)
        if verdict.refusal:
            raise EngineError(f"precision '{precision}': {verdict.refusal}")
        _logger.info("%s: %s", precision, verdict)
        return MachineCode(entry, spec.threads or len(os.sched_getaffinity(0)))


def _require_offered(spec: EngineSpec) -> None:
    network, width, classes = spec.checkpoint.network, spec.input_size.width, len(spec.class_table)
    if network != _NETWORK:
        raise EngineError(f"network '{network}' is not offered by backend 'native': {_NETWORK}")
    if width < _LEAST_WIDTH:
        raise EngineError(f"backend 'native' needs an input_width of at least {_LEAST_WIDTH}, has {width}")
    if classes < _LEAST_CLASSES:
        raise EngineError(f"backend 'native' needs at least {_LEAST_CLASSES} classes, has {classes}")


def _require_unit(device: str, flags: Tuple[str, ...]) -> VectorUnit:
    unit = choose_unit(flags)
    if unit is None:
        raise EngineError(f"backend 'native' needs an x86-64 CPU with AVX2 and FMA; {device} has not")
    return unit
