"""One point of a power sweep: a network that runs in one mode for some seconds, and what the device drew meanwhile."""

from __future__ import annotations

import math
import statistics
import threading
import time
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from espnet_ros.segmenter import Segmenter
from espnet_ros.telemetry.frame_statistics import FrameStatistics, FrameSummary
from espnet_ros.telemetry.sampler import PowerReading, TelemetrySampler

_POLLS_A_READING = 3


@dataclass(frozen=True)
class Draw:
    """What the device drew over a span of time. What is not known is NaN, "" or None.

    Attributes:
        watts, watts_gpu, watts_cpu: means; see ``PowerReading`` for what they cover.
        covers: what ``watts`` is the power of.
        joules_per_frame: of all that was measured, the idle device included.
        temperature: the hottest that any sensor got, in degrees Celsius.
        throttled: heat or over-current held the clocks down at some time.
    """

    watts: float = math.nan
    watts_gpu: float = math.nan
    watts_cpu: float = math.nan
    covers: str = ""
    joules_per_frame: float = math.nan
    temperature: float = math.nan
    throttled: Optional[bool] = None


@dataclass(frozen=True)
class Run:
    """How a network ran.

    Attributes:
        frames: number of frames that were labelled.
        frames_per_second: that many over the time.
        median_seconds, p95_seconds: of one frame, resizing and copying included.
        busy: share of the time in which a frame was being labelled.
        draw: what the device drew.
    """

    frames: int
    frames_per_second: float
    median_seconds: float
    p95_seconds: float
    busy: float
    draw: Draw


class ReadingLog:
    """Keeps the readings of the sampler inside a ``with`` block, however long a frame takes.

    Args:
        sampler: where they come from.
        period: seconds between two readings of it.

    Attributes:
        readings: those measured inside the block, in order.
    """

    def __init__(self, sampler: TelemetrySampler, period: float) -> None:
        self.readings: List[PowerReading] = []
        self._sampler = sampler
        self._pause = period / _POLLS_A_READING
        self._start = math.inf
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="power log", daemon=True)

    def __enter__(self) -> ReadingLog:
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._closing.set()
        self._thread.join()
        self._take()

    def _run(self) -> None:
        while not self._closing.wait(self._pause):
            self._take()

    def _take(self) -> None:
        reading = self._sampler.latest().reading
        newest = self.readings[-1].stamp if self.readings else -math.inf
        if reading is not None and reading.stamp >= self._start and reading.stamp > newest:
            self.readings.append(reading)


def measure_rest(sampler: TelemetrySampler, period: float, seconds: float) -> Draw:
    """What the device draws while this program does nothing."""
    start = time.monotonic()
    with ReadingLog(sampler, period) as log:
        time.sleep(seconds)
    return summarize_draw(log.readings, [], start, time.monotonic())


def measure_run(
    segmenter: Segmenter,
    images: Sequence[np.ndarray],
    seconds: float,
    rate: float,
    sampler: TelemetrySampler,
    period: float,
) -> Run:
    """Label images for some seconds, one after the other.

    Args:
        segmenter: warm.
        images: in turn.
        seconds: how long; at least one frame is labelled.
        rate: frames a second at most; 0: as many as it can.
        sampler: tells the watts.
        period: seconds between two of its readings.
    """
    with ReadingLog(sampler, period) as log:
        start = time.monotonic()
        frames = run_frames(segmenter, images, seconds, rate)
        end = time.monotonic()
    durations = [duration for _, duration in frames]
    return Run(
        frames=len(frames),
        frames_per_second=len(frames) / (end - start),
        median_seconds=statistics.median(durations),
        p95_seconds=float(np.percentile(durations, 95)),
        busy=min(1.0, sum(durations) / (end - start)),
        draw=summarize_draw(log.readings, frames, start, end),
    )


def run_frames(
    segmenter: Segmenter, images: Sequence[np.ndarray], seconds: float, rate: float = 0.0
) -> List[Tuple[float, float]]:
    """Label images for some seconds; returns when each was answered, by ``time.monotonic``, and the seconds it took."""
    frames: List[Tuple[float, float]] = []
    period = 1 / rate if rate else 0.0
    now = time.monotonic()
    due, end = now, now + seconds
    while now < end or not frames:
        if now < due:
            time.sleep(min(due, end) - now)
        else:
            # Late by more than a frame: as with a camera, what was missed is not caught up.
            due = max(due, now - period) + period
            segmenter.segment(images[len(frames) % len(images)])
            answered = time.monotonic()
            frames.append((answered, answered - now))
        now = time.monotonic()
    return frames


def summarize_draw(
    readings: Sequence[PowerReading], frames: Sequence[Tuple[float, float]], start: float, end: float
) -> Draw:
    """What the device drew, by the trapezoid rule between readings.

    Args:
        readings: in order.
        frames: when each was answered, and the seconds it took.
        start: of the span, in seconds of ``time.monotonic``; readings outside it do not count.
        end: of the span.
    """
    inside = [reading for reading in readings if start <= reading.stamp <= end]
    covers = {reading.covers for reading in inside if not math.isnan(reading.watts_total)}
    total = _summary([(each.stamp, each.watts_total) for each in inside], frames, start, end)
    gpu = _summary([(each.stamp, each.watts_gpu) for each in inside], frames, start, end)
    cpu = _summary([(each.stamp, each.watts_cpu) for each in inside], frames, start, end)
    states = {reading.throttled for reading in inside}
    # Another source took over in the middle: watts of two things have no mean.
    is_one_source = len(covers) == 1
    return Draw(
        watts=total.watts if is_one_source else math.nan,
        watts_gpu=gpu.watts if len(covers) < 2 else math.nan,
        watts_cpu=cpu.watts if len(covers) < 2 else math.nan,
        covers=covers.pop() if is_one_source else "",
        joules_per_frame=total.joules_per_frame if is_one_source else math.nan,
        temperature=max((each.temperature for each in inside if each.temperatures), default=math.nan),
        throttled=True if True in states else False if False in states else None,
    )


def _summary(
    readings: Sequence[Tuple[float, float]], frames: Sequence[Tuple[float, float]], start: float, end: float
) -> FrameSummary:
    statistics_of_run = FrameStatistics(start, window=math.inf)
    for stamp, watts in readings:
        statistics_of_run.add_reading(stamp, watts)
    for stamp, duration in frames:
        statistics_of_run.add_frame(stamp, duration)
    return statistics_of_run.summary(end)
