"""One point of a power sweep: run a network in one mode for some seconds and measure power and temperature."""

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

_POLLS_PER_READING = 3


@dataclass(frozen=True)
class Draw:
    """Power and temperature of the device over a time span. Unknown values are NaN, "" or None.

    Attributes:
        watts, watts_gpu, watts_cpu: means; see ``PowerReading`` for what they cover.
        covers: what ``watts`` is the power of.
        joules_per_frame: energy per frame, including the idle power of the device.
        temperature: highest temperature of any sensor, in degrees Celsius.
        throttled: whether heat or over-current throttled the clocks at any time.
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
    """Speed and power of a network.

    Attributes:
        frames: number of labelled frames.
        frames_per_second: frames divided by the measured time.
        median_seconds, p95_seconds: time of a frame, including resizing and copying.
        busy: share of the time spent on labelling, 0..1.
        draw: power and temperature meanwhile.
    """

    frames: int
    frames_per_second: float
    median_seconds: float
    p95_seconds: float
    busy: float
    draw: Draw


class ReadingLog:
    """Collects the sampler's readings inside a ``with`` block, in its own thread.

    Args:
        sampler: source of the readings.
        period: seconds between two readings.

    Attributes:
        readings: measured inside the block, in order.
    """

    def __init__(self, sampler: TelemetrySampler, period: float) -> None:
        self.readings: List[PowerReading] = []
        self._sampler = sampler
        self._pause = period / _POLLS_PER_READING
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


def measure_idle(sampler: TelemetrySampler, period: float, seconds: float) -> Draw:
    """Measure the power of the device for some seconds while this program does nothing."""
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
    """Label images for some seconds, one after the other, and measure the power meanwhile.

    Args:
        segmenter: already warmed up.
        images: cycled.
        seconds: duration; at least one frame is labelled.
        rate: maximum frames per second; 0 for no limit.
        sampler: source of power readings.
        period: seconds between two readings.
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
    """Label images for some seconds; return the end (``time.monotonic``) and the duration in seconds of each frame."""
    frames: List[Tuple[float, float]] = []
    period = 1 / rate if rate else 0.0
    now = time.monotonic()
    due, end = now, now + seconds
    while now < end or not frames:
        if now < due:
            time.sleep(min(due, end) - now)
        else:
            # As with a camera, missed frames are not made up for.
            due = max(due, now - period) + period
            segmenter.segment(images[len(frames) % len(images)])
            answered = time.monotonic()
            frames.append((answered, answered - now))
        now = time.monotonic()
    return frames


def summarize_draw(
    readings: Sequence[PowerReading], frames: Sequence[Tuple[float, float]], start: float, end: float
) -> Draw:
    """Summarize power readings, integrated by the trapezoidal rule.

    Args:
        readings: in order.
        frames: end and duration of each frame, in seconds.
        start: of the span, in seconds of ``time.monotonic``; readings outside the span are ignored.
        end: of the span.
    """
    inside = [reading for reading in readings if start <= reading.stamp <= end]
    covers = {reading.covers for reading in inside if not math.isnan(reading.watts_total)}
    total = _summary([(each.stamp, each.watts_total) for each in inside], frames, start, end)
    gpu = _summary([(each.stamp, each.watts_gpu) for each in inside], frames, start, end)
    cpu = _summary([(each.stamp, each.watts_cpu) for each in inside], frames, start, end)
    states = {reading.throttled for reading in inside}
    # If another source took over, its watts cover something else and must not be averaged.
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
