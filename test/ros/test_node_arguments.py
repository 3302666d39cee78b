"""What the node says about its command line."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from robot import NodeProcess


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--alpha", "3"], "unknown argument '--alpha': the node takes ROS arguments only"),
        (["--ros-args", "--", "--help"], "unknown argument '--help': the node takes ROS arguments only"),
        (["--ros-args", "--parameter", "alpha:=3"], "--parameter"),
        (["--ros-args", "--params-file", "/nope.yaml"], "/nope.yaml"),
    ],
)
def test_wrong_arguments_end_the_node_with_one_line(tmp_path, arguments, reason):
    node = NodeProcess(tmp_path / "log.txt", {}, program=("-m", "espnet_ros.ros.node", *arguments))
    assert node.wait() == 1
    assert reason in node.log.strip().splitlines()[-1]
    assert "Traceback" not in node.log


def test_a_start_that_asks_for_calibration_images_that_do_not_exist_says_so(start_node, make_robot):
    node = start_node({"calibration": "/nope", "autostart": False}, "calibrated")
    robot = make_robot("calibrated")
    assert not robot.change_state("configure")
    assert "calibration '/nope': there is no such folder or bag" in node.log
    assert robot.set(calibration="") == ""
    assert robot.set(calibration="/nope") == "calibration '/nope': there is no such folder or bag"
    assert robot.change_state("configure")
    assert "ros2 lifecycle set /calibrated/espnet configure" in node.log
    assert robot.change_state("activate")
    assert "active: subscribed to /calibrated/image; for costmaps, to /calibrated/camera_info" in node.log
