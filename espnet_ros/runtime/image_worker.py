"""A thread that answers the newest image and counts what became of every other one. Knows nothing of ROS."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, NamedTuple, Optional, Union

import numpy as np

from espnet_ros.errors import ImageError

ANSWERS_KEPT = 100
"""Rates and latencies are over this many answers."""

NEWER_CAME = "a newer image came"
RATE_LIMIT = "max_rate"
NO_LISTENER = "nobody listens"
ENGINE_FAILED = "the engine failed"
STOPPED = "stopped"


class EngineTime(NamedTuple):
    """What one image took in the engine alone: seconds, and which engine (``Segmentation.engine_number``)."""

    seconds: float
    engine: int


class Dropped(NamedTuple):
    """An image that was not looked at, and why: one of the reasons above."""

    reason: str


class Answer(NamedTuple):
    """One answered image.

    Attributes:
        finished: when, seconds of the worker's clock.
        latency: seconds since it arrived.
        busy: seconds for which the worker was busy with it.
        inference: the engine's time.
    """

    finished: float
    latency: float
    busy: float
    inference: EngineTime


@dataclass(frozen=True)
class ImageCounts:
    """What became of the images. received = answered + dropped + refused + failed + under_way.

    Attributes:
        under_way: 0 to 2 images: one in the engine, one waiting for it.
        drop_reasons, refused_kinds: the same sums by reason.
        silence: seconds since the last image, or since the start.
        frame_rate: Hz; 0 before the second answer and when the last one is long ago.
        latency_p50, latency_p95: seconds from arrival to published labels.
        inference_time: seconds, median of the engine that gave the last answer.
    """

    received: int = 0
    answered: int = 0
    failed: int = 0
    under_way: int = 0
    drop_reasons: Dict[str, int] = field(default_factory=dict)
    refused_kinds: Dict[str, int] = field(default_factory=dict)
    silence: float = 0.0
    frame_rate: float = 0.0
    latency_p50: float = 0.0
    latency_p95: float = 0.0
    inference_time: float = 0.0

    @property
    def dropped(self) -> int:
        """Images that were not looked at."""
        return sum(self.drop_reasons.values())

    @property
    def refused(self) -> int:
        """Images that cannot be used."""
        return sum(self.refused_kinds.values())


class _Waiting(NamedTuple):
    image: Any
    arrived: float


class ImageWorker:
    """Answers one image at a time in its own thread; the newest waits, older ones are dropped.

    Args:
        answer: takes an image and returns the engine's time once the answer is out, or why it does not look at it.
        report: told every error that ``answer`` raised.
        max_rate: images answered a second at most; 0 for no limit.
        clock: seconds, monotonic.
        answered: told of every answer, in the worker's thread.
    """

    def __init__(
        self,
        answer: Callable[[Any], Union[EngineTime, Dropped]],
        report: Callable[[Exception], None],
        max_rate: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        answered: Callable[[Answer], None] = lambda _answer: None,
    ) -> None:
        self.max_rate = max_rate
        self._note_answer = answered
        self._answer = answer
        self._report = report
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: Optional[_Waiting] = None
        self._is_busy = False
        self._is_stopped = False
        self._next_due = 0.0
        self._last_arrival = clock()
        self._received = self._answered = self._failed = 0
        self._drops: Dict[str, int] = defaultdict(int)
        self._refusals: Dict[str, int] = defaultdict(int)
        self._answers: Deque[Answer] = deque(maxlen=ANSWERS_KEPT)
        self._thread = threading.Thread(target=self._run, name="image worker", daemon=True)

    def start(self) -> None:
        """Begin to answer. A worker starts once."""
        self._thread.start()

    def stop(self, timeout: Optional[float] = None) -> None:
        """Drop the waiting image, finish the one under way (for ``timeout`` seconds at most) and end the thread."""
        with self._changed:
            self._is_stopped = True
            if self._waiting is not None:
                self._waiting = None
                self._drops[STOPPED] += 1
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def offer(self, image: Any) -> None:
        """Take an image; returns at once."""
        with self._changed:
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
                self._changed.notify()

    def counts(self, stale_after: float = float("inf")) -> ImageCounts:
        """The counts at one moment.

        Args:
            stale_after: the frame rate is 0 when the last answer is older than this many seconds.
        """
        with self._changed:
            now = self._clock()
            answers = list(self._answers)
            counts = ImageCounts(
                received=self._received,
                answered=self._answered,
                failed=self._failed,
                under_way=int(self._is_busy) + int(self._waiting is not None),
                drop_reasons=dict(self._drops),
                refused_kinds=dict(self._refusals),
                silence=now - self._last_arrival,
            )
        return _with_timing(counts, answers, now, stale_after)

    def _is_due(self, now: float) -> bool:
        """Whether max_rate allows an image now.

        An image may come up to half a period late without moving the ones after it, so that a camera at a multiple of
        max_rate is answered at max_rate in spite of its jitter.
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
            with self._changed:
                while self._waiting is None and not self._is_stopped:
                    self._changed.wait()
                if self._waiting is None:
                    return
                current, self._waiting = self._waiting, None
                self._is_busy = True
            self._process(current)
            # The image is large; without this it would live until the next one comes.
            del current

    def _process(self, current: _Waiting) -> None:
        error: Optional[Exception] = None
        outcome: Union[EngineTime, Dropped, None] = None
        answer: Optional[Answer] = None
        began = self._clock()
        try:
            outcome = self._answer(current.image)
        except Exception as raised:  # the thread's edge: whatever it is, the next image gets its chance
            error = raised
        with self._changed:
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
                answer = Answer(now, now - current.arrived, now - began, outcome)
                self._answers.append(answer)
        if answer is not None:
            self._note_answer(answer)
        if error is not None:
            self._report(error)


def _with_timing(counts: ImageCounts, answers: Any, now: float, stale_after: float) -> ImageCounts:
    if not answers:
        return counts
    latencies = np.array([answer.latency for answer in answers])
    span = answers[-1].finished - answers[0].finished
    newest = answers[-1].inference.engine
    times = [answer.inference.seconds for answer in answers if answer.inference.engine == newest]
    is_fresh = now - answers[-1].finished <= stale_after
    return ImageCounts(
        **{
            **counts.__dict__,
            "frame_rate": (len(answers) - 1) / span if span > 0 and is_fresh else 0.0,
            "latency_p50": float(np.percentile(latencies, 50)),
            "latency_p95": float(np.percentile(latencies, 95)),
            "inference_time": float(np.median(times)),
        }
    )
