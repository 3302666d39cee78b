"""A flat test scene with known geometry: a straight road, grass on both sides, and boxes on the ground."""

import math
from typing import NamedTuple

import numpy as np

from espnet_ros.classes import parse_class_table
from espnet_ros.costmap.pose import mount_matrix

ROAD, GRASS, BOX, PERSON, SKY = range(5)
TABLE = parse_class_table(
    {
        "classes": [
            {"id": ROAD, "name": "road", "color": [0, 0, 0], "ground": "flat", "cost": 0},
            {"id": GRASS, "name": "grass", "color": [0, 0, 0], "ground": "flat", "cost": 50},
            {"id": BOX, "name": "box", "color": [0, 0, 0], "ground": "standing"},
            {"id": PERSON, "name": "person", "color": [0, 0, 0], "ground": "standing"},
            {"id": SKY, "name": "sky", "color": [0, 0, 0]},
        ]
    },
    "scene",
)
ROAD_HALF_WIDTH = 3.0  # m


class Box(NamedTuple):
    """An upright box, metres in the base frame."""

    near: float
    far: float
    right: float
    left: float
    height: float
    label: int = BOX


def mount(height=1.4, pitch=0.0, roll=0.0, yaw=0.0):
    """(4, 4) pose of the camera above the base's origin; angles in degrees, a positive pitch looks down."""
    return mount_matrix(0.0, 0.0, height, math.radians(roll), math.radians(pitch), math.radians(yaw))


def render(camera, base_from_camera, boxes=()):
    """(H, W) uint8 labels, exact at the centre of each pixel."""
    directions = camera.rays().reshape(-1, 3).astype(np.float64) @ base_from_camera[:3, :3].T
    eye = base_from_camera[:3, 3]
    down = np.where(directions[:, 2] < -1e-9, directions[:, 2], -np.inf)
    distance = np.where(np.isfinite(down), -eye[2] / down, np.inf)
    with np.errstate(invalid="ignore"):
        sideways = np.abs(eye[1] + directions[:, 1] * distance)
    labels = np.where(sideways < ROAD_HALF_WIDTH, ROAD, GRASS).astype(np.uint8)
    labels[~np.isfinite(distance)] = SKY
    for box in boxes:
        enter, leave = np.full(len(directions), -np.inf), np.full(len(directions), np.inf)
        sides = ((box.near, box.far), (box.right, box.left), (0.0, box.height))
        for axis, (low, high) in enumerate(sides):
            along = np.where(np.abs(directions[:, axis]) < 1e-12, 1e-12, directions[:, axis])
            first, second = (low - eye[axis]) / along, (high - eye[axis]) / along
            enter, leave = np.maximum(enter, np.minimum(first, second)), np.minimum(leave, np.maximum(first, second))
        hit = (enter <= leave) & (leave > 0) & (enter <= distance + 1e-9)
        labels[hit] = box.label
        distance[hit] = enter[hit]
    return labels.reshape(camera.size)
