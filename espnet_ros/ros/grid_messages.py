"""Conversion of costmap grids and ground contacts to messages."""

from __future__ import annotations

import math
from array import array
from typing import List, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import MapMetaData, OccupancyGrid
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from espnet_ros.classes import FLAT, ClassTable
from espnet_ros.costmap.costmap import Costmap
from espnet_ros.costmap.grid import RollingGrid
from espnet_ros.costmap.layers import GroundEvidence, Layer
from espnet_ros.headers import NANOSECONDS
from espnet_ros.msg import ClassLayer, CostmapLayers

_POINT = np.dtype(
    {
        "names": ["x", "y", "z", "class_id", "confidence"],
        "formats": ["<f4", "<f4", "<f4", "u1", "u1"],
        "offsets": [0, 4, 8, 12, 13],
        "itemsize": 16,
    }
)
_XYZ = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
_RAYS_PER_CELL = 1.5  # 1 suffices on the circle, not where Nav2 cuts rays off at a slanting border of its map
_DATATYPES = {"f": PointField.FLOAT32, "u": PointField.UINT8}


def map_info(grid: RollingGrid, stamp: Time) -> MapMetaData:
    """Return the geometry of a grid. It is axis-aligned, and its origin is a whole number of cells."""
    info = MapMetaData()
    info.map_load_time = stamp
    info.resolution = float(grid.resolution)
    info.width, info.height = grid.columns, grid.rows
    info.origin.position.x, info.origin.position.y = (float(value) for value in grid.origin)
    info.origin.orientation.w = 1.0
    return info


def grid_to_msg(header: Header, info: MapMetaData, cells: np.ndarray) -> OccupancyGrid:
    """Convert one grid.

    Args:
        header: the image's stamp and the grid's frame.
        info: the grid's geometry.
        cells: (rows, columns) int8.
    """
    message = OccupancyGrid()
    message.header = header
    message.info = info
    message.data = _int8_array(cells)
    return message


def list_messages(costmap: Costmap, stamp: int) -> List[OccupancyGrid]:
    """Convert all grids of a costmap: the layers in order, then the merged grid.

    Args:
        costmap: the costmap.
        stamp: time stamp in nanoseconds.
    """
    time = Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)
    header, info = Header(stamp=time, frame_id="odom"), map_info(costmap.grid, time)
    grids = [costmap.grid.occupancy(index) for index in range(len(costmap.layers))]
    return [grid_to_msg(header, info, cells) for cells in (*grids, costmap.grid.merged())]


def layers_to_msg(
    header: Header,
    info: MapMetaData,
    layers: Sequence[Layer],
    grids: Sequence[np.ndarray],
    merged: np.ndarray,
    table: ClassTable,
) -> CostmapLayers:
    """Convert all layers to one message. ``grids`` are (rows, columns) int8, in the order of ``layers``."""
    message = CostmapLayers()
    message.header = header
    message.info = info
    message.merged = _int8_array(merged)
    for layer, cells in zip(layers, grids):
        entry = ClassLayer()
        entry.name = layer.name
        entry.kind = ClassLayer.FLAT if layer.kind == FLAT else ClassLayer.STANDING
        entry.cost = layer.cost
        entry.class_ids = array("B", layer.class_ids)
        entry.class_names = [table.names[class_id] for class_id in layer.class_ids]
        entry.data = _int8_array(cells)
        message.layers.append(entry)
    return message


def contacts_to_msg(header: Header, evidence: GroundEvidence, height: float) -> PointCloud2:
    """Convert the ground contacts of obstacles to points.

    Args:
        header: the image's stamp and the base frame; Nav2 clears along rays from this frame's origin.
        evidence: ground evidence in the base frame.
        height: z of the points in the base frame, in metres; obstacles are at least this high.
    """
    points = np.zeros(len(evidence.contact_x), _POINT)
    points["x"], points["y"], points["z"] = evidence.contact_x, evidence.contact_y, height
    points["class_id"], points["confidence"] = evidence.contact_label, evidence.contact_confidence
    return _cloud(header, points)


def xy_to_msg(header: Header, xy: np.ndarray, height: float) -> PointCloud2:
    """Convert points of one height to a cloud.

    Args:
        header: stamp and frame of the points.
        xy: (N, 2), metres.
        height: z of the points, in metres.
    """
    points = np.zeros(len(xy), _XYZ)
    points["x"], points["y"], points["z"] = xy[:, 0], xy[:, 1], height
    return _cloud(header, points)


def ray_ends_to_msg(header: Header, reach: float, cell: float) -> PointCloud2:
    """Return the ends of rays that together cross every cell around the origin of the frame.

    Nav2's obstacle layer clears the cells along a line from the sensor to each point. The ends lie on a circle of twice
    the reach: up to half their length, lines to neighbouring cells leave none out, beyond that they do.

    Args:
        header: stamp and frame of the points.
        reach: every cell that is nearer than this is crossed, in metres.
        cell: side of the smallest cells of which that is true, in metres.
    """
    radius = 2.0 * reach
    angles = np.linspace(-math.pi, math.pi, math.ceil(_RAYS_PER_CELL * 2.0 * math.pi * radius / cell), endpoint=False)
    return xy_to_msg(header, radius * np.column_stack([np.cos(angles), np.sin(angles)]), 0.0)


def _cloud(header: Header, points: np.ndarray) -> PointCloud2:
    """Convert (N,) records with the fields x, y, z and perhaps others to a message."""
    message = PointCloud2()
    message.header = header
    message.height, message.width = 1, len(points)
    for name, (kind, offset, *_) in (points.dtype.fields or {}).items():
        message.fields.append(PointField(name=name, offset=offset, datatype=_DATATYPES[kind.kind], count=1))
    message.point_step = points.dtype.itemsize
    message.row_step = points.nbytes
    message.is_dense = True
    data = array("B")
    data.frombytes(points.tobytes())
    message.data = data
    return message


def _int8_array(cells: np.ndarray) -> array[int]:
    data = array("b")
    data.frombytes(cells.tobytes())
    return data
