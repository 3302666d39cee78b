"""Draw costmaps from above: around the robot, and along a whole route."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import cv2
import numpy as np

from espnet_ros.classes import ClassTable
from espnet_ros.costmap.layers import Layer

UNSEEN = 255
"""Cell that was never seen."""
UNDECIDED = 254
"""Cell that was seen, but where no layer is above 50 percent."""

AHEAD_M, BEHIND_M = 13.0, 2.0
"""Extent of a view around the robot, in metres from the base."""

_GREY = (172, 177, 185)
_INK, _PAPER, _ROUTE = (24, 28, 36), (255, 255, 255), (255, 214, 64)
_RING_STEP_M = 2
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FRACTION_BITS = 4  # of the fixed-point coordinates that OpenCV draws with
_MAP_MARGIN_M = 1.0
_BAR_M = 10


@dataclass(frozen=True)
class ClassGrid:
    """An axis-aligned grid in the odometry frame with one layer per cell.

    Attributes:
        cells: (rows, columns) uint8 index of a layer, ``UNDECIDED`` or ``UNSEEN``; rows go along y.
        origin: (x, y) of the corner of cell (0, 0), in metres, a multiple of the resolution.
        resolution: side of a cell, in metres.
    """

    cells: np.ndarray
    origin: Tuple[float, float]
    resolution: float

    @property
    def first_cell(self) -> Tuple[int, int]:
        """(row, column) of cell (0, 0), counted from the origin of the odometry frame."""
        return round(self.origin[1] / self.resolution), round(self.origin[0] / self.resolution)


def likeliest_layers(percent: np.ndarray, is_standing: Sequence[bool]) -> np.ndarray:
    """Return the cells of a ``ClassGrid``: in each, the most likely layer above 50 percent.

    Standing layers take precedence over the ground below them, as in the merged grid.

    Args:
        percent: (layers, rows, columns) int8 probability 0..100, -1 unknown, as in nav_msgs/OccupancyGrid.
        is_standing: for each layer, whether it stands on the ground.

    Returns:
        (rows, columns) uint8.
    """
    cells = np.where(percent.max(axis=0) < 0, UNSEEN, UNDECIDED).astype(np.uint8)
    for standing in (False, True):
        chosen = np.flatnonzero(np.asarray(is_standing) == standing)
        if chosen.size:
            part = percent[chosen]
            np.copyto(cells, chosen[part.argmax(axis=0)].astype(np.uint8), where=part.max(axis=0) > 50)
    return cells


def layer_colors(layers: Sequence[Layer], table: ClassTable) -> np.ndarray:
    """Return (256, 3) uint8 RGB by cell value: the colour of a layer's first class, grey for all other values."""
    colors = np.full((256, 3), _GREY, np.uint8)
    for index, layer in enumerate(layers):
        colors[index] = table.classes[layer.class_ids[0]].color
    return colors


