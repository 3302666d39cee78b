"""The GPU, and the precisions that TensorRT supports on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
from espnet_ros.errors import EngineError

PRECISIONS = ("fp32", "fp16", "int8")
"""Precisions of the backend; the GPU may support only some of them."""

# Precisions besides fp32 by compute capability, from NVIDIA's TensorRT support matrix (of 8.2 for old GPUs), table
# "Hardware and precision". 5.3 is the Jetson Nano and TX1, 6.2 the Jetson TX2. All GPUs from 7.0 on support both.
_REDUCED: Dict[Tuple[int, int], Tuple[str, ...]] = {
    (5, 0): (),
    (5, 2): (),
    (5, 3): ("fp16",),
    (6, 0): ("fp16",),
    (6, 1): ("int8",),
    (6, 2): ("fp16",),
}


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: name reported by CUDA.
        capability: compute capability, (major, minor).
    """

    name: str
    capability: Tuple[int, int]

    @property
    def precisions(self) -> Tuple[str, ...]:
        """Precisions that TensorRT supports on it, from NVIDIA's table."""
        return ("fp32", *_REDUCED.get(self.capability, ("fp16", "int8")))

    def __str__(self) -> str:
        return f"{self.name}, compute capability {self.capability[0]}.{self.capability[1]}"


def find_gpu(runtime: CudaRuntime) -> Gpu:
    """Return the GPU that engines run on.

    Raises:
        EngineError: there is no GPU, or its driver does not match the CUDA runtime.
    """
    return Gpu(runtime.device_name(), runtime.compute_capability())


def choose_precision(requested: str, gpu: Gpu) -> str:
    """Return the precision to build: ``auto`` is fp16 if the GPU supports it, otherwise fp32.

    Raises:
        EngineError: the backend or the GPU does not support the precision.
    """
    if requested == "auto":
        return "fp16" if "fp16" in gpu.precisions else "fp32"
    if requested not in PRECISIONS:
        raise EngineError(
            f"precision '{requested}' is not supported by backend 'tensorrt', which has {', '.join(PRECISIONS)}"
        )
    if requested not in gpu.precisions:
        raise EngineError(
            f"precision '{requested}' needs a GPU that supports it; {gpu} supports only {', '.join(gpu.precisions)}"
        )
    return requested
