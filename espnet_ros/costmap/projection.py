"""Where on the ground each pixel lies.

The ground is looked at along straight lines that leave the camera's foot point, one an azimuth, at steps of range. A
vertical edge of a standing thing lies in the vertical plane through one such line whatever the camera's pitch, roll and
lens, so along a line the first pixel of a standing thing behind ground is where it touches the ground. In image columns
that holds only for a camera that is not rolled and has no distortion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.errors import CameraError

MIN_CAMERA_HEIGHT = 0.05  # m
_SAMPLES_PER_CELL = 1.6
"""Along and across a line. Above sqrt(2) no cell falls between the samples."""
_BEYOND_RANGE = 1.25
"""The view reaches further than the cells it fills, to see that what stands there rises above the ground."""
_NO_PIXEL = -1
_MAX_RAY_MISMATCH = 3.0  # pixel
_PIXELS_ASIDE = 1.2
_PLAIN_SLOPE, _STEEPEST_SLOPE = 1.1, 3.5
"""Pixels up for one pixel aside: up to the first, the foot of a standing thing is plain to see; up to the second, it is
told from an upright edge by going on. A wall a metre beside a camera at 2.5 m has 2.5."""
_POSE_TOLERANCE = 1e-4  # m and rad


@dataclass(frozen=True)
class GroundView:
    """The ground as one camera at one place sees it: S ranges by A azimuths.

    Attributes:
        pixel: (S, A) int64: index into the flattened label image; 0 where the image does not show the point.
        hidden: (S, A) bool: whether the image does not show the point.
        x: (S, A) float32, metres forward in the base frame.
        y: (S, A) float32, metres to the left.
        pixels: (S, A) float64: area of the image that a sample stands for, in pixels.
        ranges: (S,) float64, metres from the camera's foot point, increasing.
        reach: number of leading ranges within the maximum range.
        azimuth_step: radians between lines.
        columns_aside: number of azimuths that are at least a pixel apart.
        rows_below: (S,) int64 index of the range that lies a little more pixels lower in the image than that.
        rows_far_below: (S,) int64 index of the range that lies several times as many pixels lower.
        rows_above: (S,) int64 index of the range that lies several times as many pixels higher.
        height: of the camera above the ground, in metres.
        spacing: metres between samples along a line.
    """

    pixel: np.ndarray
    hidden: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixels: np.ndarray
    ranges: np.ndarray
    reach: int
    azimuth_step: float
    columns_aside: int
    rows_below: np.ndarray
    rows_far_below: np.ndarray
    rows_above: np.ndarray
    height: float
    spacing: float

    @property
    def is_empty(self) -> bool:
        """Whether the camera sees no ground within the range."""
        return bool(self.hidden[: self.reach].all())


class GroundProjector:
    """Makes the view of the ground, and makes it again only when the camera or its mount changes.

    Args:
        resolution: side of a costmap cell, in metres.
        min_range: ground nearer to the camera's foot point than this is left out, in metres.
        max_range: ground further away is left out, in metres.
    """

    def __init__(self, resolution: float, min_range: float, max_range: float) -> None:
        self.resolution = resolution
        self.min_range = min_range
        self.max_range = max_range
        self.rebuilds = 0
        self._key: Optional[Tuple[CameraModel, np.ndarray]] = None
        self._view: Optional[GroundView] = None

    def view(self, camera: CameraModel, base_from_camera: np.ndarray) -> GroundView:
        """The ground as seen by a camera.

        Args:
            camera: intrinsics, at the label image's size.
            base_from_camera: (4, 4) pose of the optical frame in the base frame, whose plane z = 0 is the ground.

        Raises:
            CameraError: the pose is not finite or no pose, or the camera is not above the ground.
        """
        pose = np.asarray(base_from_camera, np.float64)
        if self._view is not None and self._key is not None:
            known_camera, known_pose = self._key
            if known_camera == camera and np.abs(known_pose - pose).max() < _POSE_TOLERANCE:
                return self._view
        check_pose(pose)
        self._view = build_view(camera, pose, self.resolution, self.min_range, self.max_range)
        self._key = (camera, pose.copy())
        self.rebuilds += 1
        return self._view


def check_pose(pose: np.ndarray) -> None:
    """Refuse what is no rigid (4, 4) pose.

    Raises:
        CameraError: wrong shape, not finite, or its rotation is none.
    """
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise CameraError(f"camera pose must be a finite 4x4 matrix, is {pose.tolist()}")
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3:
        raise CameraError("camera pose must have a rotation, has a matrix that is none")


def build_view(
    camera: CameraModel, base_from_camera: np.ndarray, resolution: float, min_range: float, max_range: float
) -> GroundView:
    """Compute the view of the ground; see ``GroundProjector.view``."""
    height = float(base_from_camera[2, 3])
    if height < MIN_CAMERA_HEIGHT:
        raise CameraError(f"camera must be at least {MIN_CAMERA_HEIGHT} m above the ground, is at {height:.3f} m")
    spacing = resolution / _SAMPLES_PER_CELL
    ranges = np.arange(min_range, max_range * _BEYOND_RANGE, spacing) + spacing / 2
    rotation = base_from_camera[:3, :3]
    azimuths = _list_azimuths(camera, rotation, height, ranges, spacing / max_range)
    cosine, sine = np.cos(azimuths), np.sin(azimuths)
    # ground points relative to the camera, in the optical frame: (S, A, 3)
    offsets = np.empty((len(ranges), len(azimuths), 3))
    offsets[..., 0] = ranges[:, None] * cosine
    offsets[..., 1] = ranges[:, None] * sine
    offsets[..., 2] = -height
    seen = offsets.reshape(-1, 3) @ rotation  # rows times R is R transposed times columns
    position = camera.project(seen).reshape(len(ranges), len(azimuths), 2)
    pixel = _nearest_pixel(camera, seen, position)
    hidden = pixel == _NO_PIXEL
    focal = min(camera.fx, camera.fy)
    step = spacing / max_range
    columns_aside = int(np.ceil(_PIXELS_ASIDE / (step * focal)))
    # an angle downwards, seen from the camera, is so many metres along the ground
    metres_aside = max(columns_aside * step, _PIXELS_ASIDE / focal) * (ranges**2 + height**2) / height
    return GroundView(
        pixel=np.where(hidden, 0, pixel),
        hidden=hidden,
        x=(offsets[..., 0] + base_from_camera[0, 3]).astype(np.float32),
        y=(offsets[..., 1] + base_from_camera[1, 3]).astype(np.float32),
        pixels=np.where(hidden, 0.0, _area_of(position)),
        ranges=ranges,
        azimuth_step=step,
        columns_aside=columns_aside,
        rows_below=_rows_at(ranges, ranges - _PLAIN_SLOPE * metres_aside),
        rows_far_below=_rows_at(ranges, ranges - _STEEPEST_SLOPE * metres_aside),
        rows_above=_rows_at(ranges, ranges + _STEEPEST_SLOPE * metres_aside),
        reach=int(np.searchsorted(ranges, max_range)),
        height=height,
        spacing=spacing,
    )


def _rows_at(ranges: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(S,) int64 index of the range next to each of those wanted, within the view."""
    return np.asarray(np.clip(np.searchsorted(ranges, wanted), 0, len(ranges) - 1))


