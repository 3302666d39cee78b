"""Rolling grid that follows the robot and fuses evidence over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

import numpy as np

from espnet_ros.classes import STANDING
from espnet_ros.costmap.layers import GroundEvidence, Layer

_LEVELS = 127
"""Positive levels that log-odds are quantised to before the percentage is looked up."""
LETHAL = 100
"""Value of a lethal cell in the merged grid."""
UNKNOWN = -1
"""Value of an unknown cell in a layer's grid, as in nav_msgs/OccupancyGrid."""


@dataclass(frozen=True)
class FusionRules:
    """How evidence is fused over frames, in log-odds.

    Attributes:
        hit: added to a layer's cell for one frame of full-weight evidence for the layer.
        miss: subtracted from it for one frame of full-weight evidence against the layer.
        limit: log-odds are clamped to plus or minus this.
        decay: time constant in seconds, after which evidence has lost 63 % of its weight; 0 disables decay.
        known_threshold: cells whose log-odds are closer to 0 than this are unknown.
        full_weight_pixels: image area of a cell, in pixels, from which its evidence has full weight.
        min_weight: smallest weight of a visible cell. Far from a low camera, every cell covers less than a pixel.
    """

    hit: float = 1.2
    miss: float = 0.7
    limit: float = 4.0
    decay: float = 10.0
    known_threshold: float = 0.2
    full_weight_pixels: float = 2.0
    min_weight: float = 0.3


