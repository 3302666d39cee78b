"""Labels images with an engine: one image in, one segmentation out."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Callable, NamedTuple, Optional, Set, Type
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from espnet_ros.classes import ClassTable
from espnet_ros.engines.base import Engine, EngineOutput
from espnet_ros.errors import BrokenEngineError, EngineError, ImageError
from espnet_ros.types import UNLABELLED, ImageSize, Segmentation, StageTimes

CHANNEL_ORDERS = ("bgr", "rgb")
MAX_CONSECUTIVE_FAILURES = 3
"""An engine is broken after this many failed images in a row. It is also broken if it fails on a black image right
after a failed image, because a black image gives no engine a reason to fail."""


class InputKind(NamedTuple):
    """Kind of images that a segmenter receives: their size, and whether the engine computes the confidence."""

    size: ImageSize
    with_confidence: bool


class CallKind(NamedTuple):
    """Kind of call of an engine. Engines prepare themselves at the first call of each kind."""

    dtype: str
    with_confidence: bool


class Segmenter:
    """Labels images with an engine, which can be exchanged between two images.

    Only one thread may call ``segment``. Any thread may exchange the engine. Use the segmenter in a ``with`` block, or
    call ``close``, to free the engine.

    Args:
        engine: the first engine. The segmenter owns the engine in use.
        min_confidence: pixels with a lower confidence, 0 to 1, become ``UNLABELLED``. 0 labels every pixel.
        on_input_change: called in the thread of ``segment`` when images of another kind arrive.
    """

    def __init__(
        self, engine: Engine, min_confidence: float = 0.0, on_input_change: Optional[Callable[[], None]] = None
    ) -> None:
        self._in_use = (engine, 0)
        self._busy: Optional[Engine] = None  # the engine that labels an image right now
        self._changed = threading.Condition()
        self._input: Optional[InputKind] = None
        self._answered: WeakKeyDictionary[Engine, Set[CallKind]] = WeakKeyDictionary()
        self._consecutive_failures = 0
        self.on_input_change = on_input_change
        self._is_closed = False
        self.min_confidence = min_confidence

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    @property
    def engine(self) -> Engine:
        """The engine in use."""
        return self._in_use[0]

    @property
    def class_table(self) -> ClassTable:
        """Classes of the labels."""
        return self.engine.spec.class_table

    def is_warm(self, engine: Engine) -> bool:
        """Return whether an engine has answered a call of the current kind. True while no image has arrived."""
        kind = self._input
        return kind is None or _call_kind(engine, kind) in self._answered.get(engine, ())

    def warm_up(self, engine: Engine) -> None:
        """Run an engine that is not in use on a black image of the current kind.

        The engine prepares itself at its first call. After a warm-up that does not delay an image.

        Raises:
            EngineError: the engine failed.
        """
        kind = self._input
        if kind is not None and not self.is_warm(engine):
            self._wait_until_idle(engine)
            self._infer_black(engine, _call_kind(engine, kind))

    def use(self, engine: Engine) -> Engine:
        """Use another engine from the next image on.

        Returns:
            The previous engine, immediately. It may still be labelling an image; ``retire`` waits and frees it.
        """
        with self._changed:
            previous, number = self._in_use
            self._in_use = (engine, number + 1)
            self._consecutive_failures = 0
        return previous

    def retire(self, engine: Engine) -> None:
        """Free an engine that is no longer in use, once its image is finished."""
        self._wait_until_idle(engine)
        engine.close()

    def close(self) -> None:
        """Free the engine in use, once its image is finished. Then ``segment`` fails, and further calls do nothing."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
        self.retire(self.engine)

    def segment(self, image: np.ndarray, channel_order: str = "bgr", with_confidence: bool = False) -> Segmentation:
        """Label one image.

        Args:
            image: (H, W, 3) uint8, with any strides.
            channel_order: ``bgr`` or ``rgb``.
            with_confidence: also compute the confidence, which takes longer.

        Returns:
            Labels, and confidence if requested, at the image's size.

        Raises:
            ImageError: the image has the wrong shape or dtype, or is empty.
            BrokenEngineError: the engine failed, and not because of this image.
            EngineError: the engine failed on this image, or the segmenter is closed.
        """
        _check_image(image, channel_order)
        with self._changed:
            if self._is_closed:
                raise EngineError("the segmenter is closed")
            engine, number = self._in_use
            self._busy = engine
        try:
            return self._segment(engine, number, image, channel_order, with_confidence)
        finally:
            with self._changed:
                self._busy = None
                self._changed.notify_all()

    def _segment(
        self, engine: Engine, number: int, image: np.ndarray, channel_order: str, with_confidence: bool
    ) -> Segmentation:
        size = ImageSize(image.shape[0], image.shape[1])
        self._note_input(InputKind(size, with_confidence or self.min_confidence > 0))
        start = time.perf_counter()
        pixels = resize_pixels(image, engine.spec.input_size)
        if channel_order == "rgb":
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        prepared = time.perf_counter()
        output = self._infer_checked(engine, np.ascontiguousarray(pixels), with_confidence or self.min_confidence > 0)
        inferred = time.perf_counter()
        labels, confidence = output.labels, output.confidence
        if self.min_confidence > 0 and confidence is not None:
            labels = np.where(confidence < self.min_confidence * 255, np.uint8(UNLABELLED), labels)
        labels = _resize_labels(labels, size)
        if confidence is not None:
            confidence = _resize_labels(confidence, size) if with_confidence else None
        times = StageTimes(prepared - start, inferred - prepared, time.perf_counter() - inferred)
        return Segmentation(labels, confidence, times, engine.spec.class_table, number)

    def _note_input(self, kind: InputKind) -> None:
        if kind != self._input:
            self._input = kind
            if self.on_input_change is not None:
                self.on_input_change()

    def _infer_checked(self, engine: Engine, pixels: np.ndarray, with_confidence: bool) -> EngineOutput:
        """Run the engine, and find out whether a failure is the image's or the engine's fault."""
        kind = CallKind(str(pixels.dtype), with_confidence)
        try:
            output = self._infer(engine, pixels, kind)
        except EngineError as error:
            self._consecutive_failures += 1
            if self._consecutive_failures >= MAX_CONSECUTIVE_FAILURES or not self._answers_black(engine, kind):
                raise BrokenEngineError(str(error), engine) from error
            raise
        self._consecutive_failures = 0
        return output

    def _answers_black(self, engine: Engine, kind: CallKind) -> bool:
        try:
            self._infer_black(engine, kind)
        except EngineError:
            return False
        return True

    def _infer_black(self, engine: Engine, kind: CallKind) -> None:
        self._infer(engine, np.zeros((*engine.spec.input_size, 3), kind.dtype), kind)

    def _infer(self, engine: Engine, pixels: np.ndarray, kind: CallKind) -> EngineOutput:
        output = engine.infer(pixels, kind.with_confidence)
        self._answered.setdefault(engine, set()).add(kind)
        return output

    def _wait_until_idle(self, engine: Engine) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._busy is not engine)


