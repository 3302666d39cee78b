import time
from array import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("openvino", reason="needs OpenVINO, the engine for a CPU")

from robot import to_array, wait_until
from sensor_msgs.msg import Image

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.resolve import resolve_spec
from espnet_ros.evaluation.images import ImageFolder
from espnet_ros.evaluation.metrics import ConfusionMatrix
from espnet_ros.segmenter import Segmenter

pytestmark = pytest.mark.ros

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
    warm_up = make_message(frames[0], 999)
    robot.ask(warm_up, [labels])

    published = play(robot.camera(), messages)
    wait_until(lambda: labels.messages[-1].header.stamp.sec == 2000 + 100, "an answer to the last image")
    status = robot.wait_for_status(lambda s: s.answered >= 102, "every answer counted")
    # The warm-up may have been answered twice.
    answered = [(m, t) for m, t in zip(labels.messages, labels.times) if m.header.stamp != warm_up.header.stamp]
    answers, arrivals = zip(*answered)

    assert [answer.header for answer in answers] == [message.header for message in messages]
    assert not node.has_loaded("libtorch"), "a cached OpenVINO engine needs no torch"

    by_node, by_segmenter = (ConfusionMatrix(VOID + 1, ignored=[VOID]) for _ in range(2))
    for frame, answer in zip(frames, answers):
        by_node.add(to_array(answer), frame.labels)
        by_segmenter.add(segmenter.segment(frame.image).labels, frame.labels)
    assert by_node.mean_iou() == pytest.approx(by_segmenter.mean_iou(), abs=0.001)
    assert by_node.mean_iou() == pytest.approx(0.6868, abs=0.003)

    assert (status.refused, status.failed) == (0, 0)
    assert 0.8 * RATE_HZ < status.frame_rate < 1.2 * RATE_HZ
    latencies = [arrived - sent for arrived, sent in zip(arrivals, published)]
    limit = 1.5 * status.inference_time + 0.015
    p95 = float(np.percentile(latencies, 95))
    print(
        f"latency p50 {np.median(latencies) * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms, limit {limit * 1e3:.1f} ms, "
        f"engine {status.inference_time * 1e3:.1f} ms, node's own p95 {status.latency_p95 * 1e3:.1f} ms"
    )
    assert p95 <= limit
