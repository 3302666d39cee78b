"""The GPU, and the arithmetic that TensorRT has on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
from espnet_ros.errors import EngineError

PRECISIONS = ("fp32", "fp16", "int8")
"""What the backend offers where the GPU has it."""

# NVIDIA TensorRT support matrix (8.2 for the old ones), table "Hardware and precision": what there is besides fp32.
# 5.3 is the Jetson Nano and TX1, 6.2 the Jetson TX2. All GPUs from 7.0 on have both.
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
        name: as CUDA has it.
        capability: compute capability, major and minor.
    """

    name: str
    capability: Tuple[int, int]

    @property
    def precisions(self) -> Tuple[str, ...]:
        """What TensorRT computes in on it, by NVIDIA's table."""
        return ("fp32", *_REDUCED.get(self.capability, ("fp16", "int8")))

    def __str__(self) -> str:
        return f"{self.name}, compute capability {self.capability[0]}.{self.capability[1]}"


def find_gpu(runtime: CudaRuntime) -> Gpu:
    """The GPU that engines run on.

    Raises:
        EngineError: there is none, or its driver does not fit.
    """
    return Gpu(runtime.device_name(), runtime.compute_capability())


def choose_precision(requested: str, gpu: Gpu) -> str:
    """What to compute in: ``auto`` is fp16 where the GPU has it, else fp32. Known before anything is built.

    Raises:
        EngineError: the backend or the GPU does not have the precision.
    """
    if requested == "auto":
        return "fp16" if "fp16" in gpu.precisions else "fp32"
    if requested not in PRECISIONS:
        raise EngineError(
            f"precision '{requested}' is not offered by backend 'tensorrt', which has {', '.join(PRECISIONS)}"
        )
    if requested not in gpu.precisions:
        raise EngineError(
            f"precision '{requested}' needs a GPU that computes in it; {gpu} does not: it has "
            f"{', '.join(gpu.precisions)}"
        )
    return requested
