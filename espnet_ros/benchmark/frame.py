"""Where the time of a frame goes in the node: from a camera message to published labels, step by step."""

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
"""In order: pixels of the camera message; the network's size, type and channel order; the engine; labels at the
camera's size; the message with them; handing it to the middleware, which has a reader in another process."""


class NodeSteps(NamedTuple):
    """What the node does around the segmenter.

    Attributes:
        convert: a camera message to its pixels.
        build: a header and (H, W) uint8 labels to a message.
        publish: sends it; None where rclpy is not installed.
    """

    convert: Callable[[Any], ColorImage]
    build: Callable[[Any, np.ndarray], Any]
    publish: Optional[Callable[[Any], None]]


@dataclass(frozen=True)
class FrameTiming:
    """Frames of one camera.

    Attributes:
        camera: size of its images.
        stages: by name, those of ``STAGES`` that ran.
    """

    camera: ImageSize
    stages: Dict[str, Timing]

    @property
    def total(self) -> float:
        """Median of whole frames, in seconds."""
        return statistics.median(map(sum, zip(*(timing.seconds for timing in self.stages.values()))))

    def share(self, stage: str) -> float:
        """Median of a stage divided by that of whole frames, 0..1."""
        return self.stages[stage].median / self.total


def measure_frames(
    segmenter: Segmenter,
    messages: Mapping[ImageSize, Sequence[Any]],
    steps: NodeSteps,
    rounds: int,
    on_round: Callable[[], Any] = lambda: None,
) -> List[FrameTiming]:
    """Answer camera messages as the node does, one of each camera a round, after one round that does not count.

    Args:
        segmenter: labels the images.
        messages: of each camera, by the size of its images; one a round, in turn.
        steps: what the node does around the segmenter.
        rounds: counted frames of each camera.
        on_round: called after each round.
    """
    seconds: Dict[ImageSize, List[Tuple[float, ...]]] = {camera: [] for camera in messages}
    for counted in range(rounds + 1):
        for camera, frames in messages.items():
            spent = _answer(segmenter, frames[counted % len(frames)], steps)
            if counted:
                seconds[camera].append(spent)
        on_round()
    return [
        FrameTiming(camera, {stage: Timing(values) for stage, values in zip(STAGES, zip(*spent))})
        for camera, spent in seconds.items()
    ]


def _answer(segmenter: Segmenter, message: Any, steps: NodeSteps) -> Tuple[float, ...]:
    """Seconds of each stage of one frame."""
    start = time.perf_counter()
    image = steps.convert(message)
    converted = time.perf_counter()
    segmentation = segmenter.segment(image.pixels, image.channel_order)
    decoded = time.perf_counter()
    answer = steps.build(message.header, segmentation.labels)
    built = time.perf_counter()
    times = segmentation.times
    spent = (converted - start, times.preprocess, times.infer, times.decode, built - decoded)
    if steps.publish is None:
        return spent
    steps.publish(answer)
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
    """Everything that was measured, for JSON: each frame's seconds by stage, with the machine and its libraries."""
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
