"""Camera poses from tf. No package registry has tf2_ros, so its Buffer has a stand-in with the same interface."""

import math
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from rclpy.duration import Duration
from rclpy.time import Time
from std_msgs.msg import Header

from espnet_ros.config import NodeConfig
from espnet_ros.errors import PoseError
from espnet_ros.ros.poses import TfPoses, make_pose_source


class TransformException(Exception):  # noqa: N818 - tf2's own name
    pass


class Buffer:
    """Answers lookup_transform as tf2_ros.Buffer does, from a table of (target, source) to position and yaw."""

    def __init__(self, transforms):
        self.transforms = transforms
        self.asked = []

    def lookup_transform(self, target_frame, source_frame, time, timeout):
        assert isinstance(time, Time)
        assert isinstance(timeout, Duration)
        self.asked.append((target_frame, source_frame, time.nanoseconds, timeout.nanoseconds))
        if (target_frame, source_frame) not in self.transforms:
            raise TransformException(f'"{source_frame}" passed to lookupTransform does not exist.')
        (x, y, z), yaw = self.transforms[target_frame, source_frame]
        return SimpleNamespace(
            transform=SimpleNamespace(
                translation=SimpleNamespace(x=x, y=y, z=z),
                rotation=SimpleNamespace(x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2)),
            )
        )


def _header():
    header = Header(frame_id="camera_optical_frame")
    header.stamp.sec, header.stamp.nanosec = 12, 34
    return header


def test_the_poses_are_those_of_the_images_frame_at_its_stamp():
    buffer = Buffer(
        {
            ("base_link", "camera_optical_frame"): ((0.2, 0.0, 1.2), 0.0),
            ("odom", "base_link"): ((5.0, 1.0, 0.0), math.pi / 2),
        }
    )
    pose = TfPoses(buffer, TransformException, NodeConfig(ground_height=-0.1, pose_tolerance=0.25)).at(_header())
    assert pose.base_from_camera[:3, 3] == pytest.approx([0.2, 0.0, 1.3])  # above the ground, which is 0.1 m below base
    assert pose.odom_from_base @ [1, 0, 0, 1] == pytest.approx([5.0, 2.0, 0.0, 1.0])
    assert {(stamp, wait) for _, _, stamp, wait in buffer.asked} == {(12_000_000_034, 250_000_000)}


def test_a_missing_or_late_transform_names_both_frames():
    poses = TfPoses(Buffer({}), TransformException, NodeConfig())
    with pytest.raises(PoseError, match="no transform from 'camera_optical_frame' to 'base_link' at the image's stamp"):
        poses.at(_header())


def test_tf_without_tf2_ros_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PoseError, match="pose_source 'tf' needs the Python package tf2_ros"):
        make_pose_source(None, NodeConfig(pose_source="tf"))
