"""What happens to an image that waits for its transform while the costmap is cleared, closed or jumps in time."""

import importlib.machinery
import sys
import threading
import types

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from geometry_msgs.msg import TransformStamped
from rclpy.time import Time
from scene import mount
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from waiting import wait_until

from espnet_ros.classes import load_class_table
from espnet_ros.config import NodeConfig
from espnet_ros.costmap.pose import quaternion_of
from espnet_ros.ros.costmap_output import CostmapOutput
from espnet_ros.types import Segmentation, StageTimes

TABLE = load_class_table("cityscapes")
LABELS = np.zeros((60, 80), np.uint8)  # road


class Publisher:
    def __init__(self, topic_name):
        self.topic_name = topic_name
        self.messages = []

    def publish(self, message):
        self.messages.append(message)

    def get_subscription_count(self):
        return 1

    def wait_for_all_acked(self, timeout):
        return True


class Node:
    """What the costmap uses of a node, without DDS."""

    def __init__(self):
        self.callbacks, self.publishers, self.warnings = {}, {}, []
        self.context = types.SimpleNamespace(ok=lambda: True)

    def create_subscription(self, kind, topic, callback, qos):
        self.callbacks[topic] = callback

    def create_publisher(self, kind, topic, qos):
        self.publishers[topic] = Publisher(topic)
        return self.publishers[topic]

    def destroy_subscription(self, subscription):
        pass

    def destroy_publisher(self, publisher):
        pass

    def get_clock(self):
        return self

    def create_jump_callback(self, threshold, pre_callback):
        self.callbacks["clock jump"] = pre_callback
        return types.SimpleNamespace(unregister=lambda: None)

    def now(self):
        return Time(seconds=1)

    def get_logger(self):
        return types.SimpleNamespace(warning=self.warnings.append)


class Buffer:
    """A tf2_ros.Buffer whose lookups wait until the test answers them."""

    newest = None

    def __init__(self):
        Buffer.newest = self
        self.is_asked, self.may_answer = threading.Event(), threading.Event()
        self.error = None
        self.answered_by_test = None

    def lookup_transform(self, target_frame, source_frame, time, timeout):
        self.is_asked.set()
        self.answered_by_test = self.may_answer.wait(5.0)
        if self.error:
            raise self.error
        found = TransformStamped()
        pose = mount(1.4, 10.0) if target_frame == "base_link" else np.eye(4)
        place, turn = found.transform.translation, found.transform.rotation
        place.x, place.y, place.z = pose[:3, 3].tolist()
        turn.x, turn.y, turn.z, turn.w = quaternion_of(pose[:3, :3])
        return found

    def clear(self):
        pass


class Case:
    def __init__(self, monkeypatch, **parameters):
        module = types.ModuleType("tf2_ros")
        module.__spec__ = importlib.machinery.ModuleSpec("tf2_ros", None)
        module.Buffer, module.TransformException = Buffer, KeyError
        module.TransformListener = lambda buffer, node: types.SimpleNamespace(unregister=lambda: None)
        monkeypatch.setitem(sys.modules, "tf2_ros", module)
        self.node = Node()
        config = NodeConfig(**{"pose_source": "tf", "costmap_timeout": 0.1, "costmap_max_rate": 0.0, **parameters})
        self.output = CostmapOutput(self.node, config, TABLE, "/image")
        self.buffer = Buffer.newest
        calibration = CameraInfo(height=60, width=80, distortion_model="plumb_bob")
        calibration.k = [50.0, 0.0, 39.5, 0.0, 50.0, 29.5, 0.0, 0.0, 1.0]
        self.node.callbacks["camera_info"](calibration)

    def see(self, seconds):
        segmentation = Segmentation(LABELS, None, StageTimes(0.0, 0.0, 0.0), TABLE, 0)
        self.output.update(Header(frame_id="camera", stamp=Time(seconds=seconds).to_msg()), segmentation)

    def stamps(self):
        return [message.header.stamp.sec for message in self.node.publishers["~/costmap"].messages]

    def finish(self):
        """Let the image that waits go on, and wait until the next one is in the map."""
        self.buffer.may_answer.set()
        self.see(200)
        wait_until(lambda: self.stamps()[-1:] == [200], "the next image")


@pytest.fixture
def case(monkeypatch):
    case = Case(monkeypatch)
    yield case
    case.buffer.may_answer.set()
    case.output.close()


def _wait_for_transform(case):
    case.see(100)
    assert case.buffer.is_asked.wait(10.0)


def test_an_image_that_waits_for_its_transform_is_added(case):
    _wait_for_transform(case)
    case.finish()
    assert case.stamps() == [100, 200]


def test_closing_does_not_wait_for_a_transform(case):
    _wait_for_transform(case)
    case.output.close()
    assert case.buffer.answered_by_test is None, "the image still waits"
    case.buffer.may_answer.set()
    wait_until(lambda: all(thread.name != "costmap" for thread in threading.enumerate()), "the image's thread ends")
    assert case.stamps() == []


@pytest.mark.parametrize(
    "forget",
    [
        lambda case: case.output.clear("as the node was deactivated"),
        lambda case: case.node.callbacks["clock jump"](),
    ],
    ids=["deactivated", "clock jump"],
)
def test_an_image_from_before_is_not_added(case, forget):
    _wait_for_transform(case)
    forget(case)
    case.finish()
    assert case.stamps() == [200]


def test_grids_keep_to_their_rate_but_every_image_counts(monkeypatch):
    case = Case(monkeypatch, costmap_max_rate=0.01)
    case.buffer.may_answer.set()
    for number in (1, 2, 3):
        case.see(number)
        wait_until(lambda: case.output.health().updates == number, "the image is added")  # noqa: B023
    together = case.node.publishers["~/costmap_layers"].messages
    assert case.stamps() == [1]
    assert len(case.node.publishers["~/costmap/road"].messages) == 1
    assert [message.header.stamp.sec for message in together] == [1, 2, 3]
    assert case.output.clear("as the test says")
    assert len(case.stamps()) == 2, "a cleared grid does not wait for its turn"
    case.output.close()


def test_any_error_of_tf_is_told_and_the_next_image_is_added(case):
    case.buffer.error = RuntimeError("tf2 is broken")
    case.buffer.may_answer.set()
    case.see(100)
    wait_until(lambda: "tf2 is broken" in case.output.health().problem, "the error is told")
    case.buffer.error = None
    case.finish()
    assert case.stamps() == [200]
    assert case.output.health().problem == ""
    assert sum("tf2 is broken" in warning for warning in case.node.warnings) == 1
