"""Record the costmaps of a drive: how many were published, how accurate they are, and what they look like."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ros.classes import FLAT, STANDING, ClassTable
from espnet_ros.costmap.layers import layers_from_table
from espnet_ros.demo.birdseye import (
    UNSEEN,
    ClassGrid,
    draw_around,
    draw_map,
    fuse_grids,
    layer_colors,
    likeliest_layers,
)
from espnet_ros.demo.street import StreetTruth, Track
from espnet_ros.synthetic import StreetWorld
from espnet_ros.synthetic.ground_truth import cell_centres

NEAREST_M, FURTHEST_M = 2.0, 12.0
"""Range of ground distances ahead of the base in which costmaps are compared with the ground truth."""
IOU_DEFINITION = (
    f"over all costmaps, {NEAREST_M:g} to {FURTHEST_M:g} m ahead of the robot, in the cells that the node has seen; "
    "a cell counts for its most likely layer above 50 %, with standing layers before ground"
)
"""Definition of the IoU of a layer, in one line."""

_COVERAGE_M = 26.0
_VIEW_HEIGHT = 480


class CostmapView(NamedTuple):
    """A costmap and the ground truth around the robot, each (h, w, 3) uint8 RGB."""

    costmap: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class CostmapReport:
    """Results of the costmaps of a drive.

    Attributes:
        sent, answered: numbers of images, and of images with a costmap.
        layer_iou: by name of each flat layer, see ``IOU_DEFINITION``; None for a layer that occurs nowhere.
        map_iou: the same, over the cells of the route's map that the node has seen.
        views: by name of the frame.
        route, true_route: map of the route and its ground truth, RGB; None without costmaps.
        legend: name and RGB colour of the layers.
    """

    sent: int
    answered: int
    layer_iou: Dict[str, Optional[float]]
    map_iou: Dict[str, Optional[float]]
    views: Dict[str, CostmapView]
    route: Optional[np.ndarray]
    true_route: Optional[np.ndarray]
    legend: List[Tuple[str, Tuple[int, int, int]]]

    def as_dict(self) -> Dict[str, Any]:
        """Return the numbers for JSON."""
        return {
            "answered": self.answered,
            "sent": self.sent,
            "layer_iou": self.layer_iou,
            "layer_iou_is": IOU_DEFINITION,
            "map_iou": self.map_iou,
        }


class CostmapRecorder:
    """Records frames when they are sent, and their costmaps. The two may come from different threads.

    Args:
        track: poses of the camera.
        world: the street that it drives through.
        table: class table of the node.
    """

    def __init__(self, track: Track, world: StreetWorld, table: ClassTable) -> None:
        self.track = track
        self._layers = layers_from_table(table)
        self._is_standing = [layer.kind == STANDING for layer in self._layers]
        self._colors = layer_colors(self._layers, table)
        self._truth = StreetTruth(world, self._layers, table)
        self._lock = threading.Lock()
        self._index_of: Dict[int, int] = {}
        self._names: List[str] = []
        self._grids: Dict[int, ClassGrid] = {}

    @property
    def parameters(self) -> Dict[str, Any]:
        """Parameters that the node needs for costmaps of this track, large enough for the comparison."""
        return {
            "pose_source": "odom",
            **self.track.mount_parameters(),
            "costmap_width": _COVERAGE_M,
            "costmap_height": _COVERAGE_M,
        }

    @property
    def answered(self) -> int:
        """Number of frames with a costmap so far."""
        return len(self._grids)

    @property
    def layer_names(self) -> List[str]:
        """Names of the node's layers, in order."""
        return [layer.name for layer in self._layers]

    def record_sent(self, name: str, stamp_ns: int) -> None:
        """Record that the next frame of the track is sent; its costmap will have the same stamp."""
        with self._lock:
            self._index_of[stamp_ns] = len(self._names)
            self._names.append(name)

    def record_layers(self, stamp_ns: int, percent: np.ndarray, origin: Tuple[float, float], resolution: float) -> None:
        """Record a costmap. Costmaps of frames that were never sent are ignored, such as those of a cleared costmap.

        Args:
            stamp_ns: stamp of the image, in nanoseconds.
            percent: (layers, rows, columns) int8 probability 0..100, -1 unknown.
            origin: (x, y) of the corner of cell (0, 0), in metres in the odometry frame.
            resolution: side of a cell, in metres.
        """
        with self._lock:
            index = self._index_of.get(stamp_ns)
        if index is not None:
            self._grids[index] = ClassGrid(likeliest_layers(percent, self._is_standing), origin, resolution)

    def report(self, sample_names: Sequence[str]) -> CostmapReport:
        """Return the results so far, with views of the frames of these names."""
        grids = {index: self._grids[index] for index in sorted(self._grids)}
        counts = _LayerCounts(self.flat_layers())
        for index, grid in grids.items():
            counts.add(grid.cells, self._true_cells(grid), _is_compared(grid, self.track.poses[index]))
        wanted = set(sample_names)
        views = {
            name: self._view(grids.get(index), self.track.poses[index])
            for index, name in enumerate(self._names)
            if name in wanted
        }
        route, true_route, map_iou = self._draw_route(list(grids.values()))
        legend = [(layer.name, _rgb(self._colors[index])) for index, layer in enumerate(self._layers)]
        legend.append(("unknown", _rgb(self._colors[UNSEEN])))
        return CostmapReport(len(self._names), len(grids), counts.iou(), map_iou, views, route, true_route, legend)

    def flat_layers(self) -> Dict[int, str]:
        """Return index and name of the ground layers."""
        return {index: layer.name for index, layer in enumerate(self._layers) if layer.kind == FLAT}

    def _true_cells(self, grid: ClassGrid) -> np.ndarray:
        return self._truth.cells(grid.origin, grid.resolution, *grid.cells.shape)

    def _view(self, grid: Optional[ClassGrid], pose: np.ndarray) -> CostmapView:
        size = self.track.camera.size
        shape = (_VIEW_HEIGHT, round(_VIEW_HEIGHT * size.width / size.height))
        around = _grid_around(pose)
        true = ClassGrid(self._true_cells(around), around.origin, around.resolution)
        return CostmapView(draw_around(grid, pose, self._colors, shape), draw_around(true, pose, self._colors, shape))

    def _draw_route(
        self, grids: List[ClassGrid]
    ) -> Tuple[Optional[np.ndarray], Optional[np.ndarray], Dict[str, Optional[float]]]:
        if not grids:
            return None, None, {}
        path = np.array([pose[:2, 3] for pose in self.track.poses[: len(self._names)]])
        fused = fuse_grids(grids, path)
        true = ClassGrid(self._true_cells(fused), fused.origin, fused.resolution)
        is_seen = fused.cells != UNSEEN
        counts = _LayerCounts(self.flat_layers())
        counts.add(fused.cells, true.cells, is_seen)
        drawn = draw_map(fused, path, self._colors)
        return drawn, draw_map(true, path, self._colors, faded=~is_seen), counts.iou()


