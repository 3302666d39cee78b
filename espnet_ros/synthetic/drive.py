"""A drive along a street: frames of a camera mounted on a base, each with its ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Iterator

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.pose import mount_matrix
from espnet_ros.errors import ParameterError
from espnet_ros.evaluation.frames import FIRST_STAMP_NS
from espnet_ros.synthetic import ground_truth
from espnet_ros.synthetic.renderer import StreetRenderer
from espnet_ros.synthetic.world import StreetWorld
from espnet_ros.types import ImageSize

DEFAULT_SIZE = ImageSize(360, 480)
_HALF_FOV = math.radians(31.0)


@dataclass(frozen=True)
class Mount:
    """Pose of the camera on the base. The base frame lies on the ground, with x forward, y left and z up.

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
        """(4, 4) float64 pose of the optical frame in the base frame."""
        return mount_matrix(self.x, self.y, self.height, self.roll, self.pitch, self.yaw)


@dataclass(frozen=True)
class StreetFrame:
    """One frame of a drive.

    Attributes:
        index: number of the frame, from 0.
        stamp_ns: time of the frame in nanoseconds.
        image: (H, W, 3) uint8 BGR.
        labels: (H, W) uint8 CamVid class ids; 11 (void) only outside the lens.
        instances: (H, W) int32 id of the visible object, 0 for ground, sky and void.
        ranges: (H, W) float32 metres along the pixel's ray; inf for sky and void.
        camera: intrinsics of the image.
        odom_from_camera: (4, 4) float64 pose of the optical frame in the odom frame.
        odom_from_base: (4, 4) float64 pose of the base in the odom frame.
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
    """Return an ideal camera with a horizontal field of view of 62 degrees."""
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
    """Drive the length of the street in the middle of the lane. Each frame is drawn when it is requested.

    Args:
        world: the street.
        camera: intrinsics and size.
        rate: frames per second.
        speed: metres per second along the street's centre line.
        mount: pose of the camera on the base.
        first_stamp_ns: stamp of frame 0.

    Raises:
        ParameterError: an argument is out of range.
    """
    check_rate_and_speed(rate, speed)
    if not mount.height > 0:
        raise ParameterError(f"mount height must be above 0 m, is {mount.height}")
    count = int(world.length * rate / speed + 1e-9) + 1
    return _drive(world, camera, rate, speed, mount, first_stamp_ns, count)


def check_rate_and_speed(rate: float, speed: float) -> None:
    """Check that a drive has a valid rate and speed.

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
        odom_from_base = _pose(_rotation_z(heading), x, y, 0.0)
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
    """Return the points where a frame shows objects touching the ground, visible and within the image.

    Args:
        world: the street of the frame.
        frame: a frame of it.
        max_range: maximum distance from the camera along the ground, in metres.

    Returns:
        (N, 2) float64 points in metres in the odom frame, by object id; objects without points are left out.
    """
    return ground_truth.visible_contacts(
        tuple(world.objects_on_ground()),
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


def _rotation_z(angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
