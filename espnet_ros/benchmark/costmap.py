"""Time labels to costmap messages."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Tuple

import numpy as np

from espnet_ros.benchmark.interleaved import Timing, measure_interleaved
from espnet_ros.classes import ClassTable, load_class_table
from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.costmap import Costmap, CostmapSettings
from espnet_ros.costmap.layers import layers_from_table
from espnet_ros.costmap.pose import mount_matrix
from espnet_ros.headers import NANOSECONDS
from espnet_ros.types import ImageSize

LABEL_SIZE = ImageSize(512, 1024)
CAMERA = CameraModel(LABEL_SIZE, 560.0, 560.0, 511.5, 255.5)
CAMERA_HEIGHT = 1.4  # m
_PERIOD = NANOSECONDS // 20

MessageBuilder = Callable[[Costmap, int], Any]


def measure_costmap(build_messages: MessageBuilder, rounds: int) -> Dict[str, Timing]:
    """Time one frame of 8 layers of 200x200 cells, from labels to messages, while the robot drives.

    Args:
        build_messages: builds all messages of a costmap at a stamp.
        rounds: counted frames.

    Returns:
        Timing with the camera fixed to the robot ("table warm"), and with the camera moving on the robot every frame.
    """
    table = load_class_table("cityscapes")
    return measure_interleaved(
        {
            "table warm": _Frames(table, build_messages, sway=0.0),
            "camera moves every frame": _Frames(table, build_messages, sway=math.radians(2.0)),
        },
        rounds,
    )


class _Frames:
    """A drive; each call processes the next frame."""

    def __init__(self, table: ClassTable, build_messages: MessageBuilder, sway: float) -> None:
        settings = CostmapSettings(size=(20.0, 20.0), resolution=0.1)
        self._costmap = Costmap(layers_from_table(table), settings)
        self._labels = street_labels(table)
        self._build_messages = build_messages
        self._sway = sway
        self._count = 0

    def __call__(self) -> None:
        self._count += 1
        pitch = 0.05 + self._sway * math.sin(self._count)
        mount = mount_matrix(0.3, 0.0, CAMERA_HEIGHT, 0.0, pitch, 0.0)
        stamp = self._count * _PERIOD
        self._costmap.update(self._labels, None, CAMERA, mount, _drive(self._count), stamp)
        self._build_messages(self._costmap, stamp)


def _drive(count: int) -> np.ndarray:
    """Return the (4, 4) pose of a robot that drives 10 cm per frame along a circle with a radius of 30 m."""
    angle = count * 0.1 / 30.0
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    pose[:2, 3] = 30.0 * math.sin(angle), 30.0 * (1 - math.cos(angle))
    return pose


def street_labels(table: ClassTable) -> np.ndarray:
    """Return (512, 1024) uint8 labels of a street that contains every layer of a Cityscapes table."""
    ids = {name: class_id for class_id, name in enumerate(table.names)}
    rows, columns = np.mgrid[0 : LABEL_SIZE.height, 0 : LABEL_SIZE.width].astype(np.float64)
    horizon = 240.0
    with np.errstate(divide="ignore"):
        sideways = np.abs(columns - CAMERA.cx) / np.maximum(rows - horizon, 1e-3) * CAMERA_HEIGHT
    labels = np.full(LABEL_SIZE, ids["terrain"], np.uint8)
    labels[sideways < 6.0] = ids["sidewalk"]
    labels[sideways < 3.5] = ids["road"]
    labels[rows < horizon + 12] = ids["building"]
    labels[rows < 100] = ids["sky"]
    things: Tuple[Tuple[str, slice, slice], ...] = (
        ("car", slice(230, 330), slice(380, 500)),
        ("person", slice(200, 360), slice(640, 680)),
        ("pole", slice(60, 300), slice(760, 770)),
        ("vegetation", slice(120, 290), slice(120, 260)),
    )
    for name, tall, wide in things:
        labels[tall, wide] = ids[name]
    return labels
