"""One image in, one segmentation out."""

from __future__ import annotations

import threading
import time
from typing import Any, Optional, Tuple

import cv2
import numpy as np

from espnet_ros.engines.base import Engine
from espnet_ros.errors import ImageError
from espnet_ros.types import UNLABELLED, ImageSize, Segmentation, StageTimes

CHANNEL_ORDERS = ("bgr", "rgb")


class Segmenter:
    """Labels images with an engine that can be exchanged while images flow.

    Args:
        engine: the first engine; the segmenter owns it.
        min_confidence: pixels less certain than this (0..1) become ``UNLABELLED``.
    """

    def __init__(self, engine: Engine, min_confidence: float = 0.0) -> None:
        self._engine = engine
        self._engine_number = 0
        self._lock = threading.Lock()
        self._last_call: Optional[Tuple[Any, bool]] = None
        self.min_confidence = min_confidence

    @property
    def engine(self) -> Engine:
        """The engine in use."""
        return self._engine

    def replace_engine(self, engine: Engine) -> None:
        """Use another engine from the next image on; waits for the image under way, then frees the old engine.

        The new engine first answers a black image of the kind that is flowing, while the old one goes on, so that
        what it does at its first call does not delay an image.

        Raises:
            EngineError: the new engine failed on it; the old one stays.
        """
        if self._last_call is not None:
            dtype, with_confidence = self._last_call
            engine.infer(np.zeros((*engine.spec.input_size, 3), dtype), with_confidence)
        with self._lock:
            old, self._engine = self._engine, engine
            self._engine_number += 1
        if old is not engine:
            old.close()

    def close(self) -> None:
        """Free the engine, after the image under way."""
        with self._lock:
            self._engine.close()

    def segment(self, image: np.ndarray, channel_order: str = "bgr", with_confidence: bool = False) -> Segmentation:
        """Label one image.

        Args:
            image: (H, W, 3) uint8; any strides.
            channel_order: ``bgr`` or ``rgb``.
            with_confidence: compute the confidence too.

        Returns:
            Labels (and confidence) at the image's size, whatever the engine's.

        Raises:
            ImageError: the image has another shape or type.
            EngineError: the engine failed.
        """
        _check_image(image, channel_order)
        with self._lock:
            engine = self._engine
            start = time.perf_counter()
            pixels = resize_pixels(image, engine.spec.input_size)
            if channel_order == "rgb":
                pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
            prepared = time.perf_counter()
            self._last_call = (pixels.dtype, with_confidence or self.min_confidence > 0)
            output = engine.infer(np.ascontiguousarray(pixels), self._last_call[1])
            inferred = time.perf_counter()
            size = ImageSize(image.shape[0], image.shape[1])
            labels, confidence = output.labels, output.confidence
            if self.min_confidence > 0 and confidence is not None:
                labels = np.where(confidence < self.min_confidence * 255, np.uint8(UNLABELLED), labels)
            labels = _resize_labels(labels, size)
            if confidence is not None:
                confidence = _resize_labels(confidence, size) if with_confidence else None
            times = StageTimes(prepared - start, inferred - prepared, time.perf_counter() - inferred)
            return Segmentation(labels, confidence, times, engine.spec.class_table, self._engine_number)


def resize_pixels(image: np.ndarray, size: ImageSize) -> np.ndarray:
    """(H, W, 3) uint8 to (h, w, 3): as it is where the size fits, else float32, bilinear.

    The published pipeline resizes in floating point. Rounding to whole pixel values in between changes 0.1 to 0.4 %
    of the labels of a Cityscapes image, so the result stays float32.
    """
    if image.shape[:2] == tuple(size):
        return image
    resized = cv2.resize(image.astype(np.float32), (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def _resize_labels(labels: np.ndarray, size: ImageSize) -> np.ndarray:
    """Nearest neighbour, which makes no new labels. The result never shares memory with the engine's buffer."""
    if labels.shape == tuple(size):
        return labels.copy()
    return np.asarray(cv2.resize(labels, (size.width, size.height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _check_image(image: np.ndarray, channel_order: str) -> None:
    if channel_order not in CHANNEL_ORDERS:
        raise ValueError(f"channel_order must be one of {', '.join(CHANNEL_ORDERS)}, is {channel_order!r}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError("shape", f"image must be (H, W, 3) uint8, is {image.shape} {image.dtype}")
    if 0 in image.shape:
        raise ImageError("empty", f"image must not be empty, is {image.shape[0]}x{image.shape[1]}")


def engine_summary(engine: Optional[Engine]) -> str:
    """One line on an engine, for logs and reports."""
    if engine is None:
        return "no engine"
    checkpoint, size = engine.spec.checkpoint, engine.spec.input_size
    network = f"{checkpoint.name} ({checkpoint.network}, alpha {checkpoint.alpha}) at {size}"
    return f"{network} on {engine.backend} {engine.precision}, {engine.device}"
