import math

import numpy as np
import pytest

from espnet_ros.costmap.pose import OdometryBuffer, mount_matrix, pose_matrix, quaternion_of
from espnet_ros.errors import PoseError
from espnet_ros.headers import NANOSECONDS

STRAIGHT = (0.0, 0.0, 0.0, 1.0)
QUARTER = (0.0, 0.0, math.sin(math.pi / 4), math.cos(math.pi / 4))


def _stamp(seconds):
    return round(seconds * NANOSECONDS)


@pytest.fixture
def buffer():
    buffer = OdometryBuffer(tolerance=0.1, max_speed=10.0)
    buffer.add(_stamp(10.0), (0.0, 0.0, 0.0), STRAIGHT)
    buffer.add(_stamp(10.1), (0.2, 0.1, 0.0), QUARTER)
    return buffer


def test_a_quarter_turn_takes_forward_to_the_left():
    pose = pose_matrix((1.0, 2.0, 3.0), QUARTER)
    assert pose @ [1, 0, 0, 1] == pytest.approx([1.0, 3.0, 3.0, 1.0])


def test_a_camera_mounted_straight_looks_forward_with_its_rows_down():
    pose = mount_matrix(0.2, 0.0, 1.5, 0.0, 0.0, 0.0)
    assert pose @ [0, 0, 1, 1] == pytest.approx([1.2, 0.0, 1.5, 1.0])
    assert pose @ [1, 0, 0, 1] == pytest.approx([0.2, -1.0, 1.5, 1.0])
    assert pose @ [0, 1, 0, 1] == pytest.approx([0.2, 0.0, 0.5, 1.0])


def test_a_positive_pitch_looks_down_and_a_positive_yaw_to_the_left():
    down = mount_matrix(0.0, 0.0, 0.0, 0.0, math.pi / 6, 0.0) @ [0, 0, 1, 1]
    assert down == pytest.approx([math.cos(math.pi / 6), 0.0, -0.5, 1.0])
    left = mount_matrix(0.0, 0.0, 0.0, 0.0, 0.0, math.pi / 2) @ [0, 0, 1, 1]
    assert left == pytest.approx([0.0, 1.0, 0.0, 1.0])


def test_odometry_is_interpolated_at_the_images_stamp(buffer):
    pose = buffer.at(_stamp(10.05))
    assert pose[:2, 3] == pytest.approx([0.1, 0.05])
    assert math.atan2(pose[1, 0], pose[0, 0]) == pytest.approx(math.pi / 4)


def test_an_image_shortly_after_the_newest_odometry_goes_on_as_it_moved(buffer):
    pose = buffer.at(_stamp(10.15))
    assert pose[:2, 3] == pytest.approx([0.3, 0.15])


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        (9.5, "must reach back to the image's stamp, begins 0.500 s after it"),
        (10.3, "must be at most 0.1 s older than the image, is 0.200 s"),
    ],
)
def test_a_time_without_odometry_is_refused(buffer, seconds, reason):
    with pytest.raises(PoseError, match=reason):
        buffer.at(_stamp(seconds))


def test_without_odometry_there_is_no_pose():
    with pytest.raises(PoseError, match="no odometry received yet"):
        OdometryBuffer().at(0)


def test_a_jump_forgets_what_was_before_and_is_named(buffer):
    buffer.add(_stamp(10.2), (50.0, 0.1, 0.0), STRAIGHT)
    assert buffer.jumps == 1
    assert buffer.last_jump == "odometry jumped: it moved 49.8 m in 0.10 s"
    with pytest.raises(PoseError, match="must reach back"):
        buffer.at(_stamp(10.15))
    assert buffer.at(_stamp(10.2))[0, 3] == 50.0


def test_a_clock_that_starts_anew_is_a_jump(buffer):
    buffer.add(_stamp(2.0), (0.0, 0.0, 0.0), STRAIGHT)
    assert "its time went back by 8.1 s" in buffer.last_jump
    assert buffer.at(_stamp(2.0))[0, 3] == 0.0


def test_a_message_out_of_order_is_left_out(buffer):
    buffer.add(_stamp(10.05), (99.0, 0.0, 0.0), STRAIGHT)
    assert buffer.jumps == 0
    assert buffer.at(_stamp(10.05))[0, 3] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("position", "quaternion", "reason"),
    [
        ((math.nan, 0, 0), STRAIGHT, "must be finite numbers"),
        ((0, 0, 0), (0, 0, 0, 0), "must have a unit quaternion, has one of length 0"),
    ],
)
def test_what_is_no_pose_is_refused_and_changes_nothing(buffer, position, quaternion, reason):
    with pytest.raises(PoseError, match=reason):
        buffer.add(_stamp(10.2), position, quaternion)
    assert np.isfinite(buffer.at(_stamp(10.1))).all()


def test_only_the_last_seconds_are_kept(buffer):
    buffer.add(_stamp(25.0), (0.3, 0.1, 0.0), STRAIGHT)
    with pytest.raises(PoseError, match="must reach back"):
        buffer.at(_stamp(10.05))


@pytest.mark.parametrize("yaw", [0.0, 1e-9, 1e-6, 0.7, -2.5, math.pi, -math.pi + 1e-6])
def test_a_quaternion_gives_its_rotation_back_at_every_angle(yaw):
    rotation = mount_matrix(0, 0, 0, 0.1, -0.2, yaw)[:3, :3]
    quaternion = quaternion_of(rotation)
    assert quaternion[3] >= 0
    np.testing.assert_allclose(pose_matrix((0, 0, 0), quaternion)[:3, :3], rotation, atol=1e-14)


def test_a_quarter_turn_to_the_left_is_this_quaternion():
    rotation = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert quaternion_of(rotation) == pytest.approx((0, 0, 0.5**0.5, 0.5**0.5), abs=1e-15)