def ground_points(size: Tuple[int, int], odom_from_base: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the ground position of each pixel of a view around the robot.

    Args:
        size: (height, width) of the view; its top is ahead of the robot.
        odom_from_base: (4, 4) pose of the robot.

    Returns:
        Two (height, width) float64 arrays: x and y in the odometry frame, in metres.
    """
    height, width = size
    scale = height / (AHEAD_M + BEHIND_M)
    forward = AHEAD_M - (np.arange(height)[:, None] + 0.5) / scale
    left = (width / 2 - np.arange(width)[None, :] - 0.5) / scale
    turn, place = odom_from_base[:2, :2], odom_from_base[:2, 3]
    return (
        turn[0, 0] * forward + turn[0, 1] * left + place[0],
        turn[1, 0] * forward + turn[1, 1] * left + place[1],
    )


def draw_around(
    grid: Optional[ClassGrid], odom_from_base: np.ndarray, colors: np.ndarray, size: Tuple[int, int]
) -> np.ndarray:
    """Draw a grid around the robot from above: the robot near the bottom, ahead is up, a ring every 2 m.

    Args:
        grid: None if there is none.
        odom_from_base: (4, 4) pose of the robot.
        colors: (256, 3) uint8 RGB by cell value.
        size: (height, width) of the picture.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    cells = np.full(size, UNSEEN, np.uint8)
    if grid is not None:
        x, y = ground_points(size, odom_from_base)
        rows, columns = grid.cells.shape
        row = np.floor((y - grid.origin[1]) / grid.resolution).astype(int)
        column = np.floor((x - grid.origin[0]) / grid.resolution).astype(int)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        cells[inside] = grid.cells[row[inside], column[inside]]
    picture = np.ascontiguousarray(colors[cells])
    _draw_rings(picture)
    scale = size[0] / (AHEAD_M + BEHIND_M)
    _draw_robot(picture, (size[1] / 2, AHEAD_M * scale), math.pi / 2, 0.55 * scale)
    return picture


def fuse_grids(grids: Sequence[ClassGrid], path: np.ndarray) -> ClassGrid:
    """Merge grids into one, cropped to the seen cells and the path.

    Args:
        grids: at least one, oldest first, of one resolution; each cell takes the newest grid that has seen it.
        path: (N, 2) float64 x and y in metres; points outside the grids are ignored.
    """
    resolution = grids[0].resolution
    first = np.array([grid.first_cell for grid in grids])
    last = first + np.array([grid.cells.shape for grid in grids])
    low = first.min(axis=0)
    cells = np.full(last.max(axis=0) - low, UNSEEN, np.uint8)
    for grid, (row, column) in zip(grids, first - low):
        part = cells[row : row + grid.cells.shape[0], column : column + grid.cells.shape[1]]
        np.copyto(part, grid.cells, where=grid.cells != UNSEEN)
    is_shown = cells != UNSEEN
    places = np.floor(path[:, ::-1] / resolution).astype(int) - low
    places = places[((places >= 0) & (places < cells.shape)).all(axis=1)]
    is_shown[places[:, 0], places[:, 1]] = True
    rows, columns = (_span(is_shown.any(axis=axis), round(_MAP_MARGIN_M / resolution)) for axis in (1, 0))
    origin = (float(low[1] + columns.start) * resolution, float(low[0] + rows.start) * resolution)
    return ClassGrid(cells[rows, columns], origin, resolution)


def _span(is_shown: np.ndarray, margin: int) -> slice:
    """Slice from the first to the last True of (N,) bool, with a margin; everything if none is True."""
    found = np.flatnonzero(is_shown)
    if not found.size:
        return slice(0, len(is_shown))
    return slice(max(0, int(found[0]) - margin), min(len(is_shown), int(found[-1]) + 1 + margin))


def draw_map(
    grid: ClassGrid,
    path: np.ndarray,
    colors: np.ndarray,
    width: int = 1100,
    faded: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Draw a grid with the driven path: x to the right, y up, and a scale bar of 10 m.

    Args:
        grid: to draw.
        path: (N, 2) float64 x and y in metres, in driving order.
        colors: (256, 3) uint8 RGB by cell value.
        width: maximum width in pixels; exceeded only if the grid has more columns.
        faded: (rows, columns) bool, cells to draw paler; None for none.

    Returns:
        (rows x k, columns x k, 3) uint8 RGB, where k is the side of a cell in pixels.
    """
    pixels = colors[grid.cells]
    if faded is not None:
        pixels = np.where(faded[..., None], (pixels * 0.3 + np.array(_GREY) * 0.7).astype(np.uint8), pixels)
    side = max(1, width // grid.cells.shape[1])
    picture = np.ascontiguousarray(pixels[::-1].repeat(side, axis=0).repeat(side, axis=1).astype(np.uint8))
    scale = side / grid.resolution
    x = (path[:, 0] - grid.origin[0]) * scale
    y = picture.shape[0] - (path[:, 1] - grid.origin[1]) * scale
    points = np.stack([x, y], axis=1)
    for color, thickness in ((_INK, 4), (_ROUTE, 2)):
        cv2.polylines(picture, [_fixed(points)], False, color, thickness, cv2.LINE_AA, _FRACTION_BITS)
    cv2.circle(picture, (round(float(x[0])), round(float(y[0]))), 5, _INK, -1, cv2.LINE_AA)
    cv2.circle(picture, (round(float(x[0])), round(float(y[0]))), 3, _ROUTE, -1, cv2.LINE_AA)
    step = points[-1] - points[-2] if len(points) > 1 else np.array([1.0, 0.0])
    _draw_robot(picture, (float(x[-1]), float(y[-1])), math.atan2(-step[1], step[0]), 11.0)
    _draw_bar(picture, scale)
    return picture


def _draw_rings(picture: np.ndarray) -> None:
    """Draw thin circles around the robot, and label every second one with its distance."""
    height, width = picture.shape[:2]
    scale = height / (AHEAD_M + BEHIND_M)
    middle, base = width / 2, AHEAD_M * scale
    rings = picture.copy()
    for distance in range(_RING_STEP_M, int(math.hypot(AHEAD_M, middle / scale)) + 1, _RING_STEP_M):
        center, radius = _fixed(np.array([middle, base])), round(distance * scale * 2**_FRACTION_BITS)
        cv2.circle(rings, (int(center[0]), int(center[1])), radius, _PAPER, 1, cv2.LINE_AA, _FRACTION_BITS)
    cv2.addWeighted(rings, 0.45, picture, 0.55, 0.0, dst=picture)
    size = height / 1000
    for distance in range(2 * _RING_STEP_M, int(AHEAD_M), 2 * _RING_STEP_M):
        place = (round(middle + 4), round(base - distance * scale - 4))
        for color, thickness in ((_INK, 3), (_PAPER, 1)):
            cv2.putText(picture, f"{distance} m", place, _FONT, size, color, thickness, cv2.LINE_AA)


def _draw_robot(picture: np.ndarray, place: Tuple[float, float], heading: float, size: float) -> None:
    """Draw an arrow head at (column, row); the heading is in radians, counter-clockwise from the right."""
    outline = np.array([[1.3, 0.0], [-0.9, 0.85], [-0.45, 0.0], [-0.9, -0.85]]) * size
    cos, sin = math.cos(heading), math.sin(heading)
    turned = np.stack([outline[:, 0] * cos - outline[:, 1] * sin, -outline[:, 0] * sin - outline[:, 1] * cos], axis=1)
    points = [_fixed(turned + np.array(place))]
    cv2.fillPoly(picture, points, _ROUTE, cv2.LINE_AA, _FRACTION_BITS)
    cv2.polylines(picture, points, True, _INK, 2, cv2.LINE_AA, _FRACTION_BITS)


def _draw_bar(picture: np.ndarray, scale: float) -> None:
    """Draw a scale bar of 10 m in the lower left corner."""
    left, bottom, length = 14, picture.shape[0] - 14, round(_BAR_M * scale)
    for color, thickness in ((_INK, 6), (_PAPER, 2)):
        cv2.line(picture, (left, bottom), (left + length, bottom), color, thickness, cv2.LINE_AA)
    for color, thickness in ((_INK, 4), (_PAPER, 1)):
        cv2.putText(picture, f"{_BAR_M} m", (left, bottom - 9), _FONT, 0.5, color, thickness, cv2.LINE_AA)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Convert pixel coordinates to OpenCV's fixed-point numbers, int32."""
    return np.asarray(np.rint(points * 2**_FRACTION_BITS).astype(np.int32))
