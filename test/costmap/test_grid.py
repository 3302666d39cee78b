import math

import numpy as np
import pytest
from scene import TABLE

from espnet_ros.costmap.grid import UNKNOWN, FusionRules, RollingGrid
from espnet_ros.costmap.layers import GroundEvidence, layers_from_table

LAYERS = layers_from_table(TABLE)
ROAD, GRASS, BOX, PERSON = range(4)
RULES = FusionRules(hit=1.0, miss=0.5, limit=3.0, decay=10.0, known_threshold=0.2, full_weight_pixels=1.0)


def _grid(size=(4.0, 3.0), resolution=0.5, rules=RULES):
    grid = RollingGrid(LAYERS, size, resolution, rules)
    grid.center_on(0.0, 0.0)
    return grid


def _evidence(ground=(), contacts=()):
    """ground: (x, y, layer, pixel area); contacts: (x, y, layer)."""
    ground, contacts = np.array(ground, float).reshape(-1, 4), np.array(contacts, float).reshape(-1, 3)
    layer = contacts[:, 2].astype(np.uint8)
    return GroundEvidence(
        ground[:, 0].astype(np.float32), ground[:, 1].astype(np.float32), ground[:, 2].astype(np.uint8),
        ground[:, 3].astype(np.float32), contacts[:, 0].astype(np.float32), contacts[:, 1].astype(np.float32), layer,
        layer, np.full(len(layer), 255, np.uint8),
    )  # fmt: skip


