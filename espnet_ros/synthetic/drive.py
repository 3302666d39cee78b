"""A drive along a street: frames of a camera that is mounted on a base, with the truth about each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Iterator

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.pose import mount_matrix
from espnet_ros.errors import ParameterError
from espnet_ros.evaluation.frames import FIRST_STAMP_NS
from espnet_ros.synthetic import truth
from espnet_ros.synthetic.renderer import StreetRenderer
from espnet_ros.synthetic.world import StreetWorld
from espnet_ros.types import ImageSize

DEFAULT_SIZE = ImageSize(360, 480)
_HALF_FOV = math.radians(31.0)


@dataclass(frozen=True)
class Mount:
    """How the camera sits on the base, whose frame has x forward, y left, z up and lies on the ground.

    Attributes:
        height: metres above the ground.
        pitch: radians, positive looking down.
        roll: radians, positive leaning to the right.
        yaw: radians, positive looking to the left.
        x: metres ahead of the base.
        y: metres to its left.
    """

    height: float = 1.4
    pitch: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    x: float = 0.0
    y: float = 0.0

    @property
    def base_from_camera(self) -> np.ndarray:
        """(4, 4) float64 pose of the optical frame on the base."""
        return mount_matrix(self.x, self.y, self.height, self.roll, self.pitch, self.yaw)


@dataclass(frozen=True)
class StreetFrame:
    """One frame of a drive.

    Attributes:
        index: number of the frame, from 0.
        stamp_ns: when it was taken.
        image: (H, W, 3) uint8 BGR.
        labels: (H, W) uint8 CamVid class ids; 11 (void) only where the lens does not reach.
        instances: (H, W) int32 id of the object that a pixel shows, 0 for ground, sky and void.
        ranges: (H, W) float32 metres along the pixel's ray; inf for sky and void.
        camera: intrinsics of the image.
        odom_from_camera: (4, 4) float64 pose of the optical frame.
        odom_from_base: (4, 4) float64 pose of the base.
        speed: metres per second, forward.
        yaw_rate: radians per second, positive to the left.
    """

    index: int
    stamp_ns: int
    image: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    ranges: np.ndarray
    camera: CameraModel
    odom_from_camera: np.ndarray
    odom_from_base: np.ndarray
    speed: float
    yaw_rate: float


def default_camera(size: ImageSize = DEFAULT_SIZE) -> CameraModel:
    """An ideal camera with a horizontal field of view of 62 degrees."""
    focal = size.width / 2 / math.tan(_HALF_FOV)
    return CameraModel(size, focal, focal, (size.width - 1) / 2, (size.height - 1) / 2)


def drive(
    world: StreetWorld,
    camera: CameraModel,
    rate: float = 10.0,
    speed: float = 5.0,
    mount: Mount = Mount(),
    first_stamp_ns: int = FIRST_STAMP_NS,
) -> Iterator[StreetFrame]:
    """Drive the world's length in the middle of the lane and draw each frame when it is asked for.

    Args:
        world: the street.
        camera: intrinsics and size.
        rate: frames a second.
        speed: metres a second along the street's centre line.
        mount: of the camera.
        first_stamp_ns: stamp of frame 0.

    Raises:
        ParameterError: an argument breaks its rule.
    """
    check_pace(rate, speed)
    if not mount.height > 0:
        raise ParameterError(f"mount height must be above 0 m, is {mount.height}")
    count = int(world.length * rate / speed + 1e-9) + 1
    return _drive(world, camera, rate, speed, mount, first_stamp_ns, count)


def check_pace(rate: float, speed: float) -> None:
    """Refuse a drive without a pace.

    Raises:
        ParameterError: the rate or the speed is not above 0.
    """
    for name, value, unit in (("rate", rate, "Hz"), ("speed", speed, "m/s")):
        if not 0 < value < math.inf:
            raise ParameterError(f"{name} of the drive must be above 0 {unit}, is {value}")


def _drive(
    world: StreetWorld, camera: CameraModel, rate: float, speed: float, mount: Mount, first_stamp_ns: int, count: int
) -> Iterator[StreetFrame]:
    renderer = StreetRenderer(world, camera)
    for index in range(count):
        s = index * speed / rate
        x, y, heading = world.pose_at(s)
        curvature = world.course.station(s).curvature
        odom_from_base = _pose(_turn_z(heading), x, y, 0.0)
        odom_from_camera = odom_from_base @ mount.base_from_camera
        view = renderer.render(odom_from_camera, index)
        yield StreetFrame(
            index,
            first_stamp_ns + round(index * 1e9 / rate),
            *view,
            camera,
            odom_from_camera,
            odom_from_base,
            speed * (1.0 - curvature * world.section.own_lane),
            speed * curvature,
        )


def visible_contacts(world: StreetWorld, frame: StreetFrame, max_range: float) -> Dict[int, np.ndarray]:
    """Where a frame shows objects touch the ground, not hidden and within the image.

    Args:
        world: that the frame is of.
        frame: one of its frames.
        max_range: metres on the ground from the camera, beyond which contacts are left out.

    Returns:
        By object id, (N, 2) float64 points in the odom frame, in metres; only objects with such points.
    """
    return truth.visible_contacts(
        tuple(world.standing_footprints()),
        frame.camera,
        frame.odom_from_camera,
        frame.instances,
        frame.ranges,
        max_range,
    )


def _pose(rotation: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, (x, y, z)
    return pose


def _turn_z(angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
