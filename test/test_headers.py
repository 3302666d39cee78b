"""What a stamp means beside the newest one, and names of frames with the slash of ROS 1."""

from types import SimpleNamespace

import pytest

from espnet_ros.config import NodeConfig
from espnet_ros.errors import ParameterError
from espnet_ros.headers import clean_frame, describe_restart, is_restart, is_stamped, stamp_nanoseconds

MS = 1_000_000
NOW = 1_700_000_000_000 * MS


@pytest.mark.parametrize("back_ms", [0, 0.000001, 1, 5, 40, 130, 400, 999, -1, -3_600_000])
def test_a_stamp_less_than_a_second_back_is_no_restart(back_ms):
    assert not is_restart(NOW - round(back_ms * MS), NOW)


@pytest.mark.parametrize("back_ms", [1000, 1001, 5000, 60_000, 3_600_000, NOW // MS])
def test_a_stamp_a_second_or_more_back_is_a_restart(back_ms):
    assert is_restart(NOW - back_ms * MS, NOW)


def test_the_first_stamp_is_never_a_restart():
    assert not is_restart(0, None)
    assert not is_restart(NOW, None)


def test_a_restart_is_described_by_how_far_time_went_back():
    assert describe_restart(NOW - 61_250 * MS, NOW) == "time went back by 61.2 s"


@pytest.mark.parametrize(
    ("seconds", "nanoseconds", "expected"), [(0, 0, False), (-5, 0, False), (0, 1, True), (3, 0, True)]
)
def test_a_header_that_nobody_stamped_has_zero(seconds, nanoseconds, expected):
    header = SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=nanoseconds))
    assert is_stamped(stamp_nanoseconds(header)) is expected


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("camera", "camera"),
        ("/camera", "camera"),
        ("//camera", "camera"),
        ("/robot_0/camera", "robot_0/camera"),
        ("robot_0/camera", "robot_0/camera"),
        ("camera/", "camera/"),
        ("/", ""),
        ("", ""),
    ],
)
def test_a_leading_slash_is_not_part_of_a_frames_name(sent, name):
    assert clean_frame(sent) == name


def test_the_frames_in_the_parameters_lose_their_slash_too():
    config = NodeConfig(costmap_frame="/odom", base_frame="/robot_0/base_link")
    assert (config.costmap_frame, config.base_frame) == ("odom", "robot_0/base_link")
    assert config.changed({"alpha": 3}).base_frame == "robot_0/base_link"


@pytest.mark.parametrize("frame", ["", "/", "//"])
def test_a_frame_without_a_name_is_refused(frame):
    with pytest.raises(ParameterError, match=f"base_frame must name a frame, is '{frame}'"):
        NodeConfig(base_frame=frame)
