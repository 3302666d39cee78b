"""A stand-in for NVIDIA's ``torch2trt`` 0.5: its interface, its hooks into torch, and its ways to fail.

As with the real one, what has no converter becomes a constant, what is only known by name prints a warning, outputs
that are no floats are dropped, the workspace is not limited on TensorRT 10, and an engine that was not built is None.

``STANDIN_FAULTS`` lists what shall go wrong besides.
"""

from torch2trt import _converters  # noqa: F401  # registers itself
from torch2trt._conversion import (
    CONVERTERS,
    ConversionContext,
    TRTModule,
    get_conversion_context,
    tensorrt_converter,
    torch2trt,
)
from torch2trt._cuda import stand_in_for_cuda

stand_in_for_cuda()

__all__ = [
    "CONVERTERS",
    "ConversionContext",
    "TRTModule",
    "get_conversion_context",
    "tensorrt_converter",
    "torch2trt",
]
