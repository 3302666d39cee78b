from array import array

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
from espnet_ros.segmenter import Segmenter

VOID = 11


def make_message(frame, index):
    height, width, _ = frame.image.shape
    message = Image(height=height, width=width, encoding="bgr8", step=width * 3)
    message.header.frame_id = "camvid_camera"
    message.header.stamp.sec, message.header.stamp.nanosec = 2000 + index, index
    message.data = array("B", frame.image.tobytes())
    return message


def test_a_drive_is_answered_image_by_image_as_well_as_the_engine_can(
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
    answers = [robot.send(message, labels) for message in messages]

    assert [answer.header for answer in answers] == [message.header for message in messages]
    assert not node.has_loaded("libtorch"), "a cached OpenVINO engine needs no torch"
    status = robot.wait_for_status(lambda s: s.answered >= len(labels.messages), "every answer counted")
    assert (status.refused, status.failed) == (0, 0)

    by_node, by_segmenter = (ConfusionMatrix(VOID + 1, ignored=[VOID]) for _ in range(2))
    for frame, answer in zip(frames, answers):
        by_node.add(to_array(answer), frame.labels)
        by_segmenter.add(segmenter.segment(frame.image).labels, frame.labels)
    assert by_node.mean_iou() == pytest.approx(by_segmenter.mean_iou(), abs=0.001)
    assert by_node.mean_iou() == pytest.approx(0.6868, abs=0.003)
