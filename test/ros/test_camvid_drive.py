import time
from array import array
from typing import List, NamedTuple

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("openvino", reason="needs OpenVINO, the engine for a CPU")

from robot import to_array
from sensor_msgs.msg import Image

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.evaluation.images import ImageFolder
from espnet_ros.evaluation.metrics import ConfusionMatrix
from espnet_ros.loading import resolve_spec
from espnet_ros.msg import EngineStatus
from espnet_ros.segmenter import Segmenter

RATE_HZ = 15
VOID = 11


def make_message(frame, index):
    height, width, _ = frame.image.shape
    message = Image(height=height, width=width, encoding="bgr8", step=width * 3)
    message.header.frame_id = "camvid_camera"
    message.header.stamp.sec, message.header.stamp.nanosec = 2000 + index, index
    message.data = array("B", frame.image.tobytes())
    return message


def play(camera, messages):
    """Publish at 15 Hz; returns when (monotonic clock) each was published, by index."""
    published = []
    start = time.monotonic()
    for index, message in enumerate(messages):
        time.sleep(max(0.0, start + index / RATE_HZ - time.monotonic()))
        published.append(time.monotonic())
        camera.publish(message)
    return published


class Drive(NamedTuple):
    """One run through the images: answers to it, their latencies in seconds, and the node's status afterwards."""

    answers: List[Image]
    latencies: List[float]
    status: EngineStatus

    @property
    def limit(self):
        """Of the 95th percentile of the latencies: the engine's own time, half as much again and 15 ms."""
        return 1.5 * self.status.inference_time + 0.015

    @property
    def p95(self):
        return float(np.percentile(self.latencies, 95))


def drive_once(robot, labels, messages):
    """Play all images and wait for the answer to the last one, or 3 s."""
    first = len(labels.messages)
    published = play(robot.camera(), messages)
    deadline = time.monotonic() + 3.0
    while labels.messages[-1].header.stamp != messages[-1].header.stamp and time.monotonic() < deadline:
        time.sleep(0.01)
    answers, arrivals = labels.messages[first:], labels.times[first:]
    sent = {message.header.stamp.sec: at for message, at in zip(messages, published)}
    latencies = [arrived - sent[answer.header.stamp.sec] for answer, arrived in zip(answers, arrivals)]
    counted = len(labels.messages)
    return Drive(answers, latencies, robot.wait_for_status(lambda s: s.answered >= counted, "every answer counted"))


def test_a_drive_at_15_hz_is_answered_image_by_image_as_well_and_as_fast_as_the_engine_can(
    start_node, make_robot, camvid_val, published_weights, engine_cache
):
    config = NodeConfig(
        weights="camvid", backend="openvino", weights_dir=str(published_weights), engine_cache=engine_cache
    )
    segmenter = Segmenter(build_engine(resolve_spec(config)))
    names = ("weights", "backend", "weights_dir", "engine_cache")
    parameters = {name: getattr(config, name) for name in names}
    node = start_node({**parameters, "input_height": 0, "input_width": 0})
    robot = make_robot()
    frames = list(ImageFolder(camvid_val / "images", camvid_val / "labels"))
    assert len(frames) == 101
    messages = [make_message(frame, index) for index, frame in enumerate(frames)]
    labels = robot.listen("label_image")
    robot.ask(make_message(frames[0], 999), [labels])
    time.sleep(0.5)  # the warm-up may be answered twice

    # Other programs on the machine can take the processor away: one of three drives has to be undisturbed.
    for _ in range(3):
        drive = drive_once(robot, labels, messages)
        print(f"{len(drive.answers)} answers, latency p95 {drive.p95 * 1e3:.1f} ms, limit {drive.limit * 1e3:.1f} ms")
        if len(drive.answers) == len(messages) and drive.p95 <= drive.limit:
            break

    assert [answer.header for answer in drive.answers] == [message.header for message in messages]
    assert drive.p95 <= drive.limit
    assert not node.has_loaded("libtorch"), "a cached OpenVINO engine needs no torch"
    assert (drive.status.refused, drive.status.failed) == (0, 0)
    assert 0.8 * RATE_HZ < drive.status.frame_rate < 1.2 * RATE_HZ

    by_node, by_segmenter = (ConfusionMatrix(VOID + 1, ignored=[VOID]) for _ in range(2))
    for frame, answer in zip(frames, drive.answers):
        by_node.add(to_array(answer), frame.labels)
        by_segmenter.add(segmenter.segment(frame.image).labels, frame.labels)
    assert by_node.mean_iou() == pytest.approx(by_segmenter.mean_iou(), abs=0.001)
    assert by_node.mean_iou() == pytest.approx(0.6868, abs=0.003)
