"""The node and the camera_info of rectified topics, of bad calibrations, and of lenses that do not fill the image."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import RegionOfInterest
from vehicle import PARAMETERS, Vehicle, calibration, has_car
from waiting import wait_until

DISTORTED = [-0.4, 0.1, 0.0, 0.0, 0.0]
P = [100.0, 0.0, 79.5, 0.0, 0.0, 100.0, 59.5, 0.0, 0.0, 0.0, 1.0, 0.0]


@pytest.fixture(scope="module")
def vehicle(start_node, make_robot):
    """The vehicle around a node whose images come on image_rect."""
    start_node(PARAMETERS, program=("-m", "espnet_ros.ros.node", "--ros-args", "-r", "image:=image_rect"))
    robot = make_robot()
    wait_until(lambda: robot.state() == "active", "the node is active")
    robot.cameras["image"] = robot.camera("image_rect")
    return Vehicle(robot)


def _rectified():
    message = calibration()
    message.k = [70.0, 0.0, 90.0, 0.0, 70.0, 50.0, 0.0, 0.0, 1.0]
    message.d, message.p = DISTORTED, P
    return message


def _wait_for_value(vehicle, key, value):
    def found():
        vehicle.see()
        answer = vehicle.robot.diagnostic("costmap")
        return answer and answer[1][key] == value

    wait_until(found, f"/diagnostics says {key}: {value}")


def test_a_topic_with_rect_in_its_name_takes_p_and_no_distortion(vehicle):
    vehicle.calibration = _rectified()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is where P puts it")
    _wait_for_value(vehicle, "image_is_rectified", "true")
    _wait_for_value(vehicle, "pixels_without_ray", "0.0%")


def test_bad_calibrations_are_told_and_a_good_one_after_them_is_taken(vehicle):
    no_p, no_rotation, nan, cropped, other_aspect, empty, odd = (_rectified() for _ in range(7))
    no_p.p = [0.0] * 12
    no_rotation.r = [2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    nan.d = [math.nan] * 5
    cropped.roi = RegionOfInterest(x_offset=150, width=100, height=100)
    other_aspect.height = 160
    empty.height = 0
    odd.distortion_model = "mei"
    for message, problem in (
        (no_p, "camera projection matrix P must be given for a rectified image, is all 0"),
        (no_rotation, "camera rectification matrix R must be a rotation"),
        (nan, "camera distortion must be finite numbers"),
        (cropped, "camera roi must lie inside 120x160, is 100x100+150+0"),
        (other_aspect, "camera image must have the aspect ratio of its calibration, 160x160, is 120x160"),
        (empty, "camera image must not be empty, is 0x160 in camera_info: height and width must be those of the"),
        (odd, "camera distortion_model must be one of plumb_bob, rational_polynomial, equidistant, is 'mei'"),
    ):
        vehicle.calibration = message
        status, _ = vehicle.problem(problem)
        assert status.level == DiagnosticStatus.WARN
    vehicle.calibration = _rectified()
    vehicle.costmaps.messages.clear()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")


def test_image_is_rectified_is_live_and_needs_no_quotes(vehicle):
    assert vehicle.robot.set(image_is_rectified="maybe") == (
        "image_is_rectified must be one of auto, true, false, is 'maybe'"
    )
    assert vehicle.robot.set(image_is_rectified=False) == ""
    _wait_for_value(vehicle, "image_is_rectified", "false")
    vehicle.calibration = calibration()  # K, and zeros for D and P
    vehicle.costmaps.messages.clear()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is where K puts it")


def test_the_share_of_pixels_beyond_the_lens_is_told(vehicle):
    # r - 0.183 r^3 stops growing at r = 1.35, with a radius of 0.9: 90 pixels
    vehicle.calibration = calibration()
    vehicle.calibration.d = [-1 / (3 * 1.35**2), 0.0, 0.0, 0.0, 0.0]
    rows, columns = np.mgrid[:120, :160]
    share = (np.hypot(columns - 79.5, rows - 59.5) > 90.0).mean()
    _wait_for_value(vehicle, "pixels_without_ray", f"{share:.1%}")
