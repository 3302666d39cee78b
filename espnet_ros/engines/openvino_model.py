"""OpenVINO's core, and the compilation of a model for one kind of call."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import openvino
from openvino.preprocess import PrePostProcessor

_ELEMENT_TYPES = {"uint8": openvino.Type.u8, "float32": openvino.Type.f32}


@lru_cache(maxsize=1)
def openvino_core() -> openvino.Core:
    """Return the only Core of the process, which is never freed.

    OpenVINO's CPU plugin gives the thread that loads it an alternative signal stack and frees that stack with the last
    Core, in whichever thread that happens. If an engine were built in one thread and closed in another, the next
    signal would use the freed stack and kill the process.
    """
    # by default oneDNN caches 1024 primitives, even of freed engines; with 64, building is as fast
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    return openvino.Core()


def compile_variant(
    core: openvino.Core, model: Any, dtype: str, with_confidence: bool, precision: str, threads: int
) -> Any:
    """Compile a model for one kind of call and return its inference request.

    Args:
        core: ``openvino_core()``.
        model: model from (1, h, w, 3) float32 pixels to labels and confidence. It is not changed.
        dtype: dtype of the pixels, ``uint8`` or ``float32``.
        with_confidence: whether the request also returns the confidence.
        precision: precision of layers that are not quantised: ``fp32``, or ``auto`` for bf16 if the CPU supports it.
        threads: number of threads; 0 uses all cores.
    """
    outputs = model.outputs if with_confidence else model.outputs[:1]
    typed = PrePostProcessor(openvino.Model(outputs, model.get_parameters()).clone())
    typed.input().tensor().set_element_type(_ELEMENT_TYPES[dtype])
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    compiled = core.compile_model(
        typed.build(),
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if has_bf16 and precision == "auto" else "f32",
            # by default OpenVINO uses one thread per physical core, but some machines hide their physical cores
            "INFERENCE_NUM_THREADS": threads or len(os.sched_getaffinity(0)),
        },
    )
    return compiled.create_infer_request()
