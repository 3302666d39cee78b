"""A grid that moves with the robot and remembers what it saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

import numpy as np

from espnet_ros.classes import STANDING
from espnet_ros.costmap.layers import GroundEvidence, Layer

_STEPS = 127
UNKNOWN = -1
"""Value of a cell that nothing is known about, in a layer's grid (nav_msgs/OccupancyGrid)."""


@dataclass(frozen=True)
class FusionRules:
    """How evidence adds up over frames, in log-odds.

    Attributes:
        hit: added to a cell of a layer that a whole frame's evidence speaks for.
        miss: taken from it where the evidence speaks against it.
        limit: no cell gets more certain than this.
        decay: time after which evidence has lost 63 % of its weight, in seconds; 0 keeps it for ever.
        known: cells less certain than this, either way, are unknown.
        full_weight_pixels: image area that counts as a whole frame's evidence.
        least_weight: what a cell smaller than a pixel counts at least; far from a low camera all are.
    """

    hit: float = 1.2
    miss: float = 0.7
    limit: float = 4.0
    decay: float = 10.0
    known: float = 0.2
    full_weight_pixels: float = 2.0
    least_weight: float = 0.3


class RollingGrid:
    """Log-odds of each layer in each cell of an axis-aligned grid of the odometry frame.

    The origin is a whole number of cells, so that a cell is the same piece of ground in every frame.

    Args:
        layers: one plane each.
        size: (width, height) along x and y, in metres.
        resolution: side of a cell, in metres.
        rules: how evidence adds up.
    """

    def __init__(
        self, layers: Sequence[Layer], size: Tuple[float, float], resolution: float, rules: FusionRules
    ) -> None:
        self.layers = tuple(layers)
        self.resolution = resolution
        self.rules = rules
        self.columns, self.rows = (max(1, round(side / resolution)) for side in size)
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
        """(x, y) of the corner of cell (0, 0), in metres."""
        return self._column * self.resolution, self._row * self.resolution

    def clear(self) -> None:
        """Forget everything."""
        self.log_odds.fill(0.0)
        self._is_empty = True

    def center_on(self, x: float, y: float) -> None:
        """Move the grid, by whole cells, so that (x, y) in metres lies in its middle; what leaves it is forgotten."""
        column = math.floor(x / self.resolution) - self.columns // 2
        row = math.floor(y / self.resolution) - self.rows // 2
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

    def decay(self, elapsed: float) -> None:
        """Let evidence fade.

        Args:
            elapsed: seconds since the last call.
        """
        if self.rules.decay > 0 and elapsed > 0 and not self._is_empty:
            self.log_odds *= math.exp(-elapsed / self.rules.decay)

    def add(self, evidence: GroundEvidence, grid_from_base: np.ndarray) -> None:
        """Add what one image says.

        Args:
            evidence: in the base frame.
            grid_from_base: (4, 4) pose of the base in the grid's frame.
        """
        cells = self.rows * self.columns
        ground = self._cells_of(evidence.x, evidence.y, grid_from_base)
        slot = self._flat_slot.take(evidence.layer)
        slot *= cells + 1  # the last cell of each plane takes what lies outside of the grid
        slot += ground
        planes = np.bincount(slot, evidence.pixels, minlength=len(self._flat) * (cells + 1))
        hits = dict(zip(self._flat, planes.reshape(-1, cells + 1)[:, :cells]))
        touched = self._cells_of(evidence.contact_x, evidence.contact_y, grid_from_base)
        inside = touched < cells
        self._update(hits, touched[inside], evidence.contact_layer[inside])

    def _update(self, hits: Dict[int, np.ndarray], touched: np.ndarray, touching: np.ndarray) -> None:
        """Add a frame's evidence.

        Args:
            hits: flat layer to (cells,) pixels of its ground.
            touched: (M,) cells with a ground contact.
            touching: (M,) standing layer of each contact.
        """
        rules = self.rules
        seen = sum(hits.values(), np.zeros(self.rows * self.columns))
        weight = np.clip(seen / rules.full_weight_pixels, rules.least_weight * (seen > 0), 1.0)
        gain = weight / np.maximum(seen, 1e-9) * (rules.hit + rules.miss)
        against = (-rules.miss * weight).astype(np.float32)
        # a cell in which something stands is no free ground for any standing layer
        clear_ground = against.copy()
        clear_ground[touched] = 0.0
        planes = self.log_odds.reshape(len(self.layers), -1)
        for index, plane in enumerate(planes):
            plane += clear_ground if self._is_standing[index] else against + (gain * hits[index]).astype(np.float32)
        cells_of_layers = np.unique(touching.astype(np.int64) * planes.shape[1] + touched)
        self.log_odds.reshape(-1)[cells_of_layers] += rules.hit
        # what is touched is not flat there
        for index in hits:
            planes[index][touched] -= rules.miss
        np.clip(self.log_odds, -rules.limit, rules.limit, out=self.log_odds)
        self._is_empty = False

    def _cells_of(self, x: np.ndarray, y: np.ndarray, grid_from_base: np.ndarray) -> np.ndarray:
        """(N,) int64 index of the cell of each base-frame ground point; rows x columns outside of the grid."""
        scale = np.float32(1.0 / self.resolution)
        (xx, xy), (yx, yy) = (grid_from_base[:2, :2] * scale).astype(np.float32)
        # relative to the origin before single precision, or a robot far from the origin would lose centimetres
        offset_x = np.float32(grid_from_base[0, 3] * scale - self._column)
        offset_y = np.float32(grid_from_base[1, 3] * scale - self._row)
        column = xx * x + xy * y + offset_x
        row = yx * x + yy * y + offset_y
        inside = (column >= 0) & (column < self.columns) & (row >= 0) & (row < self.rows)
        # inside the grid, cutting the fraction off is rounding down
        index = row.astype(np.int32) * np.int32(self.columns) + column.astype(np.int32)
        cells: np.ndarray = np.where(inside, index, self.rows * self.columns).astype(np.int64)
        return cells

    def occupancy(self, index: int) -> np.ndarray:
        """(rows, columns) int8 grid of one layer: probability in percent, ``UNKNOWN`` where nothing is known."""
        steps = (self.log_odds[index] * np.float32(_STEPS / self.rules.limit)).astype(np.int8)
        return np.asarray(self._percent_of.take(steps.view(np.uint8)))

    def merged(self) -> np.ndarray:
        """(rows, columns) int8 cost grid for Nav2: 0..98 graded, 100 lethal, and 0 where nothing is known.

        A cell costs what the most expensive layer costs that it probably belongs to. Unknown is 0 and not -1, as a
        rolling costmap in which layers are joined by their maximum takes unknown for worse than lethal.
        """
        cost = np.zeros((self.rows, self.columns), np.int8)
        for index, layer in enumerate(self.layers):
            if layer.cost:
                is_there = self.log_odds[index] >= self.rules.known
                np.maximum(cost, is_there.view(np.int8) * np.int8(layer.cost), out=cost)
        return cost


def _overlap(shift: int, length: int) -> Tuple[slice, slice]:
    """Slices of the moved and the old grid that hold the same ground."""
    if shift >= 0:
        return slice(0, length - shift), slice(shift, length)
    return slice(-shift, length), slice(0, length + shift)


def _tabulate_percent(rules: FusionRules) -> np.ndarray:
    """(256,) int8 probability in percent of each int8 number of steps, read as uint8; ``UNKNOWN`` near even odds."""
    log_odds = np.arange(256, dtype=np.uint8).view(np.int8) * (rules.limit / _STEPS)
    percent = np.rint(100.0 / (1.0 + np.exp(-log_odds)))
    percent[np.abs(log_odds) < rules.known] = UNKNOWN
    table: np.ndarray = percent.astype(np.int8)
    return table
