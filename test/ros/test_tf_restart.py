"""Camera poses from tf while time starts again, with buffers of Humble and Jazzy (stand-ins)."""

import threading

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import tf2_buffer
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from std_msgs.msg import Header

from espnet_ros.config import NodeConfig
from espnet_ros.errors import PoseError
from espnet_ros.ros.poses import TfPoses

START = 1_700_000_000.0
RELEASES = [("humble", True), ("jazzy", True), ("jazzy", False)]


def _stamp(header, seconds):
    header.stamp = Time(nanoseconds=round(seconds * 1e9)).to_msg()
    return header


class Robot:
    """Broadcasts transforms as a robot does that drives 1 m/s: odom to base_link 50 times a second."""

    def __init__(self, poses, buffer, slash=""):
        self.poses, self.buffer, self.slash = poses, buffer, slash
        self.mount()

    def mount(self):
        self.poses.set_transform_static(self.transform_of("base_link", "camera", START, 0.2), "robot")

    def transform_of(self, parent, child, seconds, x):
        message = TransformStamped(child_frame_id=self.slash + child)
        message.header.frame_id = self.slash + parent
        _stamp(message.header, seconds)
        message.transform.translation.x, message.transform.rotation.w = x, 1.0
        return message

    def broadcast(self, seconds, child="base_link", parent="odom", x=None):
        x = seconds % 1000 if x is None else x
        self.poses.set_transform(self.transform_of(parent, child, seconds, x), "robot")

    def drive(self, start, end):
        for tick in range(round((end - start) * 50) + 1):
            self.broadcast(start + tick / 50)

    def x(self, seconds, frame="camera"):
        """Where the camera was, as the node finds it."""
        pose = self.poses.at(_stamp(Header(frame_id=frame), seconds))
        return float((pose.odom_from_base @ pose.base_from_camera)[0, 3])


@pytest.fixture(params=RELEASES, ids=lambda release: f"{release[0]}{'' if release[1] else ', clears static ones'}")
def robot(request):
    return _robot(*request.param)


def _robot(distro, static_survives, slash="", **config):
    buffer = tf2_buffer.Buffer(distro=distro, static_survives=static_survives)
    poses = TfPoses(buffer, tf2_buffer.TransformException, NodeConfig(pose_tolerance=0.0, **config))
    return Robot(poses, buffer, slash)


def test_without_clearing_a_buffer_ignores_a_bag_that_starts_again():
    """What the node is guarded against."""
    robot = _robot("humble", True)
    robot.drive(START + 60, START + 62)
    robot.buffer.set_transform(robot.transform_of("odom", "base_link", START, 0.0), "robot")
    assert robot.buffer.ignored == 1
    with pytest.raises(tf2_buffer.ExtrapolationException):
        robot.buffer.lookup_transform("odom", "camera", Time(nanoseconds=round(START * 1e9)), Duration())


@pytest.mark.parametrize("length", [1.5, 5, 60])
def test_after_a_loop_transforms_are_found_at_once(robot, length):
    robot.drive(START + length - 1, START + length)
    assert robot.x(START + length) == pytest.approx((START + length) % 1000 + 0.2)
    robot.drive(START, START + 0.04)
    assert robot.x(START + 0.03) == pytest.approx((START + 0.03) % 1000 + 0.2)
    assert robot.poses.jumps == 1
    assert f"transforms of 'base_link': time went back by {length:.1f} s" in robot.poses.last_jump


@pytest.mark.parametrize("jitter", [0.003, 0.02, 0.5, 0.98])
def test_transforms_out_of_order_clear_nothing(robot, jitter):
    robot.drive(START, START + 2)
    robot.broadcast(START + 2 - jitter)
    robot.broadcast(START + 2)
    robot.broadcast(START + 2.02)
    assert (robot.poses.jumps, robot.buffer.clearings) == (0, 0)
    assert robot.x(START + 0.5) == pytest.approx((START + 0.5) % 1000 + 0.2)


def test_one_transform_from_the_future_costs_one_clearing(robot):
    robot.drive(START, START + 1)
    robot.broadcast(START + 3600)
    robot.drive(START + 1.02, START + 3)
    assert robot.poses.jumps == 1
    assert robot.x(START + 2) == pytest.approx((START + 2) % 1000 + 0.2)


def test_an_image_from_before_clears_the_poses_and_the_next_transforms_are_found(robot):
    robot.drive(START + 50, START + 52)
    robot.x(START + 52)
    with pytest.raises(PoseError, match="no transform from"):
        robot.x(START)
    assert robot.poses.last_jump == "images: time went back by 52.0 s"
    robot.drive(START, START + 0.1)
    assert robot.x(START + 0.05) == pytest.approx((START + 0.05) % 1000 + 0.2)
    assert robot.poses.jumps == 1


