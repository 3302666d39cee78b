"""A vehicle that broadcasts transforms, and the environment of a node that has a stand-in for tf2_ros."""

import os
from pathlib import Path

from geometry_msgs.msg import TransformStamped
from robot import LATCHED
from scene import mount
from vehicle import KEEPING, Vehicle

from espnet_ros.costmap.pose import quaternion_of

HERE = Path(__file__).parent
PARAMETERS = {**KEEPING, "pose_source": "tf"}


def tf_environment(distro):
    """The node's environment: its tf2_ros is the stand-in for a distribution's (``tf2_path/tf2_ros.py``)."""
    paths = [str(HERE / "tf2_path"), str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {"TF_DISTRO": distro, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


class TfVehicle(Vehicle):
    """Broadcasts odom to base_link instead of odometry, and the camera's mount once."""

    pose_topic = TransformStamped, "/tf"

    def __init__(self, robot):
        super().__init__(robot)
        self._static = robot.node.create_publisher(TransformStamped, "/tf_static", LATCHED)
        pose = mount(1.4, 10.0)
        self._static.publish(
            _transform("/base_link", "/camera_optical_frame", 1, pose[:3, 3], quaternion_of(pose[:3, :3]))
        )

    def send_odometry(self, stamp):
        self._poses.publish(_transform("/odom", "/base_link", stamp, (self.x, self.y, 0.0), (0, 0, 0, 1)))


def _transform(parent, child, stamp, translation, rotation):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = stamp // 10**9, stamp % 10**9
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = map(float, translation)
    turn.x, turn.y, turn.z, turn.w = map(float, rotation)
    return message
