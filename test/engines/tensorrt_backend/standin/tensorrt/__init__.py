"""A stand-in for NVIDIA's ``tensorrt``: the part of its Python interface that espnet_ros and torch2trt use.

Names, signatures and meaning are TensorRT's; networks are really built, serialised, read again and run, in numpy on
the memory of a stand-in for libcudart. ``STANDIN_TENSORRT`` says which version it is ("8.2.1.8" without), and with it
which generation of the interface there is. ``STANDIN_FAULTS`` lists what shall go wrong.
"""

from typing import Any

from tensorrt import _types
from tensorrt._builder import Builder, IBuilderConfig, IInt8Calibrator
from tensorrt._environment import version
from tensorrt._network import ILayer, INetworkDefinition, ITensor
from tensorrt._runtime import ICudaEngine, IExecutionContext, Runtime
from tensorrt._types import (
    ActivationType,
    BuilderFlag,
    CalibrationAlgoType,
    DataType,
    DeviceType,
    ElementWiseOperation,
    IHostMemory,
    ILogger,
    Logger,
    NetworkDefinitionCreationFlag,
    PaddingMode,
    PoolingType,
    ReduceOperation,
    ResizeCoordinateTransformation,
    ScaleMode,
    TensorLocation,
    TopKOperation,
    UnaryOperation,
    Weights,
)

float32, float16, int8, int32, bool = (  # noqa: A001
    DataType.FLOAT, DataType.HALF, DataType.INT8, DataType.INT32, DataType.BOOL,
)  # fmt: skip

_SINCE = {"MemoryPoolType": (8, 4), "TensorIOMode": (8, 5), "InterpolationMode": (8, 5)}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return ".".join(map(str, version()))
    if name == "ResizeMode" and version() < (10,):
        return _types.InterpolationMode
    if name in _SINCE and version() >= _SINCE[name]:
        return getattr(_types, name)
    raise AttributeError(f"module 'tensorrt' has no attribute '{name}'")


__all__ = [
    "ActivationType",
    "Builder",
    "BuilderFlag",
    "CalibrationAlgoType",
    "DataType",
    "DeviceType",
    "ElementWiseOperation",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "IInt8Calibrator",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "ITensor",
    "Logger",
    "NetworkDefinitionCreationFlag",
    "PaddingMode",
    "PoolingType",
    "ReduceOperation",
    "ResizeCoordinateTransformation",
    "Runtime",
    "ScaleMode",
    "TensorLocation",
    "TopKOperation",
    "UnaryOperation",
    "Weights",
]
