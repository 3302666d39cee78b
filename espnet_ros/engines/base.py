"""What every inference engine offers, and what it is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np
from typing_extensions import Protocol

from espnet_ros.classes import ClassTable
from espnet_ros.errors import EngineError
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.types import ImageSize


@dataclass(frozen=True)
class EngineSpec:
    """What to build.

    Attributes:
        checkpoint: the weights, located.
        class_table: classes of the labels.
        input_size: size the engine takes.
        backend: ``auto``, ``tensorrt``, ``native``, ``openvino``, ``onnxruntime``, ``torch`` or ``fake``.
        precision: ``auto``, ``fp32``, ``fp16``, ``bf16`` or ``int8``; each backend offers some of them.
        threads: CPU threads; 0: all cores.
        cache: folder of built engines; "" for the default.
        calibration: folder of images or bag that int8 takes its ranges from; "" for the synthetic street.
        workspace: MiB that TensorRT may use while it builds.
        log_level: what TensorRT may say while it builds: ``error``, ``warning``, ``info`` or ``verbose``.
    """

    checkpoint: Checkpoint
    class_table: ClassTable
    input_size: ImageSize
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    cache: str = ""
    calibration: str = ""
    workspace: int = 1024
    log_level: str = "warning"


class EngineOutput(NamedTuple):
    """Labels at the engine's input size."""

    labels: np.ndarray
    """(h, w) uint8 class ids. It may be reused by the next call."""
    confidence: Optional[np.ndarray]
    """(h, w) uint8, 255 being certain; None where it was not asked for."""


class Engine(Protocol):
    """A network that is ready to run on one device. It is used by one thread at a time.

    Attributes:
        spec: what it was built from.
        backend: what runs it, never ``auto``.
        device: what it runs on, in words.
        precision: what it computes in, never ``auto``.
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
            pixels: (h, w, 3) BGR, uint8 or float32 of 0..255, C-contiguous, of the spec's input size.
            with_confidence: compute the confidence too, which takes longer.

        Raises:
            EngineError: the image has another shape or type, or the engine failed.
        """

    def close(self) -> None:
        """Free what the engine holds. It is not used afterwards."""


def check_pixels(pixels: np.ndarray, size: ImageSize) -> None:
    """Refuse what an engine cannot take.

    Raises:
        EngineError: wrong shape, type or layout.
    """
    expected = (size.height, size.width, 3)
    if pixels.shape != expected:
        raise EngineError(f"engine input must have shape {expected}, has {pixels.shape}")
    if pixels.dtype not in (np.uint8, np.float32):
        raise EngineError(f"engine input must be uint8 or float32, is {pixels.dtype}")
    if not pixels.flags.c_contiguous:
        raise EngineError("engine input must be C-contiguous")
