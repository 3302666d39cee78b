"""Record a drive: the frames that were sent and answered, their latency and their accuracy."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional

import cv2
import numpy as np

from espnet_ros.classes import ClassTable
from espnet_ros.demo.by_alpha import AlphaReport, CountsByAlpha, FrameCounts, SwitchReport
from espnet_ros.evaluation.frames import Frame, check_label_ids
from espnet_ros.evaluation.metrics import ConfusionMatrix
from espnet_ros.evaluation.report import class_iou_by_name, confusion_matrix_for
from espnet_ros.image_encoding import ColorImage
from espnet_ros.overlay import blend_overlay

_SAMPLES_AT_MOST = 24
_SAMPLE_WIDTH = 960
_RECENT = 15


class Answer(NamedTuple):
    """Times of an answered frame in seconds; ``sent`` counts from the first frame."""

    sent: float
    latency: float


@dataclass(frozen=True)
class Sample:
    """An answered frame for the page. All images are (h, w, 3) uint8 RGB of one size; the latency is in seconds."""

    name: str
    latency: float
    image: np.ndarray
    overlay: np.ndarray
    labels: np.ndarray
    truth: Optional[np.ndarray]


@dataclass(frozen=True)
class DriveReport:
    """Results of a drive.

    Attributes:
        sent, answered: numbers of frames.
        frame_rate: answers per second between the first and the last one; 0 with fewer than two.
        answers: in the order in which they came.
        class_iou: by class name; empty if the source has no labels.
        mean_iou: None if the source has no labels.
        samples: up to 24 answered frames, evenly spread over the drive.
        alphas: results of each alpha that was in use, in that order.
        switches: between alphas, in order.
    """

    sent: int
    answered: int
    frame_rate: float
    answers: List[Answer]
    class_iou: Dict[str, Optional[float]]
    mean_iou: Optional[float]
    samples: List[Sample]
    alphas: List[AlphaReport]
    switches: List[SwitchReport]

    @property
    def dropped(self) -> int:
        """Number of frames without an answer."""
        return self.sent - self.answered

    def latency(self, percent: float) -> Optional[float]:
        """Return a percentile of the latencies in seconds; None without answers."""
        values = [answer.latency for answer in self.answers]
        return float(np.percentile(values, percent)) if values else None

    def as_dict(self) -> Dict[str, Any]:
        """Return the numbers for JSON; times in seconds, rates in Hz."""
        return {
            "frames_sent": self.sent,
            "frames_answered": self.answered,
            "frames_dropped": self.dropped,
            "frame_rate": self.frame_rate,
            "latency_p50": self.latency(50),
            "latency_p95": self.latency(95),
            "mean_iou": self.mean_iou,
            "class_iou": self.class_iou,
            "by_alpha": [entry.as_dict() for entry in self.alphas],
            "switches": [entry.as_dict() for entry in self.switches],
        }


class _Waiting(NamedTuple):
    """A frame without an answer so far, its sending time (monotonic, in seconds), and the counts it belongs to."""

    frame: Frame
    sent: float
    counts: FrameCounts


class DriveRecorder:
    """Records frames when they are sent and answered. The two may come from different threads.

    Args:
        table: class table of the labels.
        has_labels: whether the frames have true labels.
        alpha: in use when the drive starts.
    """

    def __init__(self, table: ClassTable, has_labels: bool, alpha: int) -> None:
        self._table = table
        self._has_labels = has_labels
        self._matrix = self._new_matrix()
        self._by_alpha = CountsByAlpha(alpha, self._new_matrix)
        self._lock = threading.Lock()
        self._waiting: Dict[int, _Waiting] = {}
        self._sent = 0
        self._first_sent = 0.0
        self._answers: List[Answer] = []
        self._samples: List[Sample] = []
        self._sample_every = 1

    @property
    def sent(self) -> int:
        """Number of frames sent so far."""
        return self._sent

    @property
    def answered(self) -> int:
        """Number of frames answered so far."""
        return len(self._answers)

    def record_sent(self, frame: Frame, stamp_ns: int, now: float) -> None:
        """Record that a frame is sent.

        Args:
            frame: the frame.
            stamp_ns: stamp of its message, which its answer repeats.
            now: monotonic time, in seconds.

        Raises:
            DatasetError: its true labels have an id outside the class table.
        """
        if frame.labels is not None:
            check_label_ids(frame.labels, self._table, frame.name)
        with self._lock:
            if not self._sent:
                self._first_sent = now
            self._sent += 1
            counts = self._by_alpha.current
            counts.sent += 1
            self._waiting[stamp_ns] = _Waiting(frame, now, counts)

    def record_answer(self, stamp_ns: int, labels: np.ndarray, now: float) -> None:
        """Record an answer. Answers to frames that were never sent, or were answered already, are ignored."""
        with self._lock:
            waiting = self._waiting.pop(stamp_ns, None)
            if waiting is None:
                return
            # Answers come in the order of the frames: older frames without an answer were dropped.
            self._waiting = {stamp: entry for stamp, entry in self._waiting.items() if stamp > stamp_ns}
            answer = Answer(waiting.sent - self._first_sent, now - waiting.sent)
            self._answers.append(answer)
            waiting.counts.latencies.append(answer.latency)
            index = len(self._answers) - 1
        truth = waiting.frame.labels
        for matrix in (self._matrix, waiting.counts.matrix):
            if matrix is not None and truth is not None:
                matrix.add(labels, truth)
        if index % self._sample_every == 0:
            self._keep_sample(waiting.frame, labels, answer.latency)

    def begin_switch(self, alpha: int, now: float) -> None:
        """Start a switch; call before the node is asked. Until ``end_switch``, either engine may answer.

        Args:
            alpha: the requested one.
            now: monotonic time, in seconds.
        """
        with self._lock:
            self._by_alpha.begin_switch(alpha, now)
            counts = self._by_alpha.current
            # The new engine may answer these as well.
            for stamp, waiting in self._waiting.items():
                waiting.counts.sent -= 1
                counts.sent += 1
                self._waiting[stamp] = waiting._replace(counts=counts)

    def end_switch(self, now: float, failure: str = "") -> None:
        """End the switch: the requested alpha answers all frames sent from now on.

        Args:
            now: monotonic time, in seconds.
            failure: why the previous alpha stays in use instead; "" if it does not.
        """
        with self._lock:
            self._by_alpha.end_switch(now, failure)

    def record_engine_time(self, alpha: int, seconds: float) -> None:
        """Record the median of the engine's own time in seconds, over answers of this alpha alone."""
        with self._lock:
            self._by_alpha.record_engine_time(alpha, seconds)

    def recent_latency(self) -> Optional[float]:
        """Return the median latency of the last answers in seconds; None without answers."""
        recent = [answer.latency for answer in self._answers[-_RECENT:]]
        return float(np.median(recent)) if recent else None

    def recent_rate(self) -> float:
        """Return the rate of the last answers in Hz; 0 with fewer than two."""
        return _rate(self._answers[-_RECENT:])

    def report(self) -> DriveReport:
        """Return the results so far."""
        matrix = self._matrix
        mean = matrix.mean_iou() if matrix is not None else float("nan")
        return DriveReport(
            sent=self._sent,
            answered=len(self._answers),
            frame_rate=_rate(self._answers),
            answers=list(self._answers),
            class_iou=class_iou_by_name(matrix, self._table) if matrix is not None else {},
            mean_iou=None if np.isnan(mean) else mean,
            samples=list(self._samples),
            alphas=self._by_alpha.alphas(),
            switches=self._by_alpha.switches(self._first_sent),
        )

    def _new_matrix(self) -> Optional[ConfusionMatrix]:
        return confusion_matrix_for(self._table) if self._has_labels else None

    def _keep_sample(self, frame: Frame, labels: np.ndarray, latency: float) -> None:
        """Keep every n-th answer; if there are too many, drop every second one and double n."""
        if len(self._samples) == _SAMPLES_AT_MOST:
            self._samples = self._samples[::2]
            self._sample_every *= 2
        self._samples.append(_make_sample(frame, labels, latency, self._table))


def _make_sample(frame: Frame, labels: np.ndarray, latency: float, table: ClassTable) -> Sample:
    image = _shrink(frame.image, cv2.INTER_AREA)
    small = _shrink(labels, cv2.INTER_NEAREST)
    truth = None if frame.labels is None else table.palette[_shrink(frame.labels, cv2.INTER_NEAREST)]
    return Sample(
        name=frame.name,
        latency=latency,
        image=np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)),
        overlay=blend_overlay(ColorImage(image, "bgr"), small, table, 0.5),
        labels=table.palette[small],
        truth=truth,
    )


def _shrink(pixels: np.ndarray, interpolation: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    if width <= _SAMPLE_WIDTH:
        return pixels
    size = (_SAMPLE_WIDTH, max(1, round(height * _SAMPLE_WIDTH / width)))
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation))


def _rate(answers: List[Answer]) -> float:
    if len(answers) < 2:
        return 0.0
    arrivals = [answer.sent + answer.latency for answer in answers]
    return (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
