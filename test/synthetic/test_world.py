import math

import numpy as np
import pytest

from espnet_ros.errors import ParameterError
from espnet_ros.synthetic import StandingObject, StreetWorld
from espnet_ros.synthetic.classes import BICYCLIST, BUILDING, CAR, FENCE, PAVEMENT, PEDESTRIAN, POLE, ROAD, SIGN, TREE
from espnet_ros.synthetic.course import Course
from espnet_ros.synthetic.ground_truth import mark_footprint


def _footprint(x, y, yaw, half_x, half_y, is_round=False):
    return StandingObject(1, CAR, x, y, yaw, half_x, half_y, is_round, 1.5, ())


def test_the_same_seed_gives_the_same_street_and_another_one_another():
    one, same, other = (StreetWorld(seed, 20.0) for seed in (5, 5, 6))
    assert one.objects == same.objects
    assert one.section == same.section
    assert one.light == same.light
    assert one.objects != other.objects
    assert one.section != other.section


@pytest.mark.parametrize("seed", range(3))
def test_a_street_has_something_of_every_standing_class(seed):
    present = {standing.class_id for standing in StreetWorld(seed, 60.0).objects}
    assert present >= {BUILDING, POLE, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST}


def test_a_point_found_beside_the_course_is_where_it_was_put():
    course = Course(np.random.default_rng(1), 200.0, 20.0, turns=True)
    random = np.random.default_rng(2)
    s, d = random.uniform(-39.0, 320.0, 4000), random.uniform(-14.0, 14.0, 4000)
    x, y = np.array([course.point(*place) for place in zip(s, d)], np.float32).T
    found_s, found_d = course.locate(x, y)
    np.testing.assert_allclose(found_d, d, atol=5e-4)
    np.testing.assert_allclose(found_s, s, atol=5e-2)


def test_the_course_turns_but_no_tighter_than_asked():
    course = Course(np.random.default_rng(4), 150.0, 20.0, turns=True)
    places = [course.station(s) for s in np.arange(0.0, 150.0, 0.5)]
    assert max(abs(place.curvature) for place in places) <= 1 / 20.0 + 1e-6
    headings = [place.heading for place in places]
    assert max(headings) - min(headings) > math.radians(30.0)
    steps = np.hypot(np.diff([p.x for p in places]), np.diff([p.y for p in places]))
    np.testing.assert_allclose(steps, 0.5, atol=1e-3)


def test_the_ground_grid_of_a_straight_street_matches_its_cross_section():
    world = StreetWorld(seed=0, length=20.0, turns=False)
    # Ten columns of one metre from x = 3, rows of half a metre from y = -10: middles at -9.75, -9.25, ...
    grid = world.ground_class_grid((3.0, -10.0), 0.5, 40, 20)
    middles = -10.0 + (np.arange(40) + 0.5) * 0.5
    inside = (middles < world.section.left) & (middles > world.section.right)
    assert 11 <= inside.sum() <= 24
    np.testing.assert_array_equal(grid, np.where(inside, ROAD, PAVEMENT)[:, None].repeat(20, axis=1))


def test_a_footprint_marks_the_cells_that_it_touches():
    grid = np.zeros((4, 6), bool)
    mark_footprint(grid, _footprint(2.0, 1.5, 0.0, 0.9, 0.4), (0.0, 0.0), 1.0)
    assert grid.astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    # The line y = x - 0.8 from x = 1.76 to 3.04.
    turned = np.zeros((4, 6), bool)
    mark_footprint(turned, _footprint(2.4, 1.6, math.pi / 4, 0.9, 0.01), (0.0, 0.0), 1.0)
    assert turned.astype(int).tolist() == [
        [0, 1, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    round_one = np.zeros((4, 6), bool)
    mark_footprint(round_one, _footprint(4.0, 2.0, 0.0, 0.05, 0.05, is_round=True), (0.0, 0.0), 1.0)
    assert np.argwhere(round_one).tolist() == [[1, 3], [1, 4], [2, 3], [2, 4]]


def test_a_footprint_outside_the_grid_marks_nothing():
    grid = np.zeros((4, 6), bool)
    mark_footprint(grid, _footprint(-3.0, 9.0, 0.3, 0.5, 0.5), (0.0, 0.0), 1.0)
    assert not grid.any()


def test_class_grids_give_every_cell_ground_or_an_object(world):
    grids = world.class_grids((0.0, -15.0), 0.1, 300, 300)
    assert grids.any(axis=0).all()
    ground = grids[[ROAD, PAVEMENT]]
    assert not ground.all(axis=0).any()
    standing = np.delete(grids, [ROAD, PAVEMENT], axis=0).any(axis=0)
    assert not (standing & ground.any(axis=0)).any()
    np.testing.assert_array_equal(
        grids[ROAD] | standing, (world.ground_class_grid((0.0, -15.0), 0.1, 300, 300) == ROAD) | standing
    )


def test_nothing_stands_in_the_way_of_the_drive(world):
    path = np.array([world.pose_at(s)[:2] for s in np.arange(0.0, world.length, 0.5)])
    for standing in world.objects_on_ground():
        gaps = np.linalg.norm(path[:, None] - standing.polygon[None], axis=2)
        assert gaps.min() > 0.85, standing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be at least 0, is -1"),
        ({"seed": 0, "length": 0.5}, "length of the street must be 1 to 2000 m, is 0.5"),
        ({"seed": 0, "min_radius": 5.0}, "min_radius must be at least 15 m, is 5.0"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        StreetWorld(**arguments)
