"""One image in, one segmentation out."""

from __future__ import annotations

import threading
import time
from typing import Callable, NamedTuple, Optional, Set
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from espnet_ros.engines.base import Engine, EngineOutput
from espnet_ros.errors import BrokenEngineError, EngineError, ImageError
from espnet_ros.types import UNLABELLED, ImageSize, Segmentation, StageTimes

CHANNEL_ORDERS = ("bgr", "rgb")
FAILURES_OF_A_BROKEN_ENGINE = 3
"""One failed image proves nothing. An engine counts as broken when it then fails on a black image too, which gives no
engine a reason to, or when it fails on this many images in a row."""


class Flow(NamedTuple):
    """The kind of images that flow: their size, and whether the engine is asked for its confidence."""

    size: ImageSize
    with_confidence: bool


class Call(NamedTuple):
    """A kind of call of an engine, which makes some of its preparations when a kind first comes."""

    dtype: str
    with_confidence: bool


class Segmenter:
    """Labels images with an engine that can be exchanged while images flow.

    One thread calls ``segment``; the engine may be exchanged in any other.

    Args:
        engine: the first engine; the segmenter owns the one in use.
        min_confidence: pixels less certain than this (0..1) become ``UNLABELLED``.
        flow_changed: told, in the thread that segments, that another kind of images came.
    """

    def __init__(
        self, engine: Engine, min_confidence: float = 0.0, flow_changed: Optional[Callable[[], None]] = None
    ) -> None:
        self._in_use = (engine, 0)
        self._under_way: Optional[Engine] = None
        self._changed = threading.Condition()
        self._flow: Optional[Flow] = None
        self._calls_answered: WeakKeyDictionary[Engine, Set[Call]] = WeakKeyDictionary()
        self._failures_in_a_row = 0
        self.flow_changed = flow_changed
        self.min_confidence = min_confidence

    @property
    def engine(self) -> Engine:
        """The engine in use."""
        return self._in_use[0]

    def is_warm(self, engine: Engine) -> bool:
        """Whether the engine has answered the kind of image that flows; true as long as none does."""
        flow = self._flow
        return flow is None or _call_for(engine, flow) in self._calls_answered.get(engine, ())

    def warm_up(self, engine: Engine) -> None:
        """Have an engine that is not in use answer a black image of the kind that flows.

        What it does at its first call does not delay an image then.

        Raises:
            EngineError: the engine failed on it.
        """
        flow = self._flow
        if flow is not None and not self.is_warm(engine):
            self._wait_for_image_in(engine)
            self._ask_black(engine, _call_for(engine, flow))

    def use(self, engine: Engine) -> Engine:
        """Use another engine from the next image on; returns the old one at once.

        The old one may still have an image under way: ``retire`` frees it.
        """
        with self._changed:
            old, number = self._in_use
            self._in_use = (engine, number + 1)
            self._failures_in_a_row = 0
        return old

    def retire(self, engine: Engine) -> None:
        """Free an engine that is not in use any more, after its image under way."""
        self._wait_for_image_in(engine)
        engine.close()

    def close(self) -> None:
        """Free the engine in use, after its image under way."""
        self.retire(self.engine)

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
            BrokenEngineError: the engine failed, and it is not the image's fault.
            EngineError: the engine failed.
        """
        _check_image(image, channel_order)
        with self._changed:
            engine, number = self._in_use
            self._under_way = engine
        try:
            return self._segment(engine, number, image, channel_order, with_confidence)
        finally:
            with self._changed:
                self._under_way = None
                self._changed.notify_all()

    def _segment(
        self, engine: Engine, number: int, image: np.ndarray, channel_order: str, with_confidence: bool
    ) -> Segmentation:
        size = ImageSize(image.shape[0], image.shape[1])
        self._note_flow(Flow(size, with_confidence or self.min_confidence > 0))
        start = time.perf_counter()
        pixels = resize_pixels(image, engine.spec.input_size)
        if channel_order == "rgb":
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        prepared = time.perf_counter()
        output = self._answer(engine, np.ascontiguousarray(pixels), with_confidence or self.min_confidence > 0)
        inferred = time.perf_counter()
        labels, confidence = output.labels, output.confidence
        if self.min_confidence > 0 and confidence is not None:
            labels = np.where(confidence < self.min_confidence * 255, np.uint8(UNLABELLED), labels)
        labels = _resize_labels(labels, size)
        if confidence is not None:
            confidence = _resize_labels(confidence, size) if with_confidence else None
        times = StageTimes(prepared - start, inferred - prepared, time.perf_counter() - inferred)
        return Segmentation(labels, confidence, times, engine.spec.class_table, number)

    def _note_flow(self, flow: Flow) -> None:
        if flow != self._flow:
            self._flow = flow
            if self.flow_changed is not None:
                self.flow_changed()

    def _answer(self, engine: Engine, pixels: np.ndarray, with_confidence: bool) -> EngineOutput:
        call = Call(str(pixels.dtype), with_confidence)
        try:
            output = self._infer(engine, pixels, call)
        except EngineError as error:
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= FAILURES_OF_A_BROKEN_ENGINE or not self._answers_black(engine, call):
                raise BrokenEngineError(str(error), engine) from error
            raise
        self._failures_in_a_row = 0
        return output

    def _answers_black(self, engine: Engine, call: Call) -> bool:
        try:
            self._ask_black(engine, call)
        except EngineError:
            return False
        return True

    def _ask_black(self, engine: Engine, call: Call) -> None:
        self._infer(engine, np.zeros((*engine.spec.input_size, 3), call.dtype), call)

    def _infer(self, engine: Engine, pixels: np.ndarray, call: Call) -> EngineOutput:
        output = engine.infer(pixels, call.with_confidence)
        self._calls_answered.setdefault(engine, set()).add(call)
        return output

    def _wait_for_image_in(self, engine: Engine) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._under_way is not engine)


def _call_for(engine: Engine, flow: Flow) -> Call:
    """How an engine is called for such images; see ``resize_pixels``."""
    return Call("uint8" if flow.size == engine.spec.input_size else "float32", flow.with_confidence)


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
