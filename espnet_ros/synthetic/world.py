"""A street: its course, ground, objects and light, and their ground truth."""

from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np

from espnet_ros.errors import ParameterError
from espnet_ros.synthetic import ground_truth
from espnet_ros.synthetic.classes import NUM_CLASSES
from espnet_ros.synthetic.course import Course
from espnet_ros.synthetic.ground import GroundTexture, draw_cross_section
from espnet_ros.synthetic.layout import Layout
from espnet_ros.synthetic.light import Sky, draw_light
from espnet_ros.synthetic.palette import Palette
from espnet_ros.synthetic.shadows import ShadowMap
from espnet_ros.synthetic.solids import StandingObject

MAX_LENGTH = 2000.0
"""Maximum length of a drive in metres."""


class StreetWorld:
    """A procedural street in the odom frame: x forward at the start, y left, z up, the ground at z = 0, in metres.

    Nothing moves: cars are parked or wait, people stand still. The ground truth of a place is therefore the same in
    every frame. The same arguments always give exactly the same street.

    Args:
        seed: seed of all random choices, at least 0.
        length: metres of the drive; the street continues beyond it.
        turns: False for a straight street.
        min_radius: radius of the tightest turn in metres, at least 15.

    Attributes:
        seed: seed of the street.
        length: metres of the drive.
        course: the centre line.
        section: the cross-section.
        light: sun, weather and camera effects.
        objects: all objects.

    Raises:
        ParameterError: an argument is out of range.
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
        """Return uint8 class ids of the ground without objects, in the shape of ``x`` and ``y`` (metres)."""
        x, y = np.asarray(x), np.asarray(y)
        _, d = self.course.locate(x.astype(np.float32).ravel(), y.astype(np.float32).ravel())
        return self.section.class_ids(d).reshape(x.shape)

    def ground_class_grid(self, origin: Tuple[float, float], resolution: float, rows: int, columns: int) -> np.ndarray:
        """Return the class of the ground at the centre of each cell of an axis-aligned grid, without objects.

        Args:
            origin: x and y of the corner of cell (0, 0), in metres in the odom frame, as in nav_msgs/OccupancyGrid.
            resolution: side of a cell in metres.
            rows: cells along y.
            columns: cells along x.

        Returns:
            (rows, columns) uint8.
        """
        x, y = ground_truth.cell_centres(origin, resolution, rows, columns)
        return self.ground_classes(*np.meshgrid(x, y))

    def objects_on_ground(self) -> List[StandingObject]:
        """Return the objects that touch the ground."""
        return [standing for standing in self.objects if standing.touches_ground]

    def class_grids(self, origin: Tuple[float, float], resolution: float, rows: int, columns: int) -> np.ndarray:
        """Return the ground truth grid of each class.

        The cells of an object class are those that a footprint touches. The cells of road and pavement are those
        whose centre has that class and that no footprint touches.

        Args:
            origin: x and y of the corner of cell (0, 0), in metres in the odom frame.
            resolution: side of a cell in metres.
            rows: cells along y.
            columns: cells along x.

        Returns:
            (NUM_CLASSES, rows, columns) bool.
        """
        grids = np.zeros((NUM_CLASSES, rows, columns), bool)
        for standing in self.objects_on_ground():
            ground_truth.mark_footprint(grids[standing.class_id], standing, origin, resolution)
        occupied = grids.any(axis=0)
        ground = self.ground_class_grid(origin, resolution, rows, columns)
        for class_id in np.unique(ground):
            grids[class_id] = (ground == class_id) & ~occupied
        return grids

    def pose_at(self, s: float) -> Tuple[float, float, float]:
        """Return x and y in metres and heading in radians after ``s`` metres in the middle of the lane."""
        place = self.course.station(s)
        d = self.section.own_lane
        return place.x - d * math.sin(place.heading), place.y + d * math.cos(place.heading), place.heading