def _list_azimuths(
    camera: CameraModel, rotation: np.ndarray, height: float, ranges: np.ndarray, step: float
) -> np.ndarray:
    """Azimuths that cover the ground in view, evenly spaced; none where the camera sees none of it."""
    rays = camera.rays()
    rows = np.unique(np.append(np.arange(0, rays.shape[0], 4), rays.shape[0] - 1))
    columns = np.unique(np.append(np.arange(0, rays.shape[1], 4), rays.shape[1] - 1))
    directions = rays[np.ix_(rows, columns)].reshape(-1, 3).astype(np.float64) @ rotation.T
    steepness = np.divide(
        -directions[:, 2],
        np.hypot(directions[:, 0], directions[:, 1]),
        out=np.full(len(directions), np.nan),
        where=np.abs(directions[:, :2]).max(axis=1) > 1e-9,
    )
    # a row of pixels more than is needed: the nearest sampled ray may lie above the furthest ground in view
    hits = steepness > height / ranges[-1] - 4.0 / camera.fy
    if not hits.any():
        return np.empty(0)
    forward = rotation @ np.array([0.0, 0.0, 1.0])
    heading = np.arctan2(forward[1], forward[0])
    azimuth = np.arctan2(directions[hits, 1], directions[hits, 0]) - heading
    azimuth = (azimuth + np.pi) % (2 * np.pi) - np.pi
    low, high = azimuth.min() - step, azimuth.max() + step
    count = int(min(np.ceil((high - low) / step), np.floor(2 * np.pi / step)))
    return np.asarray(heading + low + step * (np.arange(count) + 0.5))


def _nearest_pixel(camera: CameraModel, seen: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(S, A) index of the pixel that shows each point, -1 where none does."""
    height, width = camera.size
    shape = position.shape[:2]
    rounded = np.full((*shape, 2), -1, np.int64)
    np.copyto(rounded, np.rint(np.nan_to_num(position, nan=-1.0).clip(-1, 1 << 20)).astype(np.int64))
    column, row = rounded[..., 0], rounded[..., 1]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = np.where(inside, row * width + column, _NO_PIXEL)
    if camera.distortion:
        # beyond the field it was fitted in, a distortion polynomial can fold points back into the image
        flat = pixel.reshape(-1)
        shown = np.flatnonzero(flat >= 0)
        expected = seen[shown] / np.linalg.norm(seen[shown], axis=1, keepdims=True)
        cosine = np.einsum("ij,ij->i", camera.rays().reshape(-1, 3)[flat[shown]], expected)
        matches = cosine >= np.cos(_MAX_RAY_MISMATCH / min(camera.fx, camera.fy))
        flat[shown[~matches]] = _NO_PIXEL  # NaN, a pixel without a ray, matches nothing
    return pixel


def _area_of(position: np.ndarray) -> np.ndarray:
    """(S, A) image area of each sample, in pixels: the determinant of the map's derivative."""
    if min(position.shape[:2]) < 2:
        return np.zeros(position.shape[:2])
    along, across = np.gradient(position, axis=0), np.gradient(position, axis=1)
    area = np.abs(along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0])
    return np.asarray(np.nan_to_num(area))
