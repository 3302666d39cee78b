"""The node with poses from tf, over DDS, while time starts again. tf2's buffer is the stand-in of tf2_buffer.py."""

import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from geometry_msgs.msg import TransformStamped
from robot import LATCHED
from scene import mount
from vehicle import KEEPING, MINUTE, Drive, Vehicle, has_car
from waiting import wait_until

from espnet_ros.costmap.pose import quaternion_of

HERE = Path(__file__).parent


def _transform(parent, child, stamp, translation, rotation):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = stamp // 10**9, stamp % 10**9
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = map(float, translation)
    turn.x, turn.y, turn.z, turn.w = map(float, rotation)
    return message


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


@pytest.fixture(params=["humble", "jazzy"])
def namespace(request):
    return request.param


@pytest.fixture
def node(namespace, start_node):
    paths = [str(HERE / "tf2_path"), str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {"TF_DISTRO": namespace, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    parameters = {**KEEPING, "pose_source": "tf", "pose_tolerance": 10.0}
    node = start_node(parameters, namespace=namespace, environment=environment)
    yield node
    node.end()


@pytest.fixture
def drive(namespace, node, make_robot):
    robot = make_robot(namespace)
    wait_until(lambda: robot.state() == "active", "the node is active")
    return Drive(TfVehicle(robot))


def test_after_a_loop_transforms_are_found_again_and_no_label_waits_for_one(drive, node):
    drive.pass_a_car()
    for step in (33, -5, 38):
        drive.see(step, boxes=[])
    assert drive.jumps() == (0, "none")

    drive.see(-10 * MINUTE, boxes=[])
    assert not has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
    drive.pass_a_car()
    assert drive.jumps() == (1, "transforms of 'base_link': time went back by 600.0 s")
    assert f"costmap: cleared after a jump: {drive.jumps()[1]}" in node.log

    for _ in range(3):
        stamp = drive.see(boxes=[], with_odometry=False)
        wait_until(lambda stamp=stamp: drive.vehicle.labels.last.header.stamp == stamp, "its labels")
    assert "no transform from" not in node.log  # the first of these images still waits for its transform
    drive.vehicle.send_odometry(drive.now * 1_000_000)
    assert has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
