"""Poses in time: rigid transforms, and the odometry at an image's stamp."""

from __future__ import annotations

import bisect
import math
from collections import deque
from typing import Deque, List, NamedTuple, Sequence

import numpy as np

from espnet_ros.errors import PoseError

NANOSECONDS = 1_000_000_000
_KEPT = 10 * NANOSECONDS
_RESTART_AFTER = NANOSECONDS  # a clock that goes back this far has started anew, as when a recording loops
_JUMP_ALLOWANCE = 0.5  # m


def pose_matrix(position: Sequence[float], quaternion: Sequence[float]) -> np.ndarray:
    """(4, 4) float64 transform.

    Args:
        position: x, y, z in metres.
        quaternion: x, y, z, w; need not have unit length.

    Raises:
        PoseError: a value is not finite, or the quaternion is zero.
    """
    values = (*position, *quaternion)
    if not all(math.isfinite(value) for value in values):
        raise PoseError(f"pose must be finite numbers, is {list(values)}")
    length = math.sqrt(sum(value * value for value in quaternion))
    if length < 1e-6:
        raise PoseError("pose must have a unit quaternion, has one of length 0")
    x, y, z, w = (value / length for value in quaternion)
    pose = np.eye(4)
    pose[:3, :3] = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    pose[:3, 3] = position
    return pose


def mount_matrix(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> np.ndarray:
    """(4, 4) pose of the optical frame in the base frame, from the pose of the camera's body.

    The body's axes are those of the base (x forward, y left, z up) turned by roll about x, pitch about y and yaw about
    z, in this order about fixed axes (URDF's convention), in radians; a positive pitch looks down. The optical frame
    is the body's with z forward, x right and y down (REP 103).
    """
    cr, sr = math.cos(roll), math.sin(roll)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    body_from_optical = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose = np.eye(4)
    pose[:3, :3] = about_z @ about_y @ about_x @ body_from_optical
    pose[:3, 3] = (x, y, z)
    return pose


class _Sample(NamedTuple):
    stamp: int
    position: np.ndarray
    quaternion: np.ndarray


class OdometryBuffer:
    """The last seconds of odometry.

    Args:
        tolerance: an image may be this much newer than the newest odometry, in seconds.
        max_speed: faster than this, in m/s, the robot did not drive but its odometry jumped.
    """

    def __init__(self, tolerance: float = 0.1, max_speed: float = 20.0) -> None:
        self.tolerance = tolerance
        self.max_speed = max_speed
        self.jumps = 0
        self.last_jump = ""
        self._samples: Deque[_Sample] = deque()

    def add(self, stamp: int, position: Sequence[float], quaternion: Sequence[float]) -> None:
        """Take one odometry message.

        A jump (an odometry that was reset, a clock that went back) forgets what came before and is counted.

        Args:
            stamp: nanoseconds.
            position: x, y, z in metres.
            quaternion: x, y, z, w.

        Raises:
            PoseError: values that are no pose; the buffer stays as it was.
        """
        pose_matrix(position, quaternion)
        sample = _Sample(stamp, np.array(position, np.float64), _normalised(quaternion))
        if self._samples and not self._follows(self._samples[-1], sample):
            return
        self._samples.append(sample)
        while self._samples[0].stamp < stamp - _KEPT:
            self._samples.popleft()

    def _follows(self, newest: _Sample, sample: _Sample) -> bool:
        """Whether to keep a sample; forgets the older ones where it does not continue them."""
        elapsed = (sample.stamp - newest.stamp) / NANOSECONDS
        if elapsed <= 0:
            if sample.stamp > newest.stamp - _RESTART_AFTER:
                return False
            self._jump(f"its time went back by {-elapsed:.1f} s")
            return True
        distance = float(np.linalg.norm(sample.position - newest.position))
        if distance > self.max_speed * elapsed + _JUMP_ALLOWANCE:
            self._jump(f"it moved {distance:.1f} m in {elapsed:.2f} s")
        return True

    def _jump(self, reason: str) -> None:
        self._samples.clear()
        self.jumps += 1
        self.last_jump = f"odometry jumped: {reason}"

    def at(self, stamp: int) -> np.ndarray:
        """(4, 4) pose of the base in the odometry frame at a time, interpolated.

        Raises:
            PoseError: there is no odometry around that time; the message says by how much it misses.
        """
        if not self._samples:
            raise PoseError("no odometry has come yet")
        first, last = self._samples[0], self._samples[-1]
        if stamp < first.stamp:
            raise PoseError(
                f"odometry must reach back to the image's stamp, begins {_seconds(first.stamp - stamp)} s after it"
            )
        late = stamp - last.stamp
        if late > self.tolerance * NANOSECONDS:
            raise PoseError(f"odometry must be at most {self.tolerance} s older than the image, is {_seconds(late)} s")
        if late >= 0:
            if late == 0 or len(self._samples) < 2:
                return pose_matrix(last.position.tolist(), last.quaternion.tolist())
            return _between(self._samples[-2], last, stamp)
        samples = list(self._samples)
        index = bisect.bisect_right([sample.stamp for sample in samples], stamp)
        return _between(samples[index - 1], samples[index], stamp)


def _between(before: _Sample, after: _Sample, stamp: int) -> np.ndarray:
    """Pose at a time between two samples, or shortly after them; position linear, rotation along the shortest arc."""
    share = (stamp - before.stamp) / (after.stamp - before.stamp)
    position = before.position + share * (after.position - before.position)
    return pose_matrix(position.tolist(), _slerp(before.quaternion, after.quaternion, share))


def _slerp(start: np.ndarray, end: np.ndarray, share: float) -> List[float]:
    """Spherical linear interpolation (Shoemake, 1985)."""
    cosine = float(start @ end)
    if cosine < 0:
        end, cosine = -end, -cosine
    angle = math.acos(min(cosine, 1.0))
    if angle < 1e-6:
        result = start + share * (end - start)
    else:
        result = (math.sin((1 - share) * angle) * start + math.sin(share * angle) * end) / math.sin(angle)
    return [float(value) for value in result]


def _normalised(quaternion: Sequence[float]) -> np.ndarray:
    values = np.array(quaternion, np.float64)
    return np.asarray(values / np.linalg.norm(values))


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / NANOSECONDS:.3f}"