def test_a_transform_of_the_old_round_after_the_restart_costs_a_second_clearing(robot):
    robot.drive(START + 50, START + 52)
    robot.x(START + 52)
    robot.poses.restart("the clock went back")
    robot.broadcast(START + 52.02)
    robot.drive(START, START + 0.1)
    assert robot.poses.jumps == 2
    assert robot.x(START + 0.05) == pytest.approx((START + 0.05) % 1000 + 0.2)
    robot.drive(START + 0.12, START + 3)
    assert robot.poses.jumps == 2


@pytest.mark.parametrize("ahead", [0.5, 1.5])
def test_a_loop_is_one_restart_while_localisation_dates_into_the_future(ahead):
    robot = _robot("humble", True, costmap_frame="map")
    for seconds in (50, 51, 52, 0, 1, 2):
        robot.broadcast(START + seconds)
        robot.broadcast(START + seconds + ahead, child="odom", parent="map", x=0.0)
    assert robot.poses.jumps == 1
    assert robot.x(START + 1.5) == pytest.approx((START + 1.5) % 1000 + 0.2)


@pytest.mark.parametrize("ahead", [5.0, 3600.0, 1e8])
def test_one_image_from_the_future_changes_nothing(robot, ahead):
    robot.drive(START, START + 2)
    robot.x(START + 1)
    with pytest.raises(PoseError):
        robot.x(START + ahead)
    for seconds in (1.03, 1.02, 1.06, 1.09):
        robot.x(START + seconds)
    assert robot.poses.jumps == 0


def test_a_restart_that_is_told_keeps_static_transforms(robot):
    robot.drive(START + 50, START + 51)
    robot.poses.restart("the clock went back")
    assert (robot.poses.jumps, robot.poses.last_jump) == (1, "the clock went back")
    robot.drive(START, START + 0.1)
    assert robot.x(START + 0.1) == pytest.approx((START + 0.1) % 1000 + 0.2)
    assert robot.poses.jumps == 1


def test_a_clock_that_goes_back_is_a_restart_but_not_a_second_one(robot):
    robot.drive(START + 50, START + 51)
    robot.poses.follow_clock()
    assert robot.poses.jumps == 1
    assert "the node's clock went back" in robot.poses.last_jump
    robot.drive(START, START + 1)
    robot.poses.follow_clock()
    assert robot.poses.jumps == 1
    assert robot.x(START + 1) == pytest.approx((START + 1) % 1000 + 0.2)


def test_a_broadcaster_that_dates_into_the_future_is_no_restart(robot):
    """Localisation dates map to odom ahead, by AMCL's default of a second."""
    for tick in range(100):
        robot.broadcast(START + tick / 50)
        robot.broadcast(START + tick / 50 + 1.5, child="odom", parent="map", x=0.0)
    assert robot.poses.jumps == 0


def test_the_clock_of_a_frame_that_the_camera_does_not_need_is_no_restart(robot):
    robot.drive(START, START + 1)
    robot.x(START + 1)
    for seconds in (1e9, 5.0, 1e9, 6.0):
        robot.broadcast(seconds, child="robot_1/base_link", parent="robot_1/odom")
        robot.broadcast(seconds, child="arm", parent="base_link")
        robot.broadcast(seconds, child="odom", parent="map")
    assert (robot.poses.jumps, robot.buffer.clearings) == (0, 0)


def test_a_moving_camera_whose_joint_starts_again_is_a_restart(robot):
    for seconds in (50.0, 50.1):
        robot.broadcast(START + seconds)
        robot.broadcast(START + seconds, child="camera", parent="base_link", x=0.2)
    robot.x(START + 50)
    robot.broadcast(START, child="camera", parent="base_link", x=0.2)
    assert robot.poses.jumps == 1


@pytest.mark.parametrize("slash", ["/", ""])
@pytest.mark.parametrize("frame", ["/camera", "camera", "//camera"])
def test_a_slash_before_a_frame_makes_no_difference(frame, slash):
    robot = _robot("jazzy", True, slash, costmap_frame="/odom", base_frame="/base_link")
    robot.drive(START + 50, START + 51)
    assert robot.x(START + 51, frame) == pytest.approx((START + 51) % 1000 + 0.2)
    robot.drive(START, START + 0.1)
    assert robot.x(START + 0.1, frame) == pytest.approx((START + 0.1) % 1000 + 0.2)
    assert robot.poses.jumps == 1


def test_an_image_without_a_frame_is_refused(robot):
    with pytest.raises(PoseError, match="image must have a frame_id that tf knows, has ''"):
        robot.x(START, "")


def test_restarts_while_another_thread_looks_up_end_in_found_transforms(robot):
    is_over, errors = threading.Event(), []

    def look_up():
        while not is_over.is_set():
            try:
                robot.x(START + 0.5)
            except PoseError:
                pass  # what is expected while nothing has come yet
            except Exception as error:
                errors.append(error)
                raise

    threads = [threading.Thread(target=look_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for loop in range(30):
        robot.drive(START, START + 1)
        robot.broadcast(START + 60)
        robot.poses.restart(f"loop {loop}")
    robot.drive(START, START + 1)
    is_over.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert robot.x(START + 0.5) == pytest.approx((START + 0.5) % 1000 + 0.2)
