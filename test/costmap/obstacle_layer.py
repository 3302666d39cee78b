"""A model of Nav2's ObstacleLayer in a global costmap that does not roll, after a static layer.

After nav2_costmap_2d 1.3.13 (plugins/obstacle_layer.cpp, src/observation_buffer.cpp, src/costmap_layer.cpp, src/
layered_costmap.cpp, and raytraceLine of costmap_2d.hpp). Left out: the footprint, and tf (clouds are given in the map).
"""

import math
from dataclasses import dataclass, field

import numpy as np

FREE, LETHAL, NO_INFORMATION = 0, 254, 255
OVERWRITE, MAX, MAX_WITHOUT_UNKNOWN_OVERWRITE = 0, 1, 2


@dataclass
class Source:
    """One of the observation_sources: its parameters, and its buffer."""

    parameters: dict
    observations: list = field(default_factory=list)

    def receive(self, cloud, origin, stamp):
        """Buffer a cloud: (N, 3) points and the (x, y) of its sensor, in the map."""
        low, high = self.parameters["min_obstacle_height"], self.parameters["max_obstacle_height"]
        kept = cloud[(cloud[:, 2] >= low) & (cloud[:, 2] <= high)]
        self.observations.insert(0, (kept, origin, stamp))

    def current(self, now):
        """Purge stale observations and return the rest."""
        keep_for = self.parameters.get("observation_persistence", 0.0)
        if keep_for == 0.0:
            del self.observations[1:]
        else:
            self.observations = [each for each in self.observations if now - each[2] <= keep_for]
        return self.observations


class GlobalCostmap:
    """The master grid, over a map, with one obstacle layer.

    Args:
        static: (rows, columns) uint8 costs of the static layer.
        origin: (x, y) of the corner of cell (0, 0), metres.
        resolution: metres.
        layer: parameters of the obstacle layer, as in the YAML file.
        distro: Humble has no combination_method 2.
        track_unknown_space: of the costmap.
    """

    def __init__(self, static, origin, resolution, layer, distro="jazzy", track_unknown_space=True):
        self.static = static
        self.master = static.copy()
        self.origin = origin
        self.resolution = resolution
        self.layer = layer
        self.method = layer.get("combination_method", MAX)
        if distro == "humble" and self.method == MAX_WITHOUT_UNKNOWN_OVERWRITE:
            self.method = None  # "default: // Nothing"
        unknown = NO_INFORMATION if track_unknown_space else FREE
        self.costs = np.full(static.shape, unknown, np.uint8)
        self.sources = {name: Source(layer[name]) for name in layer["observation_sources"].split()}

    def update(self, now):
        """Run one update cycle: clear along rays, mark, and write what lies within the touched bounds."""
        touched = []
        for source in self.sources.values():
            if source.parameters.get("clearing", False):
                for cloud, origin, _ in source.current(now):
                    touched += self._clear(cloud, origin, source.parameters.get("raytrace_max_range", 3.0))
        for source in self.sources.values():
            if source.parameters.get("marking", True):
                for cloud, origin, _ in source.current(now):
                    touched += self._mark(cloud, origin, source.parameters.get("obstacle_max_range", 2.5))
        if not touched:
            return
        low, high = np.min(touched, axis=0), np.max(touched, axis=0)
        (x0, y0), (xn, yn) = (self._enforced_cell(point) for point in (low, high))
        part = np.s_[y0 : min(yn + 1, self.master.shape[0]), x0 : min(xn + 1, self.master.shape[1])]
        self.master[part] = self.static[part]
        master, ours = self.master[part], self.costs[part]
        is_known = ours != NO_INFORMATION
        if self.method == OVERWRITE:
            master[is_known] = ours[is_known]
        elif self.method is not None:
            is_higher = is_known & (master < ours) & (master != NO_INFORMATION)
            if self.method == MAX:
                is_higher |= is_known & (master == NO_INFORMATION)
            master[is_higher] = ours[is_higher]

    def _cell(self, point):
        return tuple(int((at - start) / self.resolution) for at, start in zip(point, self.origin))

    def _enforced_cell(self, point):
        size = self.master.shape[::-1]
        return tuple(min(max(at, 0), end - 1) for at, end in zip(self._cell(point), size))

    def _is_inside(self, x, y):
        columns, rows = self.master.shape[::-1]
        left, low = self.origin
        is_right = (np.asarray(x) >= left) & ((x - left) / self.resolution < columns)
        return is_right & (np.asarray(y) >= low) & ((y - low) / self.resolution < rows)

    def _mark(self, cloud, origin, max_range):
        if not self._is_inside(*origin):
            return []
        x0, y0 = self._cell(origin)
        low, high = self.layer.get("min_obstacle_height", 0.0), self.layer.get("max_obstacle_height", 2.0)
        touched = []
        for x, y, z in cloud:
            if z < low or z > high or not self._is_inside(x, y):
                continue
            column, row = self._cell((x, y))
            is_far = (x - origin[0]) ** 2 + (y - origin[1]) ** 2 > max_range**2
            if is_far or int(math.hypot(column - x0, row - y0)) > math.ceil(max_range / self.resolution):
                continue
            self.costs[row, column] = LETHAL
            touched.append((x, y))
        return touched

    def _clear(self, cloud, origin, max_range):
        if not self._is_inside(*origin):
            return []
        (ox, oy), (left, low) = origin, self.origin
        right, high = left + self.master.shape[1] * self.resolution, low + self.master.shape[0] * self.resolution
        touched = [origin]
        for wx, wy in cloud[:, :2]:
            a, b = wx - ox, wy - oy
            if wx < left:
                wx, wy = left, oy + b * (left - ox) / a
            if wy < low:
                wx, wy = ox + a * (low - oy) / b, low
            if wx > right:
                wx, wy = right - 0.001, oy + b * (right - ox) / a
            if wy > high:
                wx, wy = ox + a * (high - oy) / b, high - 0.001
            if not self._is_inside(wx, wy):
                continue
            self._raytrace(self._cell(origin), self._cell((wx, wy)), math.ceil(max_range / self.resolution))
            full = math.hypot(wx - ox, wy - oy)
            scale = min(1.0, max_range / full) if full else 1.0
            touched.append((ox + (wx - ox) * scale, oy + (wy - oy) * scale))
        return touched

    def _raytrace(self, start, end, max_cells):
        """Costmap2D::raytraceLine and bresenham2D, all steps of one ray at a time."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        distance = math.hypot(dx, dy)
        scale = min(1.0, max_cells / distance) if distance else 1.0
        long, short = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
        steps = np.arange(min(int(scale * long), long) + 1)
        # the error starts at long // 2 and passes long once for every step along the short side
        aside = (long // 2 + steps * short) // long if long else steps * 0
        if abs(dx) >= abs(dy):
            columns, rows = start[0] + np.sign(dx) * steps, start[1] + np.sign(dy) * aside
        else:
            columns, rows = start[0] + np.sign(dx) * aside, start[1] + np.sign(dy) * steps
        self.costs[rows, columns] = FREE
