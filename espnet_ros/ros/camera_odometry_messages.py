"""Camera calibration and odometry as ROS messages; the inverse of what the node reads."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from espnet_ros.config import default_of
from espnet_ros.costmap.camera import CameraModel, camera_info_fields
from espnet_ros.costmap.pose import quaternion_of


def camera_to_msg(header: Header, camera: CameraModel) -> CameraInfo:
    """Return the calibration of an image that is not cropped, binned or rectified."""
    return CameraInfo(header=header, **camera_info_fields(camera))


def odometry_to_msg(stamp: Time, odom_from_base: np.ndarray) -> Odometry:
    """Return the pose of the base in the frames that the node uses by default. The twist stays zero.

    Args:
        stamp: time of the pose.
        odom_from_base: (4, 4) pose of the base in the odometry frame.
    """
    message = Odometry(header=Header(stamp=stamp, frame_id=str(default_of("costmap_frame"))))
    message.child_frame_id = str(default_of("base_frame"))
    pose = message.pose.pose
    pose.position.x, pose.position.y, pose.position.z = odom_from_base[:3, 3].tolist()
    orientation = pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = quaternion_of(odom_from_base[:3, :3])
    return message
