"""Ground truth on the ground plane: cells covered by footprints, and visible contacts of objects with the ground."""

from __future__ import annotations

import math
from typing import Dict, Tuple

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.synthetic.solids import Shape, StandingObject

_SPACING = 0.04  # metres between points on a rim


def cell_centres(
    origin: Tuple[float, float], resolution: float, rows: int, columns: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Return (columns,) x and (rows,) y of the cell centres of an axis-aligned grid, in metres, float64."""
    return origin[0] + (np.arange(columns) + 0.5) * resolution, origin[1] + (np.arange(rows) + 0.5) * resolution


def mark_footprint(grid: np.ndarray, standing: StandingObject, origin: Tuple[float, float], resolution: float) -> None:
    """Set the cells of a (rows, columns) bool grid that a footprint touches, in place."""
    rows, columns = grid.shape
    reach = math.hypot(standing.half_x, 0.0 if standing.is_round else standing.half_y)
    first_column = max(math.floor((standing.x - reach - origin[0]) / resolution), 0)
    last_column = min(math.floor((standing.x + reach - origin[0]) / resolution) + 1, columns)
    first_row = max(math.floor((standing.y - reach - origin[1]) / resolution), 0)
    last_row = min(math.floor((standing.y + reach - origin[1]) / resolution) + 1, rows)
    if first_column >= last_column or first_row >= last_row:
        return
    x, y = cell_centres(origin, resolution, last_row, last_column)
    east = x[None, first_column:] - standing.x
    north = y[first_row:, None] - standing.y
    half = resolution / 2
    if standing.is_round:
        gap_x, gap_y = np.maximum(np.abs(east) - half, 0.0), np.maximum(np.abs(north) - half, 0.0)
        touched = gap_x**2 + gap_y**2 <= standing.half_x**2
    else:
        touched = _touches_rectangle(standing, east, north, half)
    grid[first_row:last_row, first_column:last_column] |= touched


def _touches_rectangle(standing: StandingObject, east: np.ndarray, north: np.ndarray, half: float) -> np.ndarray:
    """Return which cells a rotated rectangle touches, by the separating axis theorem with its four axes."""
    cos, sin = math.cos(standing.yaw), math.sin(standing.yaw)
    shadow = half * (abs(cos) + abs(sin))
    wide = abs(cos) * standing.half_x + abs(sin) * standing.half_y
    high = abs(sin) * standing.half_x + abs(cos) * standing.half_y
    return np.asarray(
        (np.abs(east) <= wide + half)
        & (np.abs(north) <= high + half)
        & (np.abs(east * cos + north * sin) <= standing.half_x + shadow)
        & (np.abs(north * cos - east * sin) <= standing.half_y + shadow)
    )


def ground_contact_points(standing: StandingObject, viewer: Tuple[float, float]) -> np.ndarray:
    """Return (N, 2) float64 points, in metres in the odom frame, where an object's rendered surface meets the ground.

    For boxes and cylinders this is the rim of the footprint; for panels, the line below them. Billboards face
    ``viewer``.
    """
    part = standing.parts[0]
    if part.shape in (Shape.PANEL, Shape.BILLBOARD):
        half, yaw = standing.half_x, standing.yaw
        if part.shape is Shape.BILLBOARD:
            yaw = math.atan2(standing.y - viewer[1], standing.x - viewer[0]) - math.pi / 2
        along = np.linspace(-half, half, max(math.ceil(2 * half / _SPACING), 2))
        return np.stack([standing.x + along * math.cos(yaw), standing.y + along * math.sin(yaw)], axis=1)
    corners = standing.polygon
    following = np.roll(corners, -1, axis=0)
    sides = []
    for start, end in zip(corners, following):
        count = max(math.ceil(float(np.hypot(*(end - start))) / _SPACING), 1)
        sides.append(start + np.arange(count)[:, None] / count * (end - start))
    return np.concatenate(sides)


def visible_contacts(
    objects: Tuple[StandingObject, ...],
    camera: CameraModel,
    odom_from_camera: np.ndarray,
    instances: np.ndarray,
    ranges: np.ndarray,
    max_range: float,
) -> Dict[int, np.ndarray]:
    """Return the points where a view shows objects touching the ground.

    Args:
        objects: objects to look for.
        camera: camera of the view.
        odom_from_camera: (4, 4) pose of its optical frame.
        instances: (H, W) int32 object ids of the view.
        ranges: (H, W) float32 metres along each pixel's ray.
        max_range: maximum distance from the camera along the ground, in metres.

    Returns:
        (N, 2) float64 points in metres in the odom frame, by object id; objects without points are left out.
    """
    eye = odom_from_camera[:3, 3]
    found: Dict[int, np.ndarray] = {}
    for standing in objects:
        if math.hypot(standing.x - eye[0], standing.y - eye[1]) > max_range + standing.half_x + standing.half_y:
            continue
        points = ground_contact_points(standing, (float(eye[0]), float(eye[1])))
        points = points[np.hypot(points[:, 0] - eye[0], points[:, 1] - eye[1]) <= max_range]
        relative = np.column_stack([points, np.zeros(len(points))]) - eye
        pixels = np.nan_to_num(camera.project(relative @ odom_from_camera[:3, :3]), nan=-9.0)
        pixels = np.rint(np.clip(pixels, -9.0, 1e6)).astype(int)
        distance = np.linalg.norm(relative, axis=1)
        seen = np.zeros(len(points), bool)
        for up in (0, 1):  # the pixel of the contact may still show the ground
            for aside in (-1, 0, 1):
                seen |= _shows(standing.id, pixels + np.array([aside, -up]), distance, instances, ranges)
        if seen.any():
            found[standing.id] = points[seen]
    return found


def _shows(
    object_id: int, pixels: np.ndarray, distance: np.ndarray, instances: np.ndarray, ranges: np.ndarray
) -> np.ndarray:
    """Return (N,) bool: whether the pixel (column, row) shows the object at about that distance."""
    height, width = instances.shape
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    columns, rows = np.where(inside, pixels[:, 0], 0), np.where(inside, pixels[:, 1], 0)
    near = np.abs(ranges[rows, columns] - distance) < 0.05 + 0.02 * distance
    return np.asarray(inside & near & (instances[rows, columns] == object_id))
