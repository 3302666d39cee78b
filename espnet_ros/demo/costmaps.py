"""Keeps account of the costmaps of a drive: how many came, how right they are, and how they look."""

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
"""Distances from the base, on the ground ahead of it, between which costmaps are compared with the truth."""
IOU_DEFINITION = (
    f"over all costmaps, {NEAREST_M:g} to {FURTHEST_M:g} m ahead of the robot, in the cells that the node has seen; "
    "a cell belongs to its likeliest layer above 50 %, standing things first"
)
"""What the IoU of a layer means, in one line."""

_COVERAGE_M = 26.0
_VIEW_HEIGHT = 480


class CostmapView(NamedTuple):
    """A costmap beside the truth, around the robot: (h, w, 3) uint8 RGB each."""

    costmap: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class CostmapReport:
    """What came out of a drive's costmaps.

    Attributes:
        sent, answered: numbers of images, and of those that a costmap came for.
        layer_iou: by name of each flat layer, see ``IOU_DEFINITION``; None where it occurs nowhere.
        map_iou: the same over the cells of the route's map that the node has seen.
        views: by the name of the frame.
        route, true_route: the route's map, RGB, and the truth; None without costmaps.
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
        """The numbers, ready for JSON."""
        return {
            "answered": self.answered,
            "sent": self.sent,
            "layer_iou": self.layer_iou,
            "layer_iou_is": IOU_DEFINITION,
            "map_iou": self.map_iou,
        }


class CostmapRecorder:
    """Takes note of frames as they are sent and of their costmaps. Sending and answering may be in two threads.

    Args:
        track: where the camera is in each frame.
        world: that it drives through.
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
        """Parameters that the node needs for costmaps of this track, and to see as far as they are compared."""
        return {
            "pose_source": "odom",
            **self.track.mount_parameters(),
            "costmap_width": _COVERAGE_M,
            "costmap_height": _COVERAGE_M,
        }

    @property
    def answered(self) -> int:
        """Frames with a costmap so far."""
        return len(self._grids)

    @property
    def layer_names(self) -> List[str]:
        """Names of the node's layers, in order."""
        return [layer.name for layer in self._layers]

    def note_sent(self, name: str, stamp_ns: int) -> None:
        """The next frame of the track goes out under a name, with a stamp that its costmap will have."""
        with self._lock:
            self._index_of[stamp_ns] = len(self._names)
            self._names.append(name)

    def note_layers(self, stamp_ns: int, percent: np.ndarray, origin: Tuple[float, float], resolution: float) -> None:
        """A costmap came in; one to a frame that was never sent, as when the node clears it, is not counted.

        Args:
            stamp_ns: of the image.
            percent: (layers, rows, columns) int8 probability 0..100, -1 unknown.
            origin: (x, y) of the corner of cell (0, 0), in metres in the odometry frame.
            resolution: side of a cell, in metres.
        """
        with self._lock:
            index = self._index_of.get(stamp_ns)
        if index is not None:
            self._grids[index] = ClassGrid(likeliest_layers(percent, self._is_standing), origin, resolution)

    def report(self, sample_names: Sequence[str]) -> CostmapReport:
        """Account of everything so far, with views of the frames of these names."""
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
        """Index and name of the layers of ground."""
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
    """Cells in which truth and costmap agree, by layer."""

    def __init__(self, layers: Dict[int, str]) -> None:
        self._layers = layers
        self._both = dict.fromkeys(layers, 0)
        self._either = dict.fromkeys(layers, 0)

    def add(self, cells: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> None:
        """Count one grid: cells and truth as in ``ClassGrid``, and a bool of which of them count."""
        for index in self._layers:
            found, true = (cells == index) & counted, (truth == index) & counted
            self._both[index] += int((found & true).sum())
            self._either[index] += int((found | true).sum())

    def iou(self) -> Dict[str, Optional[float]]:
        """Intersection over union by name; None where the layer occurs nowhere."""
        return {
            name: self._both[index] / self._either[index] if self._either[index] else None
            for index, name in self._layers.items()
        }


def _is_compared(grid: ClassGrid, odom_from_base: np.ndarray) -> np.ndarray:
    """(rows, columns) bool: seen, ahead of the robot, and within the distances that are compared."""
    x, y = cell_centres(grid.origin, grid.resolution, *grid.cells.shape)
    east, north = x[None, :] - odom_from_base[0, 3], y[:, None] - odom_from_base[1, 3]
    ahead = east * odom_from_base[0, 0] + north * odom_from_base[1, 0] > 0
    distance = np.hypot(east, north)
    near = (distance >= NEAREST_M) & (distance <= FURTHEST_M)
    return np.asarray((grid.cells != UNSEEN) & ahead & near)


def _grid_around(pose: np.ndarray, resolution: float = 0.1) -> ClassGrid:
    """An empty grid that covers a view around the robot."""
    cells = round(2 * _COVERAGE_M / resolution)
    first = np.floor(pose[:2, 3] / resolution).astype(int) - cells // 2
    origin = (float(first[0]) * resolution, float(first[1]) * resolution)
    return ClassGrid(np.full((cells, cells), UNSEEN, np.uint8), origin, resolution)


def _rgb(color: np.ndarray) -> Tuple[int, int, int]:
    red, green, blue = (int(value) for value in color)
    return red, green, blue
