"""The node reads the camera and pose that the player publishes."""

import math

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.pose import pose_matrix
from espnet_ros.ros.camera_calibration import camera_from_msg
from espnet_ros.ros.camera_odometry_messages import camera_to_msg, odometry_to_msg
from espnet_ros.types import ImageSize


@pytest.mark.parametrize(
    "turn",
    [
        (0.0, 0.0, 0.0),
        (0.0, 0.0, math.pi),
        (0.0, 0.0, 1e-6),
        (0.0, 0.0, 1.2),
        (0.0, 0.0, -3.1),
        (0.4, -0.2, 2.0),
        (0.0, 0.0, 1e-9),
    ],
)
def test_poses_survive_the_message(turn):
    pose = np.eye(4)
    pose[:3, :3], _ = cv2.Rodrigues(np.array(turn))
    pose[:3, 3] = 1.5, -2.5, 0.25
    message = odometry_to_msg(Time(sec=3, nanosec=4), pose)
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 4)
    place, rotation = message.pose.pose.position, message.pose.pose.orientation
    read = pose_matrix((place.x, place.y, place.z), (rotation.x, rotation.y, rotation.z, rotation.w))
    assert np.allclose(read, pose, atol=1e-12)


def test_a_quarter_turn_to_the_left_is_this_quaternion():
    pose = np.eye(4)
    pose[:2, :2] = [[0, -1], [1, 0]]
    turn = odometry_to_msg(Time(), pose).pose.pose.orientation
    assert [turn.x, turn.y, turn.z, turn.w] == pytest.approx([0, 0, 0.5**0.5, 0.5**0.5])


@pytest.mark.parametrize(
    ("model", "distortion"), [("plumb_bob", (-0.3, 0.1, 0.001, 0.002, 0.0)), ("equidistant", (0.1, 0.0, 0.0, 0.01))]
)
def test_cameras_survive_the_message(model, distortion):
    camera = CameraModel(ImageSize(48, 64), 50.0, 51.0, 31.0, 24.5, model, distortion)
    assert camera_from_msg(camera_to_msg(Header(frame_id="camera"), camera)) == camera


def test_a_camera_without_distortion_is_told_with_zeros():
    message = camera_to_msg(Header(), CameraModel(ImageSize(48, 64), 50.0, 50.0, 31.5, 23.5))
    assert list(message.d) == [0.0] * 5
    assert list(message.k) == [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]
