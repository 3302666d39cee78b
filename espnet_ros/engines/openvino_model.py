"""OpenVINO's core, and a model compiled for one kind of call."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import openvino
from openvino.preprocess import PrePostProcessor

_ELEMENT_TYPES = {"uint8": openvino.Type.u8, "float32": openvino.Type.f32}


@lru_cache(maxsize=1)
def openvino_core() -> openvino.Core:
    """The one Core of the process, which is never freed.

    OpenVINO's CPU plugin gives the thread that loads it a signal stack of its own and frees it with the last Core, in
    whichever thread that happens. After an engine built in one thread is closed in another, the next signal would
    find its stack gone, and the process would die of it.
    """
    # oneDNN keeps the kernels of 1024 primitives by default, also of engines long freed; with 64 it builds as fast
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    return openvino.Core()


def compile_variant(
    core: openvino.Core, model: Any, dtype: str, with_confidence: bool, precision: str, threads: int
) -> Any:
    """An inference request for one kind of call.

    Args:
        core: ``openvino_core()``.
        model: (1, h, w, 3) float32 pixels to labels and confidence; left as it is.
        dtype: of the pixels that the request takes, ``uint8`` or ``float32``.
        with_confidence: whether it gives the confidence too.
        precision: of what is not quantised: ``fp32``, or ``auto`` for bf16 where the CPU has it.
        threads: 0 for all cores.
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
            # left to itself OpenVINO takes one thread a physical core, and some machines hide theirs
            "INFERENCE_NUM_THREADS": threads or len(os.sched_getaffinity(0)),
        },
    )
    return compiled.create_infer_request()
