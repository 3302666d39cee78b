"""The course of the street: a smooth centre line, and street coordinates of points on the ground."""

from __future__ import annotations

import math
from typing import NamedTuple, Tuple

import cv2
import numpy as np

BEFORE = 40.0
"""Metres of street behind the start of the drive."""
BEYOND = 130.0
"""Metres of street after the end of the drive, so that the camera still sees a street there."""

_STEP = 0.05  # metres between samples of the centre line
_CELL = 0.5  # metres; side of a cell in the table of nearest samples
_COARSE = 8  # fine cells per side of a coarse cell in the first, exhaustive search
_MARGIN = 60.0  # metres of table around the centre line
_TRANSITION = 6.0  # metres over which the curvature changes: a clothoid
_MAX_HEADING = math.radians(50.0)  # the street never crosses itself
_OFF = 1e3  # metres; offset reported for points outside of the table


class Station(NamedTuple):
    """A point of the centre line: position in metres, heading in radians and curvature in 1/m, in the odom frame."""

    x: float
    y: float
    heading: float
    curvature: float


class Course:
    """A centre line of straights, clothoids and arcs, starting at the origin along x.

    Street coordinates are ``s``, metres along the centre line since the origin, and ``d``, metres to the left of it.

    Args:
        random: source of the turns.
        length: metres of the drive; the street starts ``BEFORE`` it and continues ``BEYOND`` it.
        min_radius: radius of the tightest turn in metres.
        turns: False for a straight street.
    """

    def __init__(self, random: np.random.Generator, length: float, min_radius: float, turns: bool) -> None:
        count = math.ceil((BEFORE + length + BEYOND) / _STEP) + 1
        curvature = _draw_curvature(random, count, min_radius) if turns else np.zeros(count)
        heading = np.concatenate([[0.0], np.cumsum(curvature[:-1] + curvature[1:]) * _STEP / 2])
        middle = (heading[:-1] + heading[1:]) / 2
        x = np.concatenate([[0.0], np.cumsum(np.cos(middle))]) * _STEP
        y = np.concatenate([[0.0], np.cumsum(np.sin(middle))]) * _STEP
        start = round(BEFORE / _STEP)
        self.first_s = -start * _STEP
        self.last_s = self.first_s + (count - 1) * _STEP
        self._s = self.first_s + np.arange(count) * _STEP
        self._line = np.stack([x - x[start], y - y[start], heading, curvature], axis=1)
        self._rows = np.stack([x - x[start], y - y[start], np.cos(heading), np.sin(heading), curvature], axis=1).astype(
            np.float32
        )
        self.lower = self._line[:, :2].min(axis=0) - _MARGIN
        self.upper = self._line[:, :2].max(axis=0) + _MARGIN
        self._nearest = self._make_table()

    def station(self, s: float) -> Station:
        """Return the point ``s`` metres along the centre line, clipped to its ends."""
        return Station(*(float(np.interp(s, self._s, column)) for column in self._line.T))

    def point(self, s: float, d: float) -> Tuple[float, float]:
        """Return (x, y) in the odom frame of the point at street coordinates ``s`` and ``d``."""
        place = self.station(s)
        return place.x - d * math.sin(place.heading), place.y + d * math.cos(place.heading)

    def locate(self, x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Convert points of the ground to street coordinates; the error is below 0.1 mm within 15 m of the centre line.

        Args:
            x: (N,) float32 metres in the odom frame.
            y: (N,) float32.

        Returns:
            (N,) float32 ``s`` and (N,) float32 ``d``. Beyond its ends the street continues straight. For points more
            than about 60 m from the street, ``d`` is 1000 m to either side.
        """
        rows, columns = self._nearest.shape
        column = np.clip(((x - np.float32(self.lower[0])) * np.float32(1 / _CELL)), 0, columns - 1).astype(np.int32)
        row = np.clip(((y - np.float32(self.lower[1])) * np.float32(1 / _CELL)), 0, rows - 1).astype(np.int32)
        index = self._nearest.ravel().take(row * columns + column)
        along, across, curvature = self._relative(x, y, index)
        squeeze = np.maximum(1 - curvature * across, np.float32(0.05))
        interior = (index > 0) & (index < len(self._rows) - 1)
        s = np.float32(self.first_s) + index * np.float32(_STEP)
        s += np.where(interior, along / squeeze, along)
        # The nearest sample can be a cell away, where the street has left its tangent by k a^2 / 2.
        d = np.where(interior, across - curvature * along * along / (2 * squeeze), across)
        lost = interior & (np.abs(along) > 4 * _CELL)
        d[lost] = np.copysign(np.float32(_OFF), across[lost])
        return s, d

    def _relative(self, x: np.ndarray, y: np.ndarray, index: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return metres along and to the left of the tangent at samples of the centre line, and the curvature there."""
        rows = self._rows.take(index, axis=0)
        east, north = x - rows[:, 0], y - rows[:, 1]
        return east * rows[:, 2] + north * rows[:, 3], north * rows[:, 2] - east * rows[:, 3], rows[:, 4]

    def _make_table(self) -> np.ndarray:
        """Return (rows, columns) int32: index of the sample nearest to each cell's centre.

        An exhaustive search over every tenth sample finds it for coarse cells, and Newton's method refines it for fine
        cells.
        """
        columns, rows = (np.ceil((self.upper - self.lower) / (_CELL * _COARSE))).astype(int) + 1
        sparse = self._rows[::10, :2]
        coarse_x = self.lower[0] + (np.arange(columns) + 0.5) * _CELL * _COARSE
        coarse = np.empty((rows, columns), np.float32)
        for row in range(rows):
            y = self.lower[1] + (row + 0.5) * _CELL * _COARSE
            square = (coarse_x[:, None] - sparse[None, :, 0]) ** 2 + (y - sparse[None, :, 1]) ** 2
            coarse[row] = 10.0 * square.argmin(axis=1)
        size = (int(columns) * _COARSE, int(rows) * _COARSE)
        index = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR).ravel()
        across, up = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
        x = ((across + np.float32(0.5)) * np.float32(_CELL) + np.float32(self.lower[0])).ravel()
        y = ((up + np.float32(0.5)) * np.float32(_CELL) + np.float32(self.lower[1])).ravel()
        last = len(self._rows) - 1
        found = index.astype(np.int32)
        for _ in range(4):
            along, across, curvature = self._relative(x, y, found)
            step = along / np.maximum(1 - curvature * across, np.float32(0.2)) / np.float32(_STEP)
            found = np.clip(np.rint(found + step), 0, last).astype(np.int32)
        return np.ascontiguousarray(found.reshape(size[1], size[0]))


def _draw_curvature(random: np.random.Generator, count: int, min_radius: float) -> np.ndarray:
    """Return (count,) float64 curvature in 1/m at each sample: straights and arcs, joined by linear ramps."""
    curvature = np.zeros(count)
    position, heading = round((BEFORE + random.uniform(4.0, 14.0)) / _STEP), 0.0
    while position < count:
        target = random.uniform(-_MAX_HEADING, _MAX_HEADING)
        if abs(target - heading) < math.radians(15.0):
            target = heading - math.copysign(random.uniform(math.radians(20.0), _MAX_HEADING), heading or target)
        radius = min_radius * random.uniform(1.0, 2.2)
        arc = max(round(abs(target - heading) * radius / _STEP), 1)
        curvature[position : position + arc] = (target - heading) / (arc * _STEP)
        heading = target
        position += arc + round((_TRANSITION + random.uniform(4.0, 22.0)) / _STEP)
    width = round(_TRANSITION / _STEP)
    return np.convolve(curvature, np.full(width, 1.0 / width), mode="same")
