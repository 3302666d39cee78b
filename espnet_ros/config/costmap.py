"""Parameters of the costmap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from espnet_ros.config.declaration import Section, parameter
from espnet_ros.errors import ParameterError

MAX_CELLS = 1_000_000
"""Largest number of cells in one layer of the costmap."""


def _costmap_parameter(default: float, description: str, minimum: float, maximum: float, unit: str = "") -> Any:
    return parameter(default, description, unit=unit, minimum=minimum, maximum=maximum, live=True, changes_costmap=True)


@dataclass(frozen=True)
class CostmapParameters:
    """Size, range and evidence of the costmap."""

    costmap_width: float = _costmap_parameter(
        20.0, "Size of the costmaps along x, less costmap_origin_step.", 1.0, 200.0, "m"
    )
    costmap_height: float = _costmap_parameter(
        20.0, "Size of the costmaps along y, less costmap_origin_step.", 1.0, 200.0, "m"
    )
    costmap_resolution: float = _costmap_parameter(0.1, "Side length of a cell.", 0.01, 2.0, "m")
    costmap_origin_step: float = _costmap_parameter(
        1.0,
        "The costmaps move with the robot in steps of this, and are this much larger than costmap_width and "
        "costmap_height. Nav2 allocates memory and logs a line at each move. 0 moves them by "
        "single cells.",
        0.0,
        20.0,
        "m",
    )
    costmap_min_range: float = _costmap_parameter(
        0.5, "Ignore ground closer than this to the point below the camera.", 0.0, 50.0, "m"
    )
    costmap_max_range: float = _costmap_parameter(
        12.0, "Ignore ground farther than this from the point below the camera.", 1.0, 100.0, "m"
    )
    costmap_min_confidence: float = _costmap_parameter(0.0, "Ignore pixels below this confidence.", 0.0, 1.0)
    costmap_min_obstacle_height: float = _costmap_parameter(
        0.15, "Treat anything that rises less than this above the ground as noise, not as an obstacle.", 0.0, 2.0, "m"
    )
    costmap_hit: float = _costmap_parameter(
        1.2, "Log-odds that one image adds to a cell in which it sees the layer's classes.", 0.1, 10.0
    )
    costmap_miss: float = _costmap_parameter(
        0.7, "Log-odds that one image subtracts from a cell in which it sees something else.", 0.0, 10.0
    )
    costmap_decay: float = _costmap_parameter(
        10.0, "Time in which evidence decays to 37 %. 0 disables the decay.", 0.0, 3600.0, "s"
    )
    costmap_max_rate: float = _costmap_parameter(
        4.0,
        "Publish the grids for Nav2 (~/costmap and ~/costmap/<layer>) at most this often; every image counts. From "
        "Lyrical on, keep it at least 1 Hz below the update_frequency of Nav2's costmap. 0 for no limit.",
        0.0,
        1000.0,
        "Hz",
    )
    costmap_timeout: float = _costmap_parameter(
        1.0,
        "Publish cleared costmaps when no image has updated them for this long, but never before two images are due at "
        "max_rate.",
        0.1,
        60.0,
        "s",
    )

    def check_costmap(self) -> None:
        """Check the rules that involve several parameters.

        Raises:
            ParameterError: the minimum range is not below the maximum range, or the grid has too many cells.
        """
        if self.costmap_min_range >= self.costmap_max_range:
            raise ParameterError(
                f"costmap_min_range must be below costmap_max_range, {self.costmap_max_range} m, "
                f"is {self.costmap_min_range}"
            )
        width, height = (side + self.costmap_origin_step for side in (self.costmap_width, self.costmap_height))
        cells = width * height / self.costmap_resolution**2
        if cells > MAX_CELLS:
            raise ParameterError(
                "(costmap_width + costmap_origin_step) x (costmap_height + costmap_origin_step) / costmap_resolution^2 "
                f"must be at most {MAX_CELLS} cells, is {cells:.0f}"
            )


SECTION = Section(
    "Costmap",
    "Size, range and evidence of the costmaps. They are computed only while a costmap topic has a subscriber. Changing "
    "one of these parameters clears them.",
    CostmapParameters,
    guide="docs/nav2.md",
)
