"""Costmaps from exact labels of the synthetic street, compared with its true ground."""

import math
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from espnet_ros.classes import STANDING, load_class_table
from espnet_ros.costmap.costmap import Costmap, CostmapSettings
from espnet_ros.costmap.grid import FusionRules
from espnet_ros.costmap.layers import layers_from_table
from espnet_ros.synthetic import Mount, StreetWorld, default_camera, drive, visible_contacts
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.slow

LAYERS = layers_from_table(load_class_table("camvid"))
NAMES = [layer.name for layer in LAYERS]
ROAD, PAVEMENT, SIGN_SYMBOL = 3, 4, 6
NEAR, FAR = 2.0, 12.0
RESOLUTION = 0.1
LEAST_POINTS = 5  # of a foot in view, 4 cm apart: less than 20 cm is no object but a corner of one
SIZE = ImageSize(720, 960)
CAMERA = default_camera(SIZE)
TURN = math.radians(10)
VIEWS = {
    "level": (CAMERA, Mount()),
    "pitched down": (CAMERA, Mount(pitch=TURN)),
    "pitched up": (CAMERA, Mount(pitch=-TURN)),
    "rolled": (CAMERA, Mount(roll=math.radians(5))),
    "at 0.3 m": (CAMERA, Mount(height=0.3)),
    "at 2.5 m": (CAMERA, Mount(height=2.5)),
    "distorted": (replace(CAMERA, distortion=(-0.25, 0.07, 0.001, -0.001, 0.0)), Mount()),
    "fisheye": (
        replace(CAMERA, fx=500.0, fy=500.0, distortion_model="equidistant", distortion=(0.01, -0.004, 0.0, 0.0)),
        Mount(),
    ),
    "half size": (CAMERA.resized(ImageSize(360, 480)), Mount()),
}


@pytest.fixture(scope="module")
def worlds():
    return [StreetWorld(seed=seed, length=60.0) for seed in (2, 5, 33, 47)]


class Ground(NamedTuple):
    """The cells of a grid, and their true content."""

    x: np.ndarray
    y: np.ndarray
    true_class: np.ndarray
    footprint: np.ndarray
    near_footprint: np.ndarray


def _ground(world, grid):
    origin = grid.origin
    x = origin[0] + (np.arange(grid.columns) + 0.5) * grid.resolution
    y = origin[1] + (np.arange(grid.rows) + 0.5) * grid.resolution
    classes = world.class_grids(origin, grid.resolution, grid.rows, grid.columns)
    footprint = np.delete(classes, (0, ROAD, PAVEMENT), axis=0).any(axis=0)
    cells = 2 * round(0.3 / grid.resolution) + 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (cells, cells))
    near = cv2.dilate(footprint.astype(np.uint8), around) > 0
    true_class = world.ground_class_grid(origin, grid.resolution, grid.rows, grid.columns)
    return Ground(*np.meshgrid(x, y), true_class, footprint, near)


def _visible(frame, ground, max_range):
    """Cells whose centre is visible ground, between NEAR and max_range metres from the camera."""
    eye = frame.odom_from_camera[:3, 3]
    offsets = np.stack([ground.x - eye[0], ground.y - eye[1], np.full_like(ground.x, -eye[2])], axis=-1).reshape(-1, 3)
    pixels = np.rint(np.nan_to_num(frame.camera.project(offsets @ frame.odom_from_camera[:3, :3]), nan=-9.0))
    column, row = pixels.clip(-9, 1e6).astype(int).T
    height, width = frame.camera.size
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen = np.zeros(len(offsets), bool)
    shown = frame.labels[row[inside], column[inside]], frame.instances[row[inside], column[inside]]
    seen[inside] = np.isin(shown[0], (ROAD, PAVEMENT)) & (shown[1] == 0)
    away = np.hypot(ground.x - eye[0], ground.y - eye[1])
    return seen.reshape(ground.x.shape) & (away > NEAR) & (away < max_range) & ~ground.footprint


