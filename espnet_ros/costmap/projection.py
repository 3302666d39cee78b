"""Maps pixels to points on the ground.

The ground is sampled in polar coordinates around the point below the camera: straight lines, one per azimuth, with
samples at regular ranges. A vertical edge of an object lies in the vertical plane through one such line, whatever the
camera's pitch, roll and lens distortion. Along a line, the first standing sample after ground is therefore where the
object touches the ground. Along image columns this holds only for a camera without roll and distortion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.errors import CameraError

MIN_CAMERA_HEIGHT = 0.05  # m
_SAMPLES_PER_CELL = 1.6
"""Samples per cell side, along and across the lines. Above sqrt(2), no cell falls between the samples."""
_RANGE_MARGIN = 1.25
"""Factor by which the view extends beyond the maximum range, to check that obstacles there rise above the ground."""
_NO_PIXEL = -1
_MAX_RAY_MISMATCH = 3.0  # pixel
_PIXELS_ASIDE = 1.2
_PLAIN_SLOPE, _STEEPEST_SLOPE = 1.1, 3.5
"""Pixels up per pixel to the side. Up to the first slope, an edge is the foot of an object. Up to the second, it is a
foot if it continues further up, otherwise an upright edge. A wall 1 m beside a camera at a height of 2.5 m has slope
2.5."""
_POSE_TOLERANCE = 1e-4  # m and rad


@dataclass(frozen=True)
class GroundView:
    """Samples of the ground for one camera pose: S ranges (rows) by A azimuths (columns).

    Attributes:
        pixel: (S, A) int64: index into the flattened label image; 0 if the point is outside the image.
        hidden: (S, A) bool: whether the point is outside the image.
        x: (S, A) float32: metres forward in the base frame.
        y: (S, A) float32: metres to the left.
        pixel_area: (S, A) float64: image area that a sample represents, in pixels.
        ranges: (S,) float64: metres from the point below the camera, increasing.
        range_count: number of leading ranges within the maximum range.
        azimuth_step: radians between lines.
        columns_aside: number of columns that spans just over one pixel to the side.
        rows_below: (S,) int64: row that is slightly more pixels lower in the image than ``columns_aside`` spans.
        rows_far_below: (S,) int64: row that is several times as many pixels lower.
        rows_above: (S,) int64: row that is several times as many pixels higher.
        height: height of the camera above the ground, in metres.
        spacing: metres between samples along a line.
    """

    pixel: np.ndarray
    hidden: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel_area: np.ndarray
    ranges: np.ndarray
    range_count: int
    azimuth_step: float
    columns_aside: int
    rows_below: np.ndarray
    rows_far_below: np.ndarray
    rows_above: np.ndarray
    height: float
    spacing: float

    @property
    def is_empty(self) -> bool:
        """Whether no ground within the maximum range is in the image."""
        return bool(self.hidden[: self.range_count].all())


class GroundProjector:
    """Computes the ground view, and reuses it until the camera or its mount changes.

    Args:
        resolution: side length of a costmap cell, in metres.
        min_range: ignore ground nearer to the point below the camera than this, in metres.
        max_range: ignore ground further away than this, in metres.

    Attributes:
        rebuilds: how many times the view has been computed.
    """

    def __init__(self, resolution: float, min_range: float, max_range: float) -> None:
        self.resolution = resolution
        self.min_range = min_range
        self.max_range = max_range
        self.rebuilds = 0
        self._key: Optional[Tuple[CameraModel, np.ndarray]] = None
        self._view: Optional[GroundView] = None

    def view(self, camera: CameraModel, base_from_camera: np.ndarray) -> GroundView:
        """Return the ground view of a camera.

        Args:
            camera: intrinsics, at the size of the label image.
            base_from_camera: (4, 4) pose of the optical frame in the base frame. The ground is the base's plane z = 0.

        Raises:
            CameraError: the pose is not a finite rigid transform, or the camera is less than 0.05 m above the ground.
        """
        pose = np.asarray(base_from_camera, np.float64)
        if self._view is not None and self._key is not None:
            last_camera, last_pose = self._key
            if last_camera == camera and np.abs(last_pose - pose).max() < _POSE_TOLERANCE:
                return self._view
        check_pose(pose)
        self._view = build_view(camera, pose, self.resolution, self.min_range, self.max_range)
        self._key = (camera, pose.copy())
        self.rebuilds += 1
        return self._view


def check_pose(pose: np.ndarray) -> None:
    """Check that a pose is a (4, 4) rigid transform.

    Raises:
        CameraError: the shape is wrong, a value is not finite, or the upper left 3x3 matrix is not orthogonal.
    """
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise CameraError(f"camera pose must be a finite 4x4 matrix, is {pose.tolist()}")
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3:
        raise CameraError("camera pose must have a rotation matrix, has a matrix that is not orthogonal")


def build_view(
    camera: CameraModel, base_from_camera: np.ndarray, resolution: float, min_range: float, max_range: float
) -> GroundView:
    """Compute the ground view; see ``GroundProjector``."""
    height = float(base_from_camera[2, 3])
    if height < MIN_CAMERA_HEIGHT:
        raise CameraError(f"camera must be at least {MIN_CAMERA_HEIGHT} m above the ground, is at {height:.3f} m")
    spacing = resolution / _SAMPLES_PER_CELL
    ranges = np.arange(min_range, max_range * _RANGE_MARGIN, spacing) + spacing / 2
    rotation = base_from_camera[:3, :3]
    azimuths = _list_azimuths(camera, rotation, height, ranges, spacing / max_range)
    cosine, sine = np.cos(azimuths), np.sin(azimuths)
    # ground points relative to the camera, in the optical frame: (S, A, 3)
    offsets = np.empty((len(ranges), len(azimuths), 3))
    offsets[..., 0] = ranges[:, None] * cosine
    offsets[..., 1] = ranges[:, None] * sine
    offsets[..., 2] = -height
    points = offsets.reshape(-1, 3) @ rotation  # row vectors times R equal R transposed times column vectors
    position = camera.project(points).reshape(len(ranges), len(azimuths), 2)
    pixel = _nearest_pixel(camera, points, position)
    hidden = pixel == _NO_PIXEL
    focal = min(camera.fx, camera.fy)
    step = spacing / max_range
    columns_aside = int(np.ceil(_PIXELS_ASIDE / (step * focal)))
    # metres along the ground that correspond to that angle, measured vertically at the camera
    metres_aside = max(columns_aside * step, _PIXELS_ASIDE / focal) * (ranges**2 + height**2) / height
    return GroundView(
        pixel=np.where(hidden, 0, pixel),
        hidden=hidden,
        x=(offsets[..., 0] + base_from_camera[0, 3]).astype(np.float32),
        y=(offsets[..., 1] + base_from_camera[1, 3]).astype(np.float32),
        pixel_area=np.where(hidden, 0.0, _pixel_area(position)),
        ranges=ranges,
        azimuth_step=step,
        columns_aside=columns_aside,
        rows_below=_rows_at(ranges, ranges - _PLAIN_SLOPE * metres_aside),
        rows_far_below=_rows_at(ranges, ranges - _STEEPEST_SLOPE * metres_aside),
        rows_above=_rows_at(ranges, ranges + _STEEPEST_SLOPE * metres_aside),
        range_count=int(np.searchsorted(ranges, max_range)),
        height=height,
        spacing=spacing,
    )


def _rows_at(ranges: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the (S,) int64 row of the first range at or beyond each target range, clipped to the view."""
    return np.asarray(np.clip(np.searchsorted(ranges, targets), 0, len(ranges) - 1))


