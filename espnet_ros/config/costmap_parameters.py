"""Parameters of the costmap: frames, the camera's mount, extent, range and evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from espnet_ros.config.rules import parameter
from espnet_ros.errors import ParameterError

MAX_CELLS = 1_000_000
"""Cells of one layer of the costmap."""


def _mount(description: str, unit: str, default: float = 0.0) -> Any:
    bound = 10.0 if unit == "m" else math.pi
    return parameter(default, description, unit=unit, minimum=-bound, maximum=bound)


@dataclass(frozen=True)
class CostmapParameters:
    """Frames, the camera's mount, extent, range and evidence of the costmap."""

    costmap_frame: str = parameter("odom", "Frame of the grids: continuous and axis-aligned, such as odom.")
    base_frame: str = parameter("base_link", "Frame of the robot; its plane z = ground_height is the ground.")
    ground_height: float = parameter(0.0, "Height of the ground in base_frame.", unit="m", minimum=-10.0, maximum=10.0)
    pose_source: str = parameter(
        "auto",
        "Where the camera's pose comes from: tf, odom (topic odom and the camera_ parameters), or auto (tf where "
        "tf2_ros is installed).",
        choices=("auto", "tf", "odom"),
    )
    pose_tolerance: float = parameter(
        0.1,
        "How long to wait for a transform, or how much older than the image odometry may be.",
        unit="s",
        minimum=0.0,
        maximum=10.0,
    )
    camera_x: float = _mount("Camera forward of base_frame's origin, for pose_source odom.", "m")
    camera_y: float = _mount("Camera to the left of base_frame's origin, for pose_source odom.", "m")
    camera_z: float = _mount("Camera above base_frame's origin, for pose_source odom.", "m", 1.0)
    camera_roll: float = _mount("Camera's turn about its viewing direction, for pose_source odom.", "rad")
    camera_pitch: float = _mount("Camera's tilt, down is positive, for pose_source odom.", "rad")
    camera_yaw: float = _mount("Camera's turn to the left, for pose_source odom.", "rad")
    costmap_width: float = parameter(
        20.0, "Extent of the grids along x.", unit="m", minimum=1.0, maximum=200.0, live=True
    )
    costmap_height: float = parameter(
        20.0, "Extent of the grids along y.", unit="m", minimum=1.0, maximum=200.0, live=True
    )
    costmap_resolution: float = parameter(0.1, "Side of a cell.", unit="m", minimum=0.01, maximum=2.0, live=True)
    costmap_min_range: float = parameter(
        0.5, "Ground nearer to the camera's foot point than this is left out.", unit="m", minimum=0.0, maximum=50.0,
        live=True,
    )  # fmt: skip
    costmap_max_range: float = parameter(
        12.0, "Ground further from the camera's foot point than this is left out.", unit="m", minimum=1.0,
        maximum=100.0, live=True,
    )  # fmt: skip
    costmap_min_confidence: float = parameter(
        0.0, "Pixels less certain than this say nothing about the ground.", minimum=0.0, maximum=1.0, live=True
    )
    costmap_min_obstacle_height: float = parameter(
        0.15, "What does not rise this high above the ground is no obstacle but noise.", unit="m", minimum=0.0,
        maximum=2.0, live=True,
    )  # fmt: skip
    costmap_hit: float = parameter(
        1.2, "Log-odds that one image adds to a cell it speaks for.", minimum=0.1, maximum=10.0, live=True
    )
    costmap_miss: float = parameter(
        0.7, "Log-odds that one image takes from a cell it speaks against.", minimum=0.0, maximum=10.0, live=True
    )
    costmap_decay: float = parameter(
        10.0, "Time in which evidence fades to 37 %; 0: never.", unit="s", minimum=0.0, maximum=3600.0, live=True
    )
    costmap_timeout: float = parameter(
        1.0, "Without an image that adds something for this long, cleared grids go out.", unit="s", minimum=0.1,
        maximum=60.0, live=True,
    )  # fmt: skip

    def check_costmap(self) -> None:
        """Check what no single value breaks.

        Raises:
            ParameterError: range or number of cells.
        """
        if self.costmap_min_range >= self.costmap_max_range:
            raise ParameterError(
                f"costmap_min_range must be below costmap_max_range, {self.costmap_max_range} m, "
                f"is {self.costmap_min_range}"
            )
        cells = self.costmap_width * self.costmap_height / self.costmap_resolution**2
        if cells > MAX_CELLS:
            raise ParameterError(
                f"costmap_width x costmap_height / costmap_resolution^2 must be at most {MAX_CELLS} cells, "
                f"is {cells:.0f}"
            )
