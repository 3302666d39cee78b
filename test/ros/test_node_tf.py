"""The node with poses from tf, over DDS, while time starts again. tf2's buffer is the stand-in of tf2_buffer.py."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from tf_vehicle import PARAMETERS, TfVehicle, tf_environment
from vehicle import MINUTE, Drive, has_car
from waiting import wait_until


@pytest.fixture(params=["humble", "jazzy"])
def namespace(request):
    return request.param


@pytest.fixture
def node(namespace, start_node):
    node = start_node({**PARAMETERS, "pose_tolerance": 10.0}, namespace, environment=tf_environment(namespace))
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
