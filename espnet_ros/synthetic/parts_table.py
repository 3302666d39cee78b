"""The parts of a street as arrays, and the image regions in which a camera may see them."""

from __future__ import annotations

import math
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.synthetic.light import Light
from espnet_ros.synthetic.solids import Part, Shape, StandingObject

_NEAR = 0.02  # metres in front of the camera at which edges that lead behind it are clipped
_SMALL_RANGE = 90.0  # metres up to which parts lower than _TALL are drawn
_TALL = 3.0
_LARGE_RANGE = 170.0
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1])
_FACES = 5


class PixelWindow(NamedTuple):
    """Pixels in which a part may be visible: rows [top, bottom), columns [left, right). ``distance`` is in metres."""

    part: int
    distance: float
    top: int
    bottom: int
    left: int
    right: int


class PartsTable:
    """All parts of a street as arrays of length P.

    Attributes:
        parts: the parts, in the order of the arrays.
        object_ids: (P,) int32.
        class_ids: (P,) uint8.
        shades: (P, 5) float32 brightness of the front, back, left (+y), right and top faces.
        middles: (P, 2) float64 centres in metres in the odom frame.
        faces_camera: (P,) bool, True for cylinders and billboards.
    """

    def __init__(self, objects: Sequence[StandingObject], light: Light) -> None:
        self.parts: List[Part] = [part for standing in objects for part in standing.parts]
        owners = [standing for standing in objects for _ in standing.parts]
        self.object_ids = np.array([owner.id for owner in owners], np.int32)
        self.class_ids = np.array([owner.class_id for owner in owners], np.uint8)
        self.shades = np.array([_face_shades(part, light) for part in self.parts], np.float32).reshape(-1, _FACES)
        self.middles = np.array([(part.x, part.y) for part in self.parts]).reshape(-1, 2)
        self.faces_camera = self._column("shape", np.int32) % 2 == 1
        self.is_box = self._column("shape", np.int32) == Shape.BOX
        self.yaws = self._column("yaw", np.float64)
        self.half = np.stack([self._column("half_x", np.float32), self._column("half_y", np.float32)], axis=1)
        self.taper = np.stack([self._column("taper_x", np.float32), self._column("taper_y", np.float32)], axis=1)
        self.bottom, self.top = self._column("bottom", np.float32), self._column("top", np.float32)
        tiles = [
            (p.front, p.front if turns else p.back, p.side, p.side, p.roof)
            for p, turns in zip(self.parts, self.faces_camera)
        ]
        self.tiles = np.array(tiles, np.int32).reshape(-1, _FACES)
        self.low, self.low_height = self._column("low", np.int32), self._column("low_height", np.float32)
        tall = self.top - self.bottom
        floor, span = self._column("tile_height", np.float32), self._column("tile_width", np.float32)
        self.tile_height = np.where(floor > 0, floor, tall).astype(np.float32)
        across = 2 * np.where(self.is_box[:, None], self.half[:, ::-1], self.half[:, :1])
        self.tile_width = np.where(span[:, None] > 0, span[:, None], np.maximum(across, 1e-3)).astype(np.float32)
        self._reach = np.hypot(self.half[:, 0], np.where(self.faces_camera, 0.0, self.half[:, 1]))
        self._limit = np.where(self.top >= _TALL, _LARGE_RANGE, _SMALL_RANGE)

    def _column(self, name: str, dtype: type) -> np.ndarray:
        return np.array([getattr(part, name) for part in self.parts], dtype)

    def directions(self, eye: np.ndarray) -> np.ndarray:
        """Return (P, 2) float32 cosine and sine of the direction of each part's x axis, seen from ``eye``."""
        away = self.middles - eye[:2]
        turned = np.arctan2(away[:, 1], away[:, 0]) - math.pi / 2
        yaw = np.where(self.faces_camera, turned, self.yaws)
        return np.stack([np.cos(yaw), np.sin(yaw)], axis=1).astype(np.float32)

    def windows(self, lens: Lens, odom_from_camera: np.ndarray, directions: np.ndarray) -> List[PixelWindow]:
        """Return the windows of the parts that may be visible, nearest first."""
        eye = odom_from_camera[:3, 3]
        away = self.middles - eye[:2]
        distance = np.maximum(np.hypot(away[:, 0], away[:, 1]) - self._reach, 0.0)
        near = np.flatnonzero(distance < self._limit)
        corners = self._corners(near, directions[near]) - eye
        bounds = lens.bounds(corners @ odom_from_camera[:3, :3])
        shown = (bounds[:, 1] > bounds[:, 0]) & (bounds[:, 3] > bounds[:, 2])
        order = np.flatnonzero(shown)[np.argsort(distance[near][shown], kind="stable")]
        picked = near[order]
        return [
            PixelWindow(index, reach, *box)
            for index, reach, box in zip(picked.tolist(), distance[picked].tolist(), bounds[order].tolist())
        ]

    def _corners(self, near: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(N, 8, 3) corners of the parts' bounding boxes in the odom frame."""
        cos, sin = directions[:, :1], directions[:, 1:]
        along, across = self.half[near, :1], self.half[near, 1:]
        signs = np.array([(x, y) for x in (-1, 1) for y in (-1, 1)], np.float32)
        x = self.middles[near, :1] + cos * along * signs[:, 0] - sin * across * signs[:, 1]
        y = self.middles[near, 1:] + sin * along * signs[:, 0] + cos * across * signs[:, 1]
        corners = np.empty((len(near), 2, 4, 3))
        corners[..., 0], corners[..., 1] = x[:, None], y[:, None]
        corners[:, 0, :, 2], corners[:, 1, :, 2] = self.bottom[near, None], self.top[near, None]
        return corners.reshape(-1, 8, 3)


class Lens:
    """Finds the rows and columns of an image that see a direction, from the pixels' rays: exact for any distortion."""

    def __init__(self, camera: CameraModel) -> None:
        rays = camera.rays().astype(np.float64)
        forward = rays[..., 2]
        self._sees_behind = bool((forward <= 1e-3).any())
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.where(forward > 1e-3, rays[..., 0] / forward, np.nan)
            v = np.where(forward > 1e-3, rays[..., 1] / forward, np.nan)
        self._column_low, self._column_high = _span(u, 0)
        self._row_low, self._row_high = _span(v, 1)

    def bounds(self, corners: np.ndarray) -> np.ndarray:
        """Return the pixel bounds of boxes.

        Args:
            corners: (N, 8, 3) corners in the optical frame.

        Returns:
            (N, 4) int: top, bottom, left, right; an empty range if the box is not visible.
        """
        ends = corners[:, _EDGES]
        z = ends[..., 2]
        crosses = (z[..., 0] > _NEAR) != (z[..., 1] > _NEAR)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (_NEAR - z[..., 0]) / (z[..., 1] - z[..., 0])
            cuts = ends[..., 0, :] + share[..., None] * (ends[..., 1, :] - ends[..., 0, :])
            points = np.concatenate([corners, np.where(crosses[..., None], cuts, np.nan)], axis=1)
            front = points[..., 2] >= _NEAR * 0.999
            flat = np.where(front[..., None], points[..., :2] / points[..., 2:], np.nan)
        low = np.min(np.where(np.isnan(flat), np.inf, flat), axis=1)
        high = np.max(np.where(np.isnan(flat), -np.inf, flat), axis=1)
        left, right = _first_and_last(self._column_low, self._column_high, low[:, 0], high[:, 0])
        top, bottom = _first_and_last(self._row_low, self._row_high, low[:, 1], high[:, 1])
        bounds = np.stack([top, bottom, left, right], axis=1)
        if self._sees_behind:
            bounds[~front[:, :8].all(axis=1)] = (0, len(self._row_low), 0, len(self._column_low))
        return bounds


def _span(values: np.ndarray, axis: int) -> Tuple[np.ndarray, np.ndarray]:
    low = np.min(np.where(np.isnan(values), np.inf, values), axis=axis)
    high = np.max(np.where(np.isnan(values), -np.inf, values), axis=axis)
    return low, high


def _first_and_last(
    line_low: np.ndarray, line_high: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the half-open range of rows (or columns) whose rays reach into [low, high]; 0, 0 if none does."""
    slack = 1e-6
    hit = (line_high[None] >= low[:, None] - slack) & (line_low[None] <= high[:, None] + slack)
    found = hit.any(axis=1)
    first = np.where(found, hit.argmax(axis=1), 0)
    last = np.where(found, hit.shape[1] - hit[:, ::-1].argmax(axis=1), 0)
    return first, last


def _face_shades(part: Part, light: Light) -> List[float]:
    roof = light.brightness(0.0, upwards=True)
    if part.shape is Shape.BOX:
        return [light.brightness(part.yaw + turn) for turn in (0.0, math.pi, math.pi / 2, -math.pi / 2)] + [roof]
    if part.shape is Shape.PANEL:
        return [light.brightness(part.yaw + math.pi / 2), light.brightness(part.yaw - math.pi / 2)] + [roof] * 3
    return [(light.brightness(light.sun_azimuth) + light.brightness(light.sun_azimuth + math.pi)) / 2] * 4 + [roof]
