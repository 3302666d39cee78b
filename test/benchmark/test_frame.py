import json
import time

import numpy as np
import pytest

from espnet_ros.benchmark.frame import STAGES, NodeSteps, format_frames, frames_as_document, measure_frames
from espnet_ros.engines import EngineSpec
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.image_encoding import ColorImage
from espnet_ros.segmenter import Segmenter
from espnet_ros.types import ImageSize

SMALL, LARGE = ImageSize(48, 64), ImageSize(96, 160)


class _Message:
    def __init__(self, size):
        self.header = f"header of {size}"
        self.pixels = np.zeros((*size, 3), np.uint8)


@pytest.fixture
def segmenter(untrained_checkpoint):
    spec = EngineSpec(untrained_checkpoint, untrained_checkpoint.load_class_table(), SMALL)
    return Segmenter(FakeEngine(spec, latency=0.02))


def _convert(message):
    time.sleep(0.005)
    return ColorImage(message.pixels, "rgb")


def test_each_stage_of_a_frame_has_its_own_time(segmenter):
    published = []
    steps = NodeSteps(_convert, lambda header, labels: (header, labels.shape), published.append)
    small, large = measure_frames(segmenter, {SMALL: [_Message(SMALL)], LARGE: [_Message(LARGE)]}, steps, rounds=3)
    assert published == [(f"header of {size}", tuple(size)) for _ in range(4) for size in (SMALL, LARGE)]
    assert (small.camera, large.camera) == (SMALL, LARGE)
    assert tuple(large.stages) == STAGES
    assert all(len(timing.seconds) == 3 for timing in large.stages.values())
    assert large.stages["convert"].best >= 0.005
    assert large.stages["infer"].best >= 0.02
    assert large.total >= 0.025
    assert large.share("infer") == large.stages["infer"].median / large.total


def test_without_a_publisher_the_frame_ends_with_its_message(segmenter):
    steps = NodeSteps(_convert, lambda _header, labels: labels, None)
    timings = measure_frames(segmenter, {LARGE: [_Message(LARGE)]}, steps, rounds=2)
    assert tuple(timings[0].stages) == STAGES[:-1]
    header, _, row = format_frames(timings).splitlines()
    assert header == "| camera | convert | resize | infer | decode | message | whole frame |"
    assert row.startswith("| 96x160 | ") and row.count("%") == 5
    (camera,) = json.loads(json.dumps(frames_as_document(timings, segmenter, "rgb8")))["cameras"]
    assert (camera["height"], camera["width"]) == (96, 160)
    assert len(camera["stages"]["infer"]["seconds"]) == 2