def _value(grid, layer, x, y):
    column, row = (int((at - start) // grid.resolution) for at, start in zip((x, y), grid.origin))
    return grid.log_odds[layer, row, column]


def test_the_grid_is_as_large_as_asked_for_and_centred():
    grid = _grid()
    assert (grid.rows, grid.columns) == (6, 8)
    assert grid.origin == (-2.0, -1.5)


def test_ground_speaks_for_its_layer_and_against_the_others():
    grid = _grid()
    grid.add(_evidence([(0.7, -0.3, ROAD, 1.0)]), np.eye(4))
    assert [_value(grid, layer, 0.7, -0.3) for layer in range(4)] == [1.0, -0.5, -0.5, -0.5]
    assert np.count_nonzero(grid.log_odds) == 4


def test_a_cell_that_shows_two_classes_is_divided_by_pixels():
    grid = _grid()
    grid.add(_evidence([(0.7, -0.3, ROAD, 3.0), (0.8, -0.2, GRASS, 1.0)]), np.eye(4))
    # 3/4 of 1.5 minus 0.5, and 1/4 of 1.5 minus 0.5
    assert _value(grid, ROAD, 0.7, -0.3) == pytest.approx(0.625)
    assert _value(grid, GRASS, 0.7, -0.3) == pytest.approx(-0.125)


def test_half_a_pixel_is_half_the_evidence():
    grid = _grid()
    grid.add(_evidence([(0.7, -0.3, ROAD, 0.5)]), np.eye(4))
    assert _value(grid, ROAD, 0.7, -0.3) == pytest.approx(0.5)


def test_a_contact_marks_its_layer_and_makes_the_cell_no_ground():
    grid = _grid()
    grid.add(_evidence([(0.7, -0.3, ROAD, 4.0)], [(0.6, -0.4, BOX), (0.7, -0.4, BOX)]), np.eye(4))
    assert _value(grid, BOX, 0.7, -0.3) == 1.0
    assert _value(grid, ROAD, 0.7, -0.3) == 0.5
    assert _value(grid, PERSON, 0.7, -0.3) == 0.0


def test_evidence_adds_up_to_the_limit_and_no_further():
    grid = _grid()
    for _ in range(10):
        grid.add(_evidence([(0.7, -0.3, ROAD, 1.0)]), np.eye(4))
    assert [_value(grid, layer, 0.7, -0.3) for layer in (ROAD, BOX)] == [3.0, -3.0]


def test_an_obstacle_that_has_gone_is_cleared_by_the_ground_seen_there():
    grid = _grid()
    for _ in range(3):
        grid.add(_evidence(contacts=[(0.7, -0.3, BOX)]), np.eye(4))
    assert grid.merged().max() == 100
    for _ in range(6):
        grid.add(_evidence([(0.7, -0.3, ROAD, 1.0)]), np.eye(4))
    assert grid.merged().max() == 0


def test_evidence_fades_with_time():
    grid = _grid()
    grid.add(_evidence([(0.7, -0.3, ROAD, 1.0)]), np.eye(4))
    grid.decay(5.0)
    assert _value(grid, ROAD, 0.7, -0.3) == pytest.approx(math.exp(-0.5))


def test_without_decay_evidence_stays():
    grid = _grid(rules=FusionRules(hit=1.0, decay=0.0, full_weight_pixels=1.0))
    grid.add(_evidence([(0.7, -0.3, ROAD, 1.0)]), np.eye(4))
    grid.decay(1000.0)
    assert _value(grid, ROAD, 0.7, -0.3) == 1.0


@pytest.mark.parametrize("move", [(1.0, 0.0), (-1.0, 0.5), (0.0, -1.0), (0.3, 0.2)])
def test_what_is_known_of_a_place_stays_there_when_the_grid_moves(move):
    grid = _grid()
    grid.add(_evidence([(0.7, -0.3, ROAD, 1.0)]), np.eye(4))
    grid.center_on(*move)
    assert _value(grid, ROAD, 0.7, -0.3) == 1.0
    assert np.count_nonzero(grid.log_odds[ROAD]) == 1
    assert all(math.isclose(side % 0.5, 0.0) for side in grid.origin)


def test_what_leaves_the_grid_is_forgotten():
    grid = _grid()
    grid.add(_evidence([(0.7, -0.3, ROAD, 1.0)]), np.eye(4))
    grid.center_on(3.0, 0.0)
    grid.center_on(0.0, 0.0)
    assert np.count_nonzero(grid.log_odds) == 0


def test_a_turned_and_moved_base_puts_evidence_where_it_belongs():
    grid = _grid()
    quarter_turn = np.array([[0, -1, 0, 0.2], [1, 0, 0, -0.6], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    grid.add(_evidence([(1.0, 0.5, ROAD, 1.0)]), quarter_turn)
    assert _value(grid, ROAD, -0.3, 0.4) == 1.0


def test_far_from_the_origin_cells_are_as_exact():
    grid = _grid(resolution=0.1)
    grid.center_on(100_000.0, -50_000.0)
    pose = np.eye(4)
    pose[:2, 3] = 100_000.0, -50_000.0
    grid.add(_evidence([(0.75, -0.35, ROAD, 1.0)]), pose)
    assert _value(grid, ROAD, 100_000.75, -50_000.35) == 1.0


def test_a_layers_grid_is_a_probability_in_per_cent():
    grid = _grid()
    for _ in range(2):
        grid.add(_evidence([(0.7, -0.3, ROAD, 1.0)]), np.eye(4))
    percent = grid.occupancy(ROAD)
    assert percent.dtype == np.int8
    assert percent.max() == pytest.approx(100 / (1 + math.exp(-2)), abs=1)
    assert np.count_nonzero(percent != UNKNOWN) == 1


def test_the_merged_grid_holds_costs_and_nothing_else():
    grid = _grid()
    grid.add(_evidence([(0.7, -0.3, ROAD, 1.0), (-0.7, -0.3, GRASS, 1.0)], [(0.7, 0.8, PERSON)]), np.eye(4))
    merged = grid.merged()
    assert sorted(np.unique(merged).tolist()) == [0, 50, 100]
    assert np.count_nonzero(merged == 50) == np.count_nonzero(merged == 100) == 1


def _stepping_grid(step=1.0, resolution=0.1):
    return RollingGrid(LAYERS, (4.0, 3.0), resolution, RULES, origin_step=step)


def _covers(grid, x, y):
    (left, low), (columns, rows) = grid.origin, (grid.columns, grid.rows)
    right, high = left + columns * grid.resolution, low + rows * grid.resolution
    a_cell = grid.resolution + 1e-6  # the window begins on a whole cell
    return (
        left <= x - 2.0 + a_cell and right >= x + 2.0 - a_cell and low <= y - 1.5 + a_cell and high >= y + 1.5 - a_cell
    )


def test_a_grid_that_moves_in_steps_is_one_step_larger_and_moves_once_a_step():
    grid = _stepping_grid()
    assert (grid.columns, grid.rows) == (50, 40)
    origins = set()
    for index in range(500):
        grid.center_on(index * 0.02, 0.0)
        origins.add(grid.origin)
    assert len(origins) == 10  # 9.98 m
    assert all(math.isclose(origin[0], round(origin[0])) for origin in origins)


@pytest.mark.parametrize(("step", "resolution"), [(1.0, 0.1), (0.7, 0.2), (5.0, 0.1), (0.04, 0.1), (0.0, 0.1)])
def test_the_window_around_the_robot_is_always_covered(step, resolution):
    grid = _stepping_grid(step, resolution)
    rng = np.random.default_rng(16)
    x = y = 0.0
    for _ in range(500):
        x, y = x + rng.normal(0.0, 0.8), y + rng.normal(0.0, 0.8)
        grid.center_on(x, y)
        assert _covers(grid, x, y)


@pytest.mark.parametrize("place", [0.0, 0.999, 1.0, -1.0, 0.5])
def test_a_robot_that_trembles_moves_the_grid_at_most_once(place):
    grid = _stepping_grid()
    moves = []
    for index in range(20):
        grid.center_on(place + (0.02 if index % 2 else -0.02), 0.0)
        moves.append(grid.origin)
    assert sum(before != after for before, after in zip(moves, moves[1:])) <= 1


def test_evidence_stays_in_place_when_the_grid_moves_by_a_step():
    grid = _stepping_grid()
    grid.add(_evidence([(0.75, -0.35, ROAD, 1.0)]), np.eye(4))
    before = grid.origin
    grid.center_on(1.3, 0.0)
    assert grid.origin != before
    assert _value(grid, ROAD, 0.75, -0.35) == 1.0
