"""Parameters of the frames and the camera's pose, which the costmap needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from espnet_ros.config.declaration import Section, parameter
from espnet_ros.errors import ParameterError
from espnet_ros.headers import clean_frame


def _pose_parameter(default: Any, description: str, **rule: Any) -> Any:
    return parameter(default, description, changes_costmap=True, **rule)


def _mount(description: str, unit: str, default: float = 0.0) -> Any:
    bound = 10.0 if unit == "m" else math.pi
    return _pose_parameter(
        default, f"{description} Used with pose_source odom.", unit=unit, minimum=-bound, maximum=bound
    )


@dataclass(frozen=True)
class PoseParameters:
    """Frames of the costmap and the robot, and where the camera is."""

    costmap_frame: str = _pose_parameter(
        "odom",
        "Frame of the costmaps, which must be continuous, such as odom. The grids are aligned with its axes.",
        is_basic=True,
    )
    base_frame: str = _pose_parameter("base_link", "Frame of the robot. Its plane z = ground_height is the ground.")
    ground_height: float = _pose_parameter(
        0.0, "Height of the ground in base_frame.", unit="m", minimum=-10.0, maximum=10.0
    )
    pose_source: str = _pose_parameter(
        "auto",
        "Source of the camera's pose: tf, odom (the topic odom and the camera_* parameters), or auto (tf if tf2_ros is "
        "installed, else odom).",
        choices=("auto", "tf", "odom"),
    )
    pose_tolerance: float = _pose_parameter(
        0.1,
        "With tf, how long to wait for a transform. With odom, how much older than the image the odometry may be.",
        unit="s",
        minimum=0.0,
        maximum=10.0,
    )
    camera_x: float = _mount("Camera position along the x axis of base_frame (forward).", "m")
    camera_y: float = _mount("Camera position along the y axis of base_frame (left).", "m")
    camera_z: float = _mount("Camera position along the z axis of base_frame (up).", "m", 1.0)
    camera_roll: float = _mount("Camera rotation about its viewing direction.", "rad")
    camera_pitch: float = _mount("Camera tilt, positive downwards.", "rad")
    camera_yaw: float = _mount("Camera rotation to the left.", "rad")

    def clean_frames(self) -> None:
        """Remove the leading slash of frames, which ROS 1 wrote and tf2 refuses.

        Raises:
            ParameterError: a frame has no name.
        """
        for name in ("costmap_frame", "base_frame"):
            frame = clean_frame(getattr(self, name))
            if not frame:
                raise ParameterError(f"{name} must name a frame, is {getattr(self, name)!r}")
            object.__setattr__(self, name, frame)  # the dataclass is frozen, but still being made


SECTION = Section(
    "Frames and camera pose",
    "The frames of the costmap and the robot, and where the camera is mounted.",
    PoseParameters,
    guide="docs/nav2.md",
)
