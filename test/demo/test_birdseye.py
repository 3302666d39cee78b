import math

import numpy as np
import pytest

from espnet_ros.classes import load_class_table
from espnet_ros.costmap.layers import layers_from_table
from espnet_ros.demo.birdseye import (
    UNDECIDED,
    UNSEEN,
    ClassGrid,
    draw_around,
    draw_map,
    fuse_grids,
    ground_points,
    layer_colors,
    likeliest_layers,
)

CAMVID = load_class_table("camvid")
LAYERS = layers_from_table(CAMVID)
NAMES = [layer.name for layer in LAYERS]
ROAD, PAVEMENT = NAMES.index("road"), NAMES.index("pavement")
COLORS = layer_colors(LAYERS, CAMVID)
ROAD_COLOR, PAVEMENT_COLOR, GREY = [128, 64, 128], [60, 40, 222], [172, 177, 185]
VIEW = (150, 200)  # 10 pixels a metre: 13 m ahead, 2 m behind, 10 m aside


def _pose(x, y, heading):
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]]
    pose[:2, 3] = x, y
    return pose


def _grid(cells, origin=(0.0, 0.0), resolution=1.0):
    return ClassGrid(np.array(cells, np.uint8), origin, resolution)


def test_a_cell_belongs_to_its_likeliest_layer_and_to_what_stands_there_first():
    # columns: road; pavement; a standing thing on likelier road; seen, but nothing likely; 50 is not above 50; unseen
    percent = np.array([[[90, 60, 95, 30, 50, -1]], [[20, 61, 5, 30, 50, -1]], [[10, 10, 51, 40, 50, -1]]], np.int8)
    cells = likeliest_layers(percent, [False, False, True])
    assert cells.tolist() == [[0, 1, 2, UNDECIDED, UNDECIDED, UNSEEN]]
    assert cells.dtype == np.uint8


def test_layers_have_the_colour_of_their_first_class_and_all_else_is_grey():
    assert COLORS[ROAD].tolist() == ROAD_COLOR
    assert COLORS[NAMES.index("person")].tolist() == [64, 64, 0]
    assert COLORS[UNSEEN].tolist() == COLORS[UNDECIDED].tolist() == GREY


@pytest.mark.parametrize(
    ("heading", "x", "y"),
    # the pixel in row 30 and column 80 has its middle 9.95 m ahead and 1.95 m to the left
    [(0.0, 5 + 9.95, 7 + 1.95), (math.pi / 2, 5 - 1.95, 7 + 9.95), (math.pi, 5 - 9.95, 7 - 1.95)],
)
def test_ahead_is_up_whatever_the_heading(heading, x, y):
    east, north = ground_points(VIEW, _pose(5.0, 7.0, heading))
    assert east[30, 80] == pytest.approx(x)
    assert north[30, 80] == pytest.approx(y)


def test_a_view_has_the_colours_of_the_cells_around_the_robot():
    # The robot is at (5, 5) and looks along y. Road 1 m wide begins 4 m ahead, pavement is 1 m to its left.
    cells = np.full((20, 20), UNSEEN)
    cells[9:14, 5], cells[9:14, 4] = ROAD, PAVEMENT
    picture = draw_around(_grid(cells), _pose(5.5, 5.0, math.pi / 2), COLORS, VIEW)
    assert picture.shape == (*VIEW, 3)
    row = 130 - 75  # 7.5 m ahead, between two rings
    assert picture[row, 103].tolist() == ROAD_COLOR
    assert picture[row, 92].tolist() == PAVEMENT_COLOR
    assert picture[row, 107].tolist() == GREY
    assert picture[row, 84].tolist() == GREY
    assert picture[130 - 35, 97].tolist() == GREY


def test_rings_and_the_robot_are_drawn_over_an_unseen_ground():
    picture = draw_around(None, _pose(0.0, 0.0, 0.0), COLORS, VIEW)
    assert picture[130, 100].tolist() == pytest.approx([255, 214, 64], abs=8)
    for distance in (2, 6, 10):
        column = picture[130 - 10 * distance - 3 : 130 - 10 * distance + 4, 70:131].astype(int)
        assert column.max() > 200
    assert picture[130 - 50, 80].tolist() == GREY


def test_fused_grids_show_what_was_seen_last():
    old = _grid([[ROAD, ROAD, UNSEEN]] * 3, (-2.0, 0.0))
    new = _grid([[PAVEMENT, UNSEEN, PAVEMENT]] * 3, (-1.0, 1.0))
    fused = fuse_grids([old, new], np.zeros((0, 2)))
    u = UNSEEN
    assert fused.origin == (-2.0, 0.0)
    assert fused.cells.tolist() == [
        [ROAD, ROAD, u, u],
        [ROAD, PAVEMENT, u, PAVEMENT],
        [ROAD, PAVEMENT, u, PAVEMENT],
        [u, PAVEMENT, u, PAVEMENT],
    ]


def test_a_fused_grid_is_cut_to_what_is_known_and_to_the_path():
    cells = np.full((30, 40), UNSEEN)
    cells[10, 20] = ROAD
    fused = fuse_grids([_grid(cells)], np.array([[8.5, 14.5]]))
    # columns 8..20 and rows 10..14, and a margin of 1 m
    assert fused.origin == (7.0, 9.0)
    assert fused.cells.shape == (7, 15)
    assert fused.cells[1, 13] == ROAD


def test_nothing_known_keeps_the_whole_grid():
    assert fuse_grids([_grid(np.full((5, 7), UNSEEN))], np.zeros((0, 2))).cells.shape == (5, 7)


def test_a_map_has_y_up_and_the_colours_of_its_cells():
    cells = np.full((20, 50), UNSEEN)
    cells[0:5], cells[15:20] = PAVEMENT, ROAD
    picture = draw_map(_grid(cells), np.array([[5.0, 10.0], [40.0, 10.0]]), COLORS, width=500)
    assert picture.shape == (200, 500, 3)
    assert picture[20, 250].tolist() == ROAD_COLOR
    assert picture[180, 250].tolist() == PAVEMENT_COLOR
    assert picture[60, 250].tolist() == GREY
    # the path runs at y 10, in the middle
    assert picture[100, 250].tolist() == [255, 214, 64]


def test_faded_cells_are_paler():
    cells = np.full((20, 50), ROAD)
    faded = np.zeros((20, 50), bool)
    faded[:, 25:] = True
    picture = draw_map(_grid(cells), np.array([[5.0, 10.0], [9.0, 10.0]]), COLORS, width=500, faded=faded)
    assert picture[20, 100].tolist() == ROAD_COLOR
    # 0.3 x 128 + 0.7 x 172 = 158.8, 0.3 x 64 + 0.7 x 177 = 143.1, 0.3 x 128 + 0.7 x 185 = 167.9
    assert picture[20, 400].tolist() == [158, 143, 167]
