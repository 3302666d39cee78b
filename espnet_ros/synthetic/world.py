"""A street: its course, its ground, what stands in it, its light, and the truth about them."""

from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np

from espnet_ros.errors import ParameterError
from espnet_ros.synthetic import truth
from espnet_ros.synthetic.classes import NUM_CLASSES
from espnet_ros.synthetic.course import Course
from espnet_ros.synthetic.ground import GroundTexture, draw_cross_section
from espnet_ros.synthetic.layout import Layout
from espnet_ros.synthetic.light import Sky, draw_light
from espnet_ros.synthetic.palette import Palette
from espnet_ros.synthetic.shadows import ShadowMap
from espnet_ros.synthetic.solids import StandingObject

MAX_LENGTH = 2000.0
"""Metres of the longest drive."""


class StreetWorld:
    """A procedural street in the odom frame: x forward at the start, y left, z up, the ground at z = 0, in metres.

    Nothing in it moves: cars are parked or wait, people stand. So the truth about a place is the same in every frame.
    The same arguments give the same street, to the bit.

    Args:
        seed: what everything is drawn from, at least 0.
        length: metres that can be driven; the street goes on beyond.
        turns: False makes it straight.
        min_radius: metres of its tightest turn, at least 15.

    Attributes:
        seed: as given; ``length`` likewise.
        course: the centre line.
        section: the street across.
        light: sun, weather and camera.
        objects: what stands in it.

    Raises:
        ParameterError: an argument breaks its rule.
    """

    def __init__(self, seed: int, length: float = 100.0, turns: bool = True, min_radius: float = 20.0) -> None:
        if seed < 0:
            raise ParameterError(f"seed must be at least 0, is {seed}")
        if not 1.0 <= length <= MAX_LENGTH:
            raise ParameterError(f"length of the street must be 1 to {MAX_LENGTH:g} m, is {length}")
        if not min_radius >= 15.0:
            raise ParameterError(f"min_radius must be at least 15 m, is {min_radius}")
        self.seed = seed
        self.length = length
        sources = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
        self.section = draw_cross_section(sources[0])
        self.course = Course(sources[0], length, min_radius, turns)
        self.light = draw_light(sources[1])
        self.sky = Sky(sources[1], self.light)
        palette = Palette(sources[2])
        self.atlas = palette.atlas
        self.ground_texture = GroundTexture(sources[3], self.section)
        self.objects: List[StandingObject] = Layout(sources[4], self.course, self.section, palette, length).fill()
        self.shadows = ShadowMap(sources[3], self.light, self.objects, self.course.lower, self.course.upper)

    def ground_classes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """uint8 class ids of the ground at points of any one shape, in metres; objects on it do not count."""
        x, y = np.asarray(x), np.asarray(y)
        _, d = self.course.locate(x.astype(np.float32).ravel(), y.astype(np.float32).ravel())
        return self.section.class_ids(d).reshape(x.shape)

    def true_grid(self, origin: Tuple[float, float], resolution: float, rows: int, columns: int) -> np.ndarray:
        """Class of the ground at the middle of each cell of an axis-aligned grid; objects on it do not count.

        Args:
            origin: x and y of the corner of cell (0, 0), in metres in the odom frame, as in nav_msgs/OccupancyGrid.
            resolution: metres a side of a cell.
            rows: cells along y.
            columns: cells along x.

        Returns:
            (rows, columns) uint8.
        """
        x, y = truth.cell_centres(origin, resolution, rows, columns)
        return self.ground_classes(*np.meshgrid(x, y))

    def standing_footprints(self) -> List[StandingObject]:
        """The objects that touch the ground."""
        return [standing for standing in self.objects if standing.touches_ground]

    def class_grids(self, origin: Tuple[float, float], resolution: float, rows: int, columns: int) -> np.ndarray:
        """The true ground grid of each class.

        A standing class has the cells that a footprint touches; road and pavement have the cells whose middle is
        theirs and that no footprint touches.

        Args:
            origin: x and y of the corner of cell (0, 0), in metres in the odom frame.
            resolution: metres a side of a cell.
            rows: cells along y.
            columns: cells along x.

        Returns:
            (NUM_CLASSES, rows, columns) bool.
        """
        grids = np.zeros((NUM_CLASSES, rows, columns), bool)
        for standing in self.standing_footprints():
            truth.mark_footprint(grids[standing.class_id], standing, origin, resolution)
        occupied = grids.any(axis=0)
        ground = self.true_grid(origin, resolution, rows, columns)
        for class_id in np.unique(ground):
            grids[class_id] = (ground == class_id) & ~occupied
        return grids

    def pose_at(self, s: float) -> Tuple[float, float, float]:
        """X, y in metres and heading in radians after ``s`` metres in the middle of the lane."""
        place = self.course.station(s)
        d = self.section.own_lane
        return place.x - d * math.sin(place.heading), place.y + d * math.cos(place.heading), place.heading