def _call_kind(engine: Engine, kind: InputKind) -> CallKind:
    """Return how the segmenter calls an engine for images of a kind; see ``resize_pixels``."""
    return CallKind("uint8" if kind.size == engine.spec.input_size else "float32", kind.with_confidence)


def resize_pixels(image: np.ndarray, size: ImageSize) -> np.ndarray:
    """Resize an image to an engine's input size.

    The published pipeline resizes in floating point. Rounding to whole pixel values changes 0.1 to 0.4 % of the labels
    of a Cityscapes image, so the result stays float32.

    Args:
        image: (H, W, 3) uint8.
        size: (h, w).

    Returns:
        The image itself if it has that size, otherwise (h, w, 3) float32, bilinear.
    """
    if image.shape[:2] == tuple(size):
        return image
    resized = cv2.resize(image.astype(np.float32), (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def _resize_labels(labels: np.ndarray, size: ImageSize) -> np.ndarray:
    """Resize by nearest neighbour, which invents no labels. The result never shares memory with the engine's buffer."""
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
    """Return one line that describes an engine, for logs and reports."""
    if engine is None:
        return "no engine"
    checkpoint, size = engine.spec.checkpoint, engine.spec.input_size
    network = f"{checkpoint.name} ({checkpoint.network}, alpha {checkpoint.alpha}) at {size}"
    return f"{network} on {engine.backend} {engine.precision}, {engine.device}"