class RollingGrid:
    """Log-odds of each layer in each cell of a grid aligned with the axes of the odometry frame.

    The origin is always a multiple of the cell size, so a cell covers the same patch of ground in every frame.

    Args:
        layers: one plane per layer.
        size: (width, height) along x and y of the window around the robot, in metres.
        resolution: side length of a cell, in metres.
        rules: how evidence is fused.
        origin_step: the origin moves by multiples of this, in metres, and the grid is this much larger than the window,
            which it always covers. 0 moves it by single cells. Readers that reallocate at each move have less to do.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        size: Tuple[float, float],
        resolution: float,
        rules: FusionRules,
        origin_step: float = 0.0,
    ) -> None:
        self.layers = tuple(layers)
        self.resolution = resolution
        self.rules = rules
        self._step = round(origin_step / resolution)  # cells
        self._window_columns, self._window_rows = (max(1, round(side / resolution)) for side in size)
        self.columns, self.rows = self._window_columns + self._step, self._window_rows + self._step
        self._column, self._row = 0, 0
        self._is_standing = [layer.kind == STANDING for layer in self.layers]
        self._flat = [index for index, standing in enumerate(self._is_standing) if not standing]
        self._flat_slot = np.zeros(256, np.int64)
        self._flat_slot[self._flat] = np.arange(len(self._flat))
        self.log_odds = np.zeros((len(self.layers), self.rows, self.columns), np.float32)
        self._percent_of = _tabulate_percent(rules)
        self._is_empty = True
        self.center_on(0.0, 0.0)

    @property
    def origin(self) -> Tuple[float, float]:
        """(x, y) of the outer corner of cell (0, 0), in metres."""
        return self._column * self.resolution, self._row * self.resolution

    def clear(self) -> None:
        """Forget all evidence."""
        self.log_odds.fill(0.0)
        self._is_empty = True

    def center_on(self, x: float, y: float) -> None:
        """Make the grid cover the window around (x, y), in metres. Evidence that leaves the grid is lost."""
        column = self._start(self._column, math.floor(x / self.resolution) - self._window_columns // 2)
        row = self._start(self._row, math.floor(y / self.resolution) - self._window_rows // 2)
        right, up = column - self._column, row - self._row
        self._column, self._row = column, row
        if self._is_empty or (right == 0 and up == 0):
            return
        if abs(right) >= self.columns or abs(up) >= self.rows:
            self.clear()
            return
        moved = np.zeros_like(self.log_odds)
        target_rows, source_rows = _overlap(up, self.rows)
        target_columns, source_columns = _overlap(right, self.columns)
        moved[:, target_rows, target_columns] = self.log_odds[:, source_rows, source_columns]
        self.log_odds = moved

    def _start(self, current: int, window: int) -> int:
        """Return the first cell, along one axis, of a grid that covers the window that starts at a cell."""
        if current <= window <= current + self._step:
            return current
        step = max(1, self._step)
        return window // step * step

    def decay(self, elapsed: float) -> None:
        """Decay all evidence.

        Args:
            elapsed: time since the last call, in seconds.
        """
        if self.rules.decay > 0 and elapsed > 0 and not self._is_empty:
            self.log_odds *= math.exp(-elapsed / self.rules.decay)

    def add(self, evidence: GroundEvidence, grid_from_base: np.ndarray) -> None:
        """Add the evidence of one image.

        Args:
            evidence: in the base frame.
            grid_from_base: (4, 4) pose of the base in the grid's frame.
        """
        cells = self.rows * self.columns
        slot = self._flat_slot.take(evidence.layer)
        slot *= cells + 1  # the last slot of each plane collects points outside the grid
        slot += self._cell_indices(evidence.x, evidence.y, grid_from_base)
        planes = np.bincount(slot, evidence.pixel_area, minlength=len(self._flat) * (cells + 1))
        flat_area = dict(zip(self._flat, planes.reshape(-1, cells + 1)[:, :cells]))
        contact_cells = self._cell_indices(evidence.contact_x, evidence.contact_y, grid_from_base)
        inside = contact_cells < cells
        self._update(flat_area, contact_cells[inside], evidence.contact_layer[inside])

    def _update(self, flat_area: Dict[int, np.ndarray], contact_cells: np.ndarray, contact_layers: np.ndarray) -> None:
        """Add one frame to the log-odds.

        Args:
            flat_area: index of a flat layer to (cells,) visible area of its ground, in pixels.
            contact_cells: (M,) cell of each ground contact.
            contact_layers: (M,) index of the standing layer of each ground contact.
        """
        rules = self.rules
        area = sum(flat_area.values(), np.zeros(self.rows * self.columns))
        weight = np.clip(area / rules.full_weight_pixels, rules.min_weight * (area > 0), 1.0)
        gain = weight / np.maximum(area, 1e-9) * (rules.hit + rules.miss)
        miss = (-rules.miss * weight).astype(np.float32)
        # ground around a contact is not evidence against any standing layer in that cell
        standing_miss = miss.copy()
        standing_miss[contact_cells] = 0.0
        planes = self.log_odds.reshape(len(self.layers), -1)
        for index, plane in enumerate(planes):
            plane += standing_miss if self._is_standing[index] else miss + (gain * flat_area[index]).astype(np.float32)
        hit_cells = np.unique(contact_layers.astype(np.int64) * planes.shape[1] + contact_cells)
        self.log_odds.reshape(-1)[hit_cells] += rules.hit
        # a contact is evidence against every flat layer in its cell
        for index in flat_area:
            planes[index][contact_cells] -= rules.miss
        np.clip(self.log_odds, -rules.limit, rules.limit, out=self.log_odds)
        self._is_empty = False

    def _cell_indices(self, x: np.ndarray, y: np.ndarray, grid_from_base: np.ndarray) -> np.ndarray:
        """Return the (N,) int64 cell index of each ground point in the base frame; rows x columns if outside."""
        scale = np.float32(1.0 / self.resolution)
        (xx, xy), (yx, yy) = (grid_from_base[:2, :2] * scale).astype(np.float32)
        # subtract the grid's origin before rounding to float32: far from the frame's origin, float32 loses centimetres
        offset_x = np.float32(grid_from_base[0, 3] * scale - self._column)
        offset_y = np.float32(grid_from_base[1, 3] * scale - self._row)
        column = xx * x + xy * y + offset_x
        row = yx * x + yy * y + offset_y
        inside = (column >= 0) & (column < self.columns) & (row >= 0) & (row < self.rows)
        # truncation rounds down, because coordinates inside the grid are not negative
        index = row.astype(np.int32) * np.int32(self.columns) + column.astype(np.int32)
        cells: np.ndarray = np.where(inside, index, self.rows * self.columns).astype(np.int64)
        return cells

    def occupancy(self, index: int) -> np.ndarray:
        """Return one layer as a (rows, columns) int8 grid: probability in percent, or ``UNKNOWN``."""
        levels = (self.log_odds[index] * np.float32(_LEVELS / self.rules.limit)).astype(np.int8)
        return np.asarray(self._percent_of.take(levels.view(np.uint8)))

    def merged(self) -> np.ndarray:
        """Return the (rows, columns) int8 cost grid for Nav2: 0..98 graded, 100 lethal, 0 also if unknown.

        A cell has the highest cost of the layers that probably occupy it. Unknown is 0 and not -1 because Nav2, in a
        rolling costmap whose layers are combined by maximum, ranks unknown above lethal.
        """
        cost = np.zeros((self.rows, self.columns), np.int8)
        for index, layer in enumerate(self.layers):
            if layer.cost:
                is_occupied = self.log_odds[index] >= self.rules.known_threshold
                np.maximum(cost, is_occupied.view(np.int8) * np.int8(layer.cost), out=cost)
        return cost

    def centres(self, is_chosen: np.ndarray) -> np.ndarray:
        """Return the (N, 2) centres of cells, in metres in the grid's frame.

        Args:
            is_chosen: (rows, columns) bool.
        """
        rows, columns = np.nonzero(is_chosen)
        cells = np.column_stack([columns + self._column, rows + self._row])
        return np.asarray((cells + 0.5) * self.resolution)


def _overlap(shift: int, length: int) -> Tuple[slice, slice]:
    """Return the slices of the moved and the old grid that cover the same ground."""
    if shift >= 0:
        return slice(0, length - shift), slice(shift, length)
    return slice(-shift, length), slice(0, length + shift)


def _tabulate_percent(rules: FusionRules) -> np.ndarray:
    """Tabulate the probability in percent, (256,) int8, by the int8 log-odds level reinterpreted as uint8."""
    log_odds = np.arange(256, dtype=np.uint8).view(np.int8) * (rules.limit / _LEVELS)
    percent = np.rint(100.0 / (1.0 + np.exp(-log_odds)))
    percent[np.abs(log_odds) < rules.known_threshold] = UNKNOWN
    table: np.ndarray = percent.astype(np.int8)
    return table
