"""A thread that processes the newest image, and counts of all images by outcome."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Union

import numpy as np

from espnet_ros.errors import ImageError

ANSWERS_KEPT = 100
"""Number of answered images over which rates and latencies are computed."""

NEWER_CAME = "a newer image came"
RATE_LIMIT = "max_rate"
NO_LISTENER = "nobody listens"
ENGINE_FAILED = "the engine failed"
STOPPED = "stopped"


class EngineTime(NamedTuple):
    """Time of one image in the engine alone, in seconds, and the engine's number (``Segmentation.engine_number``)."""

    seconds: float
    engine: int


class Dropped(NamedTuple):
    """An image that was not processed. ``reason`` is one of the constants above."""

    reason: str


class AnsweredImage(NamedTuple):
    """Timing of an image whose results were published.

    Attributes:
        finished: time of publication, in seconds of the worker's clock.
        latency: seconds from arrival to publication.
        busy: seconds the worker spent on it.
        inference: the engine's time.
    """

    finished: float
    latency: float
    busy: float
    inference: EngineTime


@dataclass(frozen=True)
class ImageCounts:
    """Images by outcome: received = answered + dropped + refused + failed + in_progress.

    Attributes:
        in_progress: 0 to 2 images: one being processed, one waiting.
        drop_reasons: dropped images by reason.
        refused_kinds: refused images by kind of error.
        silence: seconds since the last image arrived, or since the start.
        frame_rate: answered images per second; 0 before the second answer or if the last one is too old.
        latency_p50, latency_p95: percentiles of the time from arrival to published labels, in seconds.
        inference_time: median time of the current engine per image, in seconds.
    """

    received: int = 0
    answered: int = 0
    failed: int = 0
    in_progress: int = 0
    drop_reasons: Dict[str, int] = field(default_factory=dict)
    refused_kinds: Dict[str, int] = field(default_factory=dict)
    silence: float = 0.0
    frame_rate: float = 0.0
    latency_p50: float = 0.0
    latency_p95: float = 0.0
    inference_time: float = 0.0

    @property
    def dropped(self) -> int:
        """Number of images that were not processed."""
        return sum(self.drop_reasons.values())

    @property
    def refused(self) -> int:
        """Number of images that could not be used."""
        return sum(self.refused_kinds.values())


class _Waiting(NamedTuple):
    image: Any
    arrived: float


class ImageWorker:
    """Processes one image at a time in its own thread. The newest image waits, older ones are dropped.

    All callbacks are called in the worker's thread.

    Args:
        process: processes an image; returns the engine's time once the results are published, or why it was dropped.
        report_error: called with every exception that ``process`` raised.
        max_rate: maximum frame rate in Hz; 0 for no limit.
        clock: returns monotonic seconds.
        answered: called for every answered image.
        name: name of the thread.
    """

    def __init__(
        self,
        process: Callable[[Any], Union[EngineTime, Dropped]],
        report_error: Callable[[Exception], None],
        max_rate: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        answered: Callable[[AnsweredImage], None] = lambda _image: None,
        name: str = "image worker",
    ) -> None:
        self.max_rate = max_rate
        self._answered_callback = answered
        self._process_callback = process
        self._report_error = report_error
        self._clock = clock
        self._condition = threading.Condition()
        self._waiting: Optional[_Waiting] = None
        self._is_busy = False
        self._is_stopped = False
        self._next_due = 0.0
        self._last_arrival = clock()
        self._received = self._answered = self._failed = 0
        self._drops: Dict[str, int] = defaultdict(int)
        self._refusals: Dict[str, int] = defaultdict(int)
        self._recent: Deque[AnsweredImage] = deque(maxlen=ANSWERS_KEPT)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. A worker can be started once."""
        self._thread.start()

    def stop(self, timeout: Optional[float] = None) -> None:
        """Drop the waiting image, wait up to ``timeout`` seconds for the current one, and end the thread."""
        with self._condition:
            self._is_stopped = True
            if self._waiting is not None:
                self._waiting = None
                self._drops[STOPPED] += 1
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def offer(self, image: Any) -> None:
        """Accept or drop an image; returns immediately."""
        with self._condition:
            now = self._clock()
            self._received += 1
            self._last_arrival = now
            if self._is_stopped:
                self._drops[STOPPED] += 1
            elif not self._is_due(now):
                self._drops[RATE_LIMIT] += 1
            else:
                if self._waiting is not None:
                    self._drops[NEWER_CAME] += 1
                self._waiting = _Waiting(image, now)
                self._condition.notify()

    def counts(self, stale_after: float = float("inf")) -> ImageCounts:
        """Return the current counts.

        Args:
            stale_after: age in seconds of the last answer above which the frame rate is 0.
        """
        with self._condition:
            now = self._clock()
            recent = list(self._recent)
            counts = ImageCounts(
                received=self._received,
                answered=self._answered,
                failed=self._failed,
                in_progress=int(self._is_busy) + int(self._waiting is not None),
                drop_reasons=dict(self._drops),
                refused_kinds=dict(self._refusals),
                silence=now - self._last_arrival,
            )
        return _with_timing(counts, recent, now, stale_after)

    def _is_due(self, now: float) -> bool:
        """Return whether max_rate allows an image now.

        An image up to half a period late does not delay the following ones. A camera at a multiple of max_rate is
        therefore processed at max_rate despite jitter.
        """
        if self.max_rate <= 0:
            return True
        if now < self._next_due:
            return False
        period = 1.0 / self.max_rate
        self._next_due = max(self._next_due, now - period / 2) + period
        return True

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._waiting is None and not self._is_stopped:
                    self._condition.wait()
                if self._waiting is None:
                    return
                current, self._waiting = self._waiting, None
                self._is_busy = True
            self._process(current)
            # The image is large; without this it would stay in memory until the next one arrives.
            del current

    def _process(self, current: _Waiting) -> None:
        error: Optional[Exception] = None
        outcome: Union[EngineTime, Dropped, None] = None
        answered: Optional[AnsweredImage] = None
        began = self._clock()
        try:
            outcome = self._process_callback(current.image)
        except Exception as raised:  # reported below; the thread must go on with the next image
            error = raised
        with self._condition:
            self._is_busy = False
            if isinstance(error, ImageError):
                self._refusals[error.kind] += 1
            elif error is not None:
                self._failed += 1
            elif isinstance(outcome, Dropped):
                self._drops[outcome.reason] += 1
            elif outcome is not None:
                now = self._clock()
                self._answered += 1
                answered = AnsweredImage(now, now - current.arrived, now - began, outcome)
                self._recent.append(answered)
        if answered is not None:
            self._answered_callback(answered)
        if error is not None:
            self._report_error(error)


def _with_timing(counts: ImageCounts, recent: List[AnsweredImage], now: float, stale_after: float) -> ImageCounts:
    if not recent:
        return counts
    latencies = np.array([image.latency for image in recent])
    span = recent[-1].finished - recent[0].finished
    newest = recent[-1].inference.engine
    times = [image.inference.seconds for image in recent if image.inference.engine == newest]
    is_fresh = now - recent[-1].finished <= stale_after
    return ImageCounts(
        **{
            **counts.__dict__,
            "frame_rate": (len(recent) - 1) / span if span > 0 and is_fresh else 0.0,
            "latency_p50": float(np.percentile(latencies, 50)),
            "latency_p95": float(np.percentile(latencies, 95)),
            "inference_time": float(np.median(times)),
        }
    )
