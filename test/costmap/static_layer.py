"""A model of Nav2's StaticLayer, from its documented arithmetic.

After nav2_costmap_2d (plugins/static_layer.cpp, src/costmap_layer.cpp, src/layered_costmap.cpp) of Humble 1.1.20, Jazzy
1.3.11 and 1.3.13, Kilted 1.4.2 and Lyrical 1.5.1: how a value is read, how it meets the master grid, and which cells
are reset before it does.
"""

from dataclasses import dataclass

import numpy as np

FREE, INSCRIBED, LETHAL, NO_INFORMATION = 0, 253, 254, 255
DISTROS = ["humble", "jazzy 1.3.11", "jazzy", "kilted", "lyrical"]
"""Nav2's versions that differ; "jazzy" is 1.3.13."""
READS_99_AS_INSCRIBED = {"lyrical"}
COVERS_WHOLE_WINDOW = {"jazzy", "lyrical"}


@dataclass(frozen=True)
class Nav2Settings:
    """Parameters of the costmap; the defaults are Nav2's."""

    distro: str = "jazzy"
    trinary_costmap: bool = True
    use_maximum: bool = False
    track_unknown_space: bool = False
    lethal_cost_threshold: int = 100


def interpret(cells, settings):
    """OccupancyGrid values (int8) to costs (uint8)."""
    values = np.asarray(cells, np.int8).view(np.uint8).astype(int)
    threshold = settings.lethal_cost_threshold
    costs = np.zeros(values.shape, np.uint8) if settings.trinary_costmap else (values / threshold * LETHAL).astype(int)
    costs = np.where(values >= threshold, LETHAL, costs)
    if settings.distro in READS_99_AS_INSCRIBED:
        costs = np.where(values == 99, INSCRIBED, costs)
    unknown = NO_INFORMATION if settings.track_unknown_space else FREE
    return np.where(values == 255, unknown, costs).astype(np.uint8)


class RollingMaster:
    """A rolling costmap with one static layer, which receives our grids, and other layers before it."""

    def __init__(self, settings, size, resolution):
        self.settings = settings
        self.resolution = resolution
        self.cells = round(size / resolution)
        self.costs = np.full((self.cells, self.cells), self._default(), np.uint8)
        self.corner = (0, 0)  # column, row of cell (0, 0) in the odometry frame
        self.grid = None

    def _default(self):
        return NO_INFORMATION if self.settings.track_unknown_space else FREE

    def receive(self, cells, origin, resolution):
        """Receive a grid: (rows, columns) int8, and (x, y) of its corner in metres."""
        column, row = (round(side / resolution) for side in origin)
        self.grid = interpret(cells, self.settings), (column, row)

    def update(self, robot, other_layers=()):
        """Run one update cycle: roll to the robot, reset the cells that layers cover, then let each layer write.

        other_layers: (column, row, cost) written by layers before ours, in the odometry frame.
        """
        corner = tuple(round(at / self.resolution) - self.cells // 2 for at in robot)
        rolled = np.full_like(self.costs, self._default())
        _copy(self.costs, self.corner, rolled, corner)
        self.costs, self.corner = rolled, corner
        costs, place = self.grid
        covered = _window(costs.shape, place, corner, self.cells)
        if self.settings.distro in COVERS_WHOLE_WINDOW:
            covered = (slice(0, self.cells), slice(0, self.cells))
        self.costs[covered] = self._default()
        for column, row, cost in other_layers:
            self.costs[row - corner[1], column - corner[0]] = cost
        ours = np.full(self.costs.shape, -1)
        _copy(costs.astype(int), place, ours, corner)
        is_ours = ours >= 0
        written = np.maximum(ours, self.costs) if self.settings.use_maximum else ours
        self.costs[is_ours] = written[is_ours]

    def at(self, x, y):
        """Return the cost at a point in the odometry frame."""
        return self.costs[int(y // self.resolution) - self.corner[1], int(x // self.resolution) - self.corner[0]]


def _window(shape, place, corner, cells):
    column, row = place[0] - corner[0], place[1] - corner[1]
    return (
        slice(max(row, 0), max(min(row + shape[0], cells), 0)),
        slice(max(column, 0), max(min(column + shape[1], cells), 0)),
    )


def _copy(source, source_place, target, target_place):
    rows, columns = _window(source.shape, source_place, target_place, target.shape[0])
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    row = rows.start + target_place[1] - source_place[1]
    column = columns.start + target_place[0] - source_place[0]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    target[rows, columns] = source[row : row + height, column : column + width]
