"""``~/label_info``, with a stand-in for vision_msgs, which not every machine has."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
from espnet_ros.ros.health_publisher import HealthPublisher


class Publisher:
    """Records what is published."""

    def __init__(self):
        self.messages = []

    def publish(self, message):
        self.messages.append(message)


class StandInNode:
    """As much of a node as a publisher of its health uses."""

    def __init__(self):
        self.publishers = {}

    def create_publisher(self, _message_type, topic, _qos):
        return self.publishers.setdefault(topic, Publisher())

    def get_clock(self):
        return rclpy.clock.Clock()

    def get_logger(self):
        return SimpleNamespace(info=lambda text: None)


def test_the_threshold_follows_min_confidence(monkeypatch):
    messages = ModuleType("vision_msgs.msg")
    messages.LabelInfo, messages.VisionClass = SimpleNamespace, SimpleNamespace
    monkeypatch.setitem(sys.modules, "vision_msgs", ModuleType("vision_msgs"))
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", messages)
    node = StandInNode()
    health = HealthPublisher(node, lambda: None)
    engine = build_engine(
        resolve_spec(NodeConfig(backend="fake", weights="cityscapes", input_height=64, input_width=96))
    )
    for min_confidence in (0.0, 0.0, 0.6, 0.6, 0.0):
        health.announce_engine(engine, min_confidence)
    sent = node.publishers["~/label_info"].messages
    assert [message.threshold for message in sent] == [0.0, 0.6, 0.0]
    assert [row.class_name for row in sent[-1].class_map[:2]] == ["road", "sidewalk"]