def _list_azimuths(
    camera: CameraModel, rotation: np.ndarray, height: float, ranges: np.ndarray, step: float
) -> np.ndarray:
    """Return evenly spaced azimuths, in radians, that cover the visible ground; empty if no ground is visible."""
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
    # with a margin of four pixels, because only every fourth row is sampled
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


def _nearest_pixel(camera: CameraModel, points: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return the (S, A) index of the pixel that shows each point, ``_NO_PIXEL`` if it is outside the image."""
    height, width = camera.size
    shape = position.shape[:2]
    rounded = np.full((*shape, 2), -1, np.int64)
    np.copyto(rounded, np.rint(np.nan_to_num(position, nan=-1.0).clip(-1, 1 << 20)).astype(np.int64))
    column, row = rounded[..., 0], rounded[..., 1]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = np.where(inside, row * width + column, _NO_PIXEL)
    if camera.distortion:
        # outside the field of view it was fitted for, a distortion polynomial can fold points back into the image
        flat = pixel.reshape(-1)
        shown = np.flatnonzero(flat >= 0)
        expected = points[shown] / np.linalg.norm(points[shown], axis=1, keepdims=True)
        cosine = np.einsum("ij,ij->i", camera.rays().reshape(-1, 3)[flat[shown]], expected)
        matches = cosine >= np.cos(_MAX_RAY_MISMATCH / min(camera.fx, camera.fy))
        flat[shown[~matches]] = _NO_PIXEL  # rejects NaN, too: a pixel without a valid ray
    return pixel


def _pixel_area(position: np.ndarray) -> np.ndarray:
    """Return the (S, A) image area of each sample in pixels: the determinant of the projection's Jacobian."""
    if min(position.shape[:2]) < 2:
        return np.zeros(position.shape[:2])
    along, across = np.gradient(position, axis=0), np.gradient(position, axis=1)
    area = np.abs(along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0])
    return np.asarray(np.nan_to_num(area))
