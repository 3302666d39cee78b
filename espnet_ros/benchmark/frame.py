"""Time each step of a frame in the node, from the camera message to published labels."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ros.benchmark.interleaved import Timing
from espnet_ros.image_encoding import ColorImage
from espnet_ros.reporting.machine import describe_environment
from espnet_ros.reporting.tables import markdown_table
from espnet_ros.segmenter import Segmenter, engine_summary
from espnet_ros.types import ImageSize

STAGES = ("convert", "resize", "infer", "decode", "message", "publish")
"""In order: extract the pixels of the camera message; convert to the network's size, type and channel order; run the
engine; resize the labels to the camera's size; build the label message; hand it to the middleware, with a subscriber in
another process."""


class NodeSteps(NamedTuple):
    """Steps of the node around the segmenter.

    Attributes:
        convert: extracts the pixels of a camera message.
        build: builds a message from a header and (H, W) uint8 labels.
        publish: publishes it; None if rclpy is not installed.
    """

    convert: Callable[[Any], ColorImage]
    build: Callable[[Any, np.ndarray], Any]
    publish: Optional[Callable[[Any], None]]


@dataclass(frozen=True)
class FrameTiming:
    """Times of the frames of one camera.

    Attributes:
        camera: size of its images.
        stages: timing by name, for the ``STAGES`` that ran.
    """

    camera: ImageSize
    stages: Dict[str, Timing]

    @property
    def total(self) -> float:
        """Median time of a whole frame, in seconds."""
        return statistics.median(map(sum, zip(*(timing.seconds for timing in self.stages.values()))))

    def share(self, stage: str) -> float:
        """Return the median of a stage divided by that of a whole frame, 0..1."""
        return self.stages[stage].median / self.total


def measure_frames(
    segmenter: Segmenter,
    messages: Mapping[ImageSize, Sequence[Any]],
    steps: NodeSteps,
    rounds: int,
    on_round: Callable[[], Any] = lambda: None,
) -> List[FrameTiming]:
    """Process camera messages as the node does, one per camera and round. The first round does not count.

    Args:
        segmenter: labels the images.
        messages: by the size of the camera's images; one per round, cycled.
        steps: of the node around the segmenter.
        rounds: counted frames of each camera.
        on_round: called after each round.
    """
    seconds: Dict[ImageSize, List[Tuple[float, ...]]] = {camera: [] for camera in messages}
    for counted in range(rounds + 1):
        for camera, frames in messages.items():
            spent = _process(segmenter, frames[counted % len(frames)], steps)
            if counted:
                seconds[camera].append(spent)
        on_round()
    return [
        FrameTiming(camera, {stage: Timing(values) for stage, values in zip(STAGES, zip(*spent))})
        for camera, spent in seconds.items()
    ]


def _process(segmenter: Segmenter, message: Any, steps: NodeSteps) -> Tuple[float, ...]:
    """Process one frame; return the seconds of each stage."""
    start = time.perf_counter()
    image = steps.convert(message)
    converted = time.perf_counter()
    segmentation = segmenter.segment(image.pixels, image.channel_order)
    decoded = time.perf_counter()
    labels = steps.build(message.header, segmentation.labels)
    built = time.perf_counter()
    times = segmentation.times
    spent = (converted - start, times.preprocess, times.infer, times.decode, built - decoded)
    if steps.publish is None:
        return spent
    steps.publish(labels)
    return (*spent, time.perf_counter() - built)


def format_frames(timings: Sequence[FrameTiming]) -> str:
    """Return a Markdown table: for each camera, the median milliseconds of each stage and its share of the frame."""
    stages = [stage for stage in STAGES if stage in timings[0].stages]
    rows = [
        [
            str(timing.camera),
            *(f"{timing.stages[stage].median * 1e3:.2f} ({timing.share(stage):.0%})" for stage in stages),
            f"{timing.total * 1e3:.2f}",
        ]
        for timing in timings
    ]
    return "\n".join(markdown_table(["camera", *stages, "whole frame"], rows, "l" + "r" * (len(stages) + 1)))


def frames_as_document(timings: Sequence[FrameTiming], segmenter: Segmenter, encoding: str) -> Dict[str, Any]:
    """Return all measurements for JSON: the seconds of each frame by stage, the machine and its libraries."""
    return {
        **describe_environment(),
        "engine": engine_summary(segmenter.engine),
        "encoding": encoding,
        "cameras": [
            {
                "height": timing.camera.height,
                "width": timing.camera.width,
                "median_seconds": timing.total,
                "stages": {
                    stage: {
                        "median_seconds": value.median,
                        "share": timing.share(stage),
                        "seconds": list(value.seconds),
                    }
                    for stage, value in timing.stages.items()
                },
            }
            for timing in timings
        ],
    }
