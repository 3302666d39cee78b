"""Brightness of the ground: shadows of objects, and the dark rim where they touch the ground."""

from __future__ import annotations

import math
from typing import Optional, Sequence

import cv2
import numpy as np

from espnet_ros.synthetic.classes import SIGN
from espnet_ros.synthetic.ground import sample_bilinear
from espnet_ros.synthetic.light import Light
from espnet_ros.synthetic.solids import Shape, StandingObject
from espnet_ros.synthetic.textures import value_noise

_CELL = 0.2  # metres
_SUBCELL_BITS = 4


class ShadowMap:
    """Brightness of the ground on a grid in the odom frame.

    Args:
        random: source of the uneven brightness.
        light: light of the street.
        objects: objects that cast shadows.
        lower: (2,) x and y of the lower corner of the grid, in metres.
        upper: (2,) x and y of the opposite corner.
    """

    def __init__(
        self,
        random: np.random.Generator,
        light: Light,
        objects: Sequence[StandingObject],
        lower: np.ndarray,
        upper: np.ndarray,
    ) -> None:
        self._lower = lower
        columns, rows = np.ceil((upper - lower) / _CELL).astype(int)
        cast = np.full((rows, columns), 255, np.uint8)
        touch = np.full((rows, columns), 255, np.uint8)
        slope = min(1.0 / math.tan(light.sun_elevation), 2.5)
        away = -slope * np.array([math.cos(light.sun_azimuth), math.sin(light.sun_azimuth)])
        dark = round(255 * light.shadow)
        for standing in objects:
            if standing.class_id == SIGN:
                continue
            self._fill(touch, standing.polygon, 120)
            tall = standing.parts[0].top
            for base in (0.0, 1.0):
                self._fill(cast, standing.polygon + base * away * tall, dark, standing.polygon)
            for part in standing.parts[1:]:
                if part.shape is Shape.BILLBOARD:
                    angles = np.arange(14) * (math.tau / 14)
                    middle = np.array([part.x, part.y]) + away * (part.bottom + part.top) / 2
                    disc = middle + 0.85 * part.half_x * np.stack([np.cos(angles), np.sin(angles)], axis=1)
                    self._fill(cast, disc, dark)
        cast = cv2.GaussianBlur(cast, (0, 0), 0.8)
        touch = cv2.GaussianBlur(touch, (0, 0), 1.6)
        patches = 0.9 + 0.2 * value_noise(random, (rows, columns), (max(rows // 30, 1), max(columns // 30, 1)))
        self._map = (cast * (1 / 255.0) * touch * (1 / 255.0) * patches).astype(np.float32)

    def sample(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return (N,) float32 brightness, 0..1.1, at points in metres in the odom frame."""
        column = (x - np.float32(self._lower[0])) * np.float32(1 / _CELL) - np.float32(0.5)
        row = (y - np.float32(self._lower[1])) * np.float32(1 / _CELL) - np.float32(0.5)
        return sample_bilinear(self._map, row, column)

    def _fill(self, canvas: np.ndarray, points: np.ndarray, value: int, more: Optional[np.ndarray] = None) -> None:
        """Fill the convex hull of points in the odom frame."""
        if more is not None:
            points = np.concatenate([points, more])
        cells = ((points - self._lower) / _CELL - 0.5) * (1 << _SUBCELL_BITS)
        hull = cv2.convexHull(np.rint(cells).astype(np.int32))
        cv2.fillConvexPoly(canvas, hull, (value,), cv2.LINE_AA, _SUBCELL_BITS)
