"""The protocols that engines and their callers share: an engine, its spec and the images it is calibrated with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional

import numpy as np
from typing_extensions import Protocol

from espnet_ros.classes import ClassTable
from espnet_ros.errors import EngineError
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.types import ImageSize


class CalibrationImages(Protocol):
    """Images like those an engine will see. An engine is calibrated and compared with torch on them.

    Engines are built in child processes, so an implementation must be picklable.
    """

    @property
    def description(self) -> str:
        """Identifies the images in the cache key of an engine: other images, another description."""

    def images(self, size: ImageSize, count: int) -> List[np.ndarray]:
        """Return the same images at every call.

        Args:
            size: size of the images.
            count: maximum number of images.

        Returns:
            At least one (h, w, 3) uint8 BGR image, C-contiguous.

        Raises:
            DatasetError: the images cannot be read.
        """


@dataclass(frozen=True)
class NoCalibrationImages:
    """Stands for missing calibration images. Backends that need none ignore it; others refuse to build."""

    description = "none"

    def images(self, size: ImageSize, count: int) -> List[np.ndarray]:
        """Refuse.

        Raises:
            EngineError: always.
        """
        raise EngineError(f"building this engine needs calibration images of {size}, but its spec has none")


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is built from.

    Attributes:
        checkpoint: the weights; their file has been located.
        class_table: classes of the labels.
        input_size: size of the engine's input images.
        backend: ``auto``, ``tensorrt``, ``native``, ``openvino``, ``onnxruntime``, ``torch`` or ``fake``.
        precision: ``auto``, ``fp32``, ``fp16``, ``bf16`` or ``int8``. Each backend offers a subset.
        threads: number of CPU threads; 0 uses all cores.
        cache: folder of built engines; "" for the default folder.
        calibration: images for the ranges of int8 and for the comparison with torch.
        workspace: memory that TensorRT may use during a build, in MiB.
        log_level: minimum level of TensorRT's build messages: ``error``, ``warning``, ``info`` or ``verbose``.
    """

    checkpoint: Checkpoint
    class_table: ClassTable
    input_size: ImageSize
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    cache: str = ""
    calibration: CalibrationImages = NoCalibrationImages()
    workspace: int = 1024
    log_level: str = "warning"


class EngineOutput(NamedTuple):
    """Labels at the engine's input size."""

    labels: np.ndarray
    """(h, w) uint8 class ids. The engine may overwrite the array at its next call."""
    confidence: Optional[np.ndarray]
    """(h, w) uint8, 255 is certain; None if it was not requested."""


class Engine(Protocol):
    """A network that is ready to run on one device. Not thread-safe: one thread calls ``infer`` at a time.

    Attributes:
        spec: what the engine was built from.
        backend: name of its backend, never ``auto``.
        device: name of the device it runs on.
        precision: arithmetic it computes in, never ``auto``.
        reason: why this backend was chosen.
    """

    spec: EngineSpec
    backend: str
    device: str
    precision: str
    reason: str

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """Label one image.

        Args:
            pixels: (h, w, 3) BGR, uint8 or float32 in 0..255, C-contiguous, of the spec's input size.
            with_confidence: also compute the confidence, which takes longer.

        Raises:
            EngineError: the image has the wrong shape or dtype, or the engine failed.
        """

    def close(self) -> None:
        """Free the engine's memory and threads. The engine cannot be used afterwards."""


def check_pixels(pixels: np.ndarray, size: ImageSize) -> None:
    """Check that an engine can take an image.

    Raises:
        EngineError: wrong shape, dtype or memory layout.
    """
    expected = (size.height, size.width, 3)
    if pixels.shape != expected:
        raise EngineError(f"engine input must have shape {expected}, has {pixels.shape}")
    if pixels.dtype not in (np.uint8, np.float32):
        raise EngineError(f"engine input must be uint8 or float32, is {pixels.dtype}")
    if not pixels.flags.c_contiguous:
        raise EngineError("engine input must be C-contiguous")
