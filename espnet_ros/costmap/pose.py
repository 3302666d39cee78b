"""Rigid transforms, and odometry interpolated at the time of an image."""

from __future__ import annotations

import bisect
import math
from collections import deque
from typing import Deque, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ros.errors import PoseError
from espnet_ros.headers import NANOSECONDS, describe_restart, is_restart, is_stamped

_HISTORY = 10 * NANOSECONDS
_JUMP_ALLOWANCE = 0.5  # m


def pose_matrix(position: Sequence[float], quaternion: Sequence[float]) -> np.ndarray:
    """Return the (4, 4) float64 transform of a pose.

    Args:
        position: x, y, z in metres.
        quaternion: x, y, z, w; normalised here.

    Raises:
        PoseError: a value is not finite, or the quaternion has length 0.
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


def quaternion_of(rotation: np.ndarray) -> Tuple[float, float, float, float]:
    """Return (x, y, z, w) of a (3, 3) rotation matrix, with w >= 0.

    It is the eigenvector of the largest eigenvalue of Bar-Itzhack's matrix ("New method for extracting the quaternion
    from a rotation matrix", 2000), which is accurate at every angle.
    """
    r = rotation
    matrix = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    x, y, z, w = np.linalg.eigh(matrix / 3)[1][:, -1].tolist()
    sign = -1.0 if w < 0 else 1.0
    return sign * x, sign * y, sign * z, sign * w


def mount_matrix(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Return the (4, 4) pose of the optical frame in the base frame, from the pose of the camera body.

    The optical frame has the body's origin, with z forward, x right and y down (REP 103).

    Args:
        x: position of the body, metres forward.
        y: metres to the left.
        z: metres up.
        roll: rotation about x in radians. Rotations are applied in the order roll, pitch, yaw about the base's fixed
            axes (the URDF convention).
        pitch: rotation about y; positive looks down.
        yaw: rotation about z; positive looks to the left.
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
    """Odometry of the last 10 s.

    Args:
        tolerance: how much newer than the newest odometry a requested time may be, in seconds.
        max_speed: a faster change of position, in m/s, counts as a jump.

    Attributes:
        jumps: number of jumps so far.
        last_jump: description of the last jump; "" before the first.
    """

    def __init__(self, tolerance: float = 0.1, max_speed: float = 20.0) -> None:
        self.tolerance = tolerance
        self.max_speed = max_speed
        self.jumps = 0
        self.last_jump = ""
        self._samples: Deque[_Sample] = deque()
        self._late: Optional[_Sample] = None  # the last one, if it was dropped

    def add(self, stamp: int, position: Sequence[float], quaternion: Sequence[float]) -> None:
        """Add one odometry message.

        A jump (odometry reset, or a restart of time) discards all older samples. A message that is late or repeats the
        newest stamp is dropped.

        Args:
            stamp: time in nanoseconds.
            position: x, y, z in metres.
            quaternion: x, y, z, w.

        Raises:
            PoseError: the pose is invalid, or nobody stamped it; the buffer is unchanged.
        """
        if not is_stamped(stamp):
            raise PoseError(f"stamp must be above 0, is {_seconds(stamp)} s")
        pose_matrix(position, quaternion)
        sample = _Sample(stamp, np.array(position, np.float64), _normalised(quaternion))
        if self._samples and not self._accept(self._samples[-1], sample):
            return
        self._samples.append(sample)
        while self._samples[0].stamp < stamp - _HISTORY:
            self._samples.popleft()

    def _accept(self, newest: _Sample, sample: _Sample) -> bool:
        """Return whether to keep a sample. If it is a jump, discard the older ones."""
        if is_restart(sample.stamp, newest.stamp):
            self._record_jump(f"its {describe_restart(sample.stamp, newest.stamp)}")
            return True
        if sample.stamp <= newest.stamp:
            self._late = sample
            return False
        # While a clock that was set back catches up, messages are late and the robot drives on.
        late, self._late = self._late, None
        if self._is_too_far(newest, sample) and (late is None or self._is_too_far(late, sample)):
            distance = float(np.linalg.norm(sample.position - newest.position))
            self._record_jump(f"it moved {distance:.1f} m in {(sample.stamp - newest.stamp) / NANOSECONDS:.2f} s")
        return True

    def _is_too_far(self, before: _Sample, after: _Sample) -> bool:
        distance = float(np.linalg.norm(after.position - before.position))
        return distance > self.max_speed * (after.stamp - before.stamp) / NANOSECONDS + _JUMP_ALLOWANCE

    def _record_jump(self, reason: str) -> None:
        self.clear()
        self.jumps += 1
        self.last_jump = f"odometry jumped: {reason}"

    def clear(self) -> None:
        """Discard all samples, as time has started again."""
        self._samples.clear()
        self._late = None

    def at(self, stamp: int) -> np.ndarray:
        """Interpolate the (4, 4) pose of the base in the odometry frame at a time in nanoseconds.

        Up to ``tolerance`` after the newest sample, the pose is extrapolated from two samples that are at least as far
        apart as the time is from the newest one, so that jitter of their stamps does not grow. Until there are two such
        samples, the newest pose is returned.

        Raises:
            PoseError: there is no odometry for that time. The message gives the time difference.
        """
        if not self._samples:
            raise PoseError("no odometry received yet")
        first, last = self._samples[0], self._samples[-1]
        if stamp < first.stamp:
            raise PoseError(
                f"odometry must reach back to the image's stamp, begins {_seconds(first.stamp - stamp)} s after it"
            )
        age = stamp - last.stamp
        if age > self.tolerance * NANOSECONDS:
            raise PoseError(f"odometry must be at most {self.tolerance} s older than the image, is {_seconds(age)} s")
        if age >= 0:
            before = next((sample for sample in reversed(self._samples) if last.stamp - sample.stamp >= age), last)
            if before is last:
                return pose_matrix(last.position.tolist(), last.quaternion.tolist())
            return _interpolate(before, last, stamp)
        samples = list(self._samples)
        index = bisect.bisect_right([sample.stamp for sample in samples], stamp)
        return _interpolate(samples[index - 1], samples[index], stamp)


def _interpolate(before: _Sample, after: _Sample, stamp: int) -> np.ndarray:
    """Interpolate, or extrapolate after ``after``: position linearly, rotation along the shortest arc."""
    fraction = (stamp - before.stamp) / (after.stamp - before.stamp)
    position = before.position + fraction * (after.position - before.position)
    return pose_matrix(position.tolist(), _slerp(before.quaternion, after.quaternion, fraction))


def _slerp(start: np.ndarray, end: np.ndarray, fraction: float) -> List[float]:
    """Spherical linear interpolation (Shoemake, 1985)."""
    cosine = float(start @ end)
    if cosine < 0:
        end, cosine = -end, -cosine
    angle = math.acos(min(cosine, 1.0))
    if angle < 1e-6:
        result = start + fraction * (end - start)
    else:
        result = (math.sin((1 - fraction) * angle) * start + math.sin(fraction * angle) * end) / math.sin(angle)
    return [float(value) for value in result]


def _normalised(quaternion: Sequence[float]) -> np.ndarray:
    values = np.array(quaternion, np.float64)
    return np.asarray(values / np.linalg.norm(values))


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / NANOSECONDS:.3f}"