class Score:
    """Counts, summed over frames."""

    def __init__(self):
        self.intersection = {ROAD: 0, PAVEMENT: 0}
        self.union = {ROAD: 0, PAVEMENT: 0}
        self.found = self.objects = self.occupied = self.in_shadow = 0

    def add(self, world, frame, costmap):
        ground = _ground(world, costmap.grid)
        visible = _visible(frame, ground, FAR)
        for class_id, name in ((ROAD, "road"), (PAVEMENT, "pavement")):
            found = (costmap.grid.log_odds[NAMES.index(name)] >= costmap.grid.rules.known_threshold) & visible
            true = (ground.true_class == class_id) & visible
            self.intersection[class_id] += np.count_nonzero(found & true)
            self.union[class_id] += np.count_nonzero(found | true)
        self._add_contacts(world, frame, costmap, ground, visible)

    def _add_contacts(self, world, frame, costmap, ground, visible):
        standing = [index for index, layer in enumerate(LAYERS) if layer.kind == STANDING]
        eye = frame.odom_from_camera[:2, 3]
        away = np.hypot(ground.x - eye[0], ground.y - eye[1])
        occupied = (costmap.grid.log_odds[standing] >= costmap.grid.rules.known_threshold).any(axis=0) & (away > NEAR)
        self.occupied += np.count_nonzero(occupied)
        self.in_shadow += np.count_nonzero(occupied & ~ground.near_footprint & ~visible & (away < FAR))
        cells = np.stack([ground.x[occupied], ground.y[occupied]], axis=1)
        for points in visible_contacts(world, frame, FAR).values():
            points = points[np.hypot(*(points - eye).T) > NEAR]
            if len(points) >= LEAST_POINTS:
                self.objects += 1
                gaps = np.hypot(*(cells[:, None] - points[None]).transpose(2, 0, 1)) if len(cells) else np.array([9.0])
                self.found += bool(gaps.min() <= 0.2)

    def iou(self, class_id):
        return self.intersection[class_id] / self.union[class_id]


@pytest.fixture(scope="module", params=list(VIEWS))
def score(request, worlds):
    camera, mount = VIEWS[request.param]
    score = Score()
    for world in worlds:
        for frame in drive(world, camera, rate=1.0, speed=9.0, mount=mount):
            settings = CostmapSettings(size=(26.0, 26.0), resolution=RESOLUTION)
            costmap = Costmap(LAYERS, settings)
            costmap.update(frame.labels, None, camera, mount.base_from_camera, frame.odom_from_base, frame.stamp_ns)
            score.add(world, frame, costmap)
    return score


def test_road_is_where_the_road_is(score):
    assert score.iou(ROAD) >= 0.95


def test_pavement_is_where_the_pavement_is(score):
    assert score.iou(PAVEMENT) >= 0.9


def test_standing_things_touch_the_ground_where_they_stand(score):
    assert score.objects >= 20
    assert score.found >= 0.95 * score.objects


def test_nothing_is_occupied_in_the_shadow_behind_a_standing_thing(score):
    assert score.occupied > 100
    assert score.in_shadow == 0


def test_a_drive_of_50_m_with_turns_fuses_to_the_true_map(worlds):
    world = worlds[0]
    camera, mount = default_camera(ImageSize(360, 480)), Mount()
    settings = CostmapSettings(size=(150.0, 150.0), resolution=0.2, rules=FusionRules(decay=0.0))
    costmap = Costmap(LAYERS, settings)
    frames = list(drive(world, camera, rate=4.0, speed=5.0, mount=mount))
    start, end = frames[0].odom_from_base, frames[-1].odom_from_base
    assert abs(math.atan2(end[1, 0], end[0, 0])) > 0.2
    assert np.hypot(*(end - start)[:2, 3]) > 45
    for frame in frames:
        in_place = frame.odom_from_base
        costmap.update(frame.labels, None, camera, mount.base_from_camera, in_place, frame.stamp_ns)
    ground = _ground(world, costmap.grid)
    known = (np.abs(costmap.grid.log_odds) >= costmap.grid.rules.known_threshold).any(axis=0) & ~ground.footprint
    road = (costmap.grid.log_odds[NAMES.index("road")] >= costmap.grid.rules.known_threshold) & known
    true = (ground.true_class == ROAD) & known
    assert np.count_nonzero(true) * 0.04 > 250
    assert np.count_nonzero(road & true) / np.count_nonzero(road | true) >= 0.9
    standing = [index for index, layer in enumerate(LAYERS) if layer.kind == STANDING]
    occupied = (costmap.grid.log_odds[standing] >= costmap.grid.rules.known_threshold).any(axis=0)
    assert np.count_nonzero(occupied & ground.near_footprint) / np.count_nonzero(occupied) >= 0.97
