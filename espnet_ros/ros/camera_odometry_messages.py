"""A camera and its way as messages; the inverse of what the node reads."""

from __future__ import annotations

import math
from array import array
from typing import Tuple

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from espnet_ros.config import default_of
from espnet_ros.costmap.camera import CameraModel

_NO_DISTORTION = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}


def camera_to_msg(header: Header, camera: CameraModel) -> CameraInfo:
    """Intrinsics of an image that is not cropped, binned or rectified."""
    message = CameraInfo(header=header, height=camera.size.height, width=camera.size.width)
    message.distortion_model = camera.distortion_model
    message.d = array("d", camera.distortion or (0.0,) * _NO_DISTORTION[camera.distortion_model])
    message.k = camera.matrix.reshape(-1)
    message.r = np.eye(3).reshape(-1)
    message.p = np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1)
    return message


def odometry_to_msg(stamp: Time, odom_from_base: np.ndarray) -> Odometry:
    """Where the base is, in the frames that the node expects by default; its speed is not told.

    Args:
        stamp: when.
        odom_from_base: (4, 4) pose.
    """
    message = Odometry(header=Header(stamp=stamp, frame_id=str(default_of("costmap_frame"))))
    message.child_frame_id = str(default_of("base_frame"))
    pose = message.pose.pose
    pose.position.x, pose.position.y, pose.position.z = (float(value) for value in odom_from_base[:3, 3])
    turn = pose.orientation
    turn.x, turn.y, turn.z, turn.w = _quaternion(odom_from_base[:3, :3])
    return message


def _quaternion(rotation: np.ndarray) -> Tuple[float, float, float, float]:
    """(x, y, z, w) of a (3, 3) rotation, w not negative."""
    turn = cv2.Rodrigues(rotation)[0].ravel()
    angle = float(np.linalg.norm(turn))
    # sin(angle / 2) / angle, also where the angle is 0; numpy's sinc has pi in it
    x, y, z = (turn * 0.5 * np.sinc(angle / (2 * math.pi))).tolist()
    return x, y, z, math.cos(angle / 2)