class _LayerCounts:
    """Intersection and union of costmap and ground truth, in cells, by layer."""

    def __init__(self, layers: Dict[int, str]) -> None:
        self._layers = layers
        self._both = dict.fromkeys(layers, 0)
        self._either = dict.fromkeys(layers, 0)

    def add(self, cells: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> None:
        """Add a grid: cells and ground truth as in ``ClassGrid``, and a bool mask of the cells to count."""
        for index in self._layers:
            found, true = (cells == index) & counted, (truth == index) & counted
            self._both[index] += int((found & true).sum())
            self._either[index] += int((found | true).sum())

    def iou(self) -> Dict[str, Optional[float]]:
        """Return intersection over union by name; None for a layer that occurs nowhere."""
        return {
            name: self._both[index] / self._either[index] if self._either[index] else None
            for index, name in self._layers.items()
        }


def _is_compared(grid: ClassGrid, odom_from_base: np.ndarray) -> np.ndarray:
    """(rows, columns) bool: cells that were seen, lie ahead of the robot, and are in the range of the comparison."""
    x, y = cell_centres(grid.origin, grid.resolution, *grid.cells.shape)
    east, north = x[None, :] - odom_from_base[0, 3], y[:, None] - odom_from_base[1, 3]
    ahead = east * odom_from_base[0, 0] + north * odom_from_base[1, 0] > 0
    distance = np.hypot(east, north)
    near = (distance >= NEAREST_M) & (distance <= FURTHEST_M)
    return np.asarray((grid.cells != UNSEEN) & ahead & near)


def _grid_around(pose: np.ndarray, resolution: float = 0.1) -> ClassGrid:
    """Return an empty grid that covers a view around the robot."""
    cells = round(2 * _COVERAGE_M / resolution)
    first = np.floor(pose[:2, 3] / resolution).astype(int) - cells // 2
    origin = (float(first[0]) * resolution, float(first[1]) * resolution)
    return ClassGrid(np.full((cells, cells), UNSEEN, np.uint8), origin, resolution)


def _rgb(color: np.ndarray) -> Tuple[int, int, int]:
    red, green, blue = (int(value) for value in color)
    return red, green, blue
