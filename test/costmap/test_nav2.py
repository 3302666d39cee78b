"""Our grids in a model of Nav2's static layer."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from scene import TABLE
from static_layer import DISTROS, FREE, INSCRIBED, LETHAL, NO_INFORMATION, Nav2Settings, RollingMaster, interpret

from espnet_ros.classes import load_class_table
from espnet_ros.config import NodeConfig
from espnet_ros.costmap.grid import FusionRules, RollingGrid
from espnet_ros.costmap.layers import GroundEvidence, layers_from_table

CONFIG = Path(__file__).resolve().parents[2] / "config"
LOCAL = yaml.safe_load((CONFIG / "nav2_local_costmap.yaml").read_text(encoding="utf-8"))
SHIPPED = LOCAL["local_costmap"]["local_costmap"]["ros__parameters"]
GRASS, BOX = 1, 2
PERSON_AT, GRASS_AT = (2.05, 1.05), (-1.05, 0.05)


def _settings(distro, **changes):
    names = ("trinary_costmap", "use_maximum", "track_unknown_space", "lethal_cost_threshold")
    return Nav2Settings(distro=distro, **{**{name: SHIPPED[name] for name in names}, **changes})


def _seen(robot=(0.0, 0.0)):
    """A grid with a box and grass."""
    grid = RollingGrid(layers_from_table(TABLE), (20.0, 20.0), 0.1, FusionRules())
    grid.center_on(*robot)
    one = np.ones(1, np.float32)
    evidence = GroundEvidence(
        one * GRASS_AT[0], one * GRASS_AT[1], np.array([GRASS], np.uint8), np.array([9.0]), one * PERSON_AT[0],
        one * PERSON_AT[1], np.array([BOX], np.uint8), np.array([BOX], np.uint8), np.array([255], np.uint8),
    )  # fmt: skip
    grid.add(evidence, np.eye(4))
    return grid


def _master(distro, grid, robot=(0.0, 0.0), **changes):
    master = RollingMaster(_settings(distro, **changes), SHIPPED["width"], SHIPPED["resolution"])
    master.receive(grid.merged(), grid.origin, grid.resolution)
    master.update(robot)
    return master


@pytest.mark.parametrize("distro", DISTROS)
def test_lethal_arrives_lethal_and_graded_arrives_graded(distro):
    master = _master(distro, _seen())
    assert master.at(*PERSON_AT) == LETHAL
    assert master.at(*GRASS_AT) == int(0.5 * LETHAL)


def test_with_nav2s_default_a_graded_cost_would_be_free():
    master = _master("jazzy", _seen(), trinary_costmap=True)
    assert master.at(*PERSON_AT) == LETHAL
    assert master.at(*GRASS_AT) == FREE


@pytest.mark.parametrize("distro", DISTROS)
def test_an_unseen_cell_changes_nothing(distro):
    grid = _seen()
    master = _master(distro, grid)
    others = [(30, 30, LETHAL), (-30, 10, 120)]
    master.update((0.0, 0.0), others)
    assert master.at(3.05, 3.05) == LETHAL
    assert master.at(-2.95, 1.05) == 120
    assert np.count_nonzero(master.costs) == 4


def test_with_nav2s_default_our_unseen_cells_would_wipe_out_other_layers():
    master = _master("jazzy", _seen(), use_maximum=False)
    master.update((0.0, 0.0), [(30, 30, LETHAL)])
    assert master.at(3.05, 3.05) == FREE


def test_minus_one_for_unseen_cells_would_hide_an_obstacle_of_another_layer():
    settings = _settings("jazzy", track_unknown_space=True)
    master = RollingMaster(settings, SHIPPED["width"], SHIPPED["resolution"])
    unknown = np.full((200, 200), -1, np.int8)
    master.receive(unknown, (-10.0, -10.0), 0.1)
    master.update((0.0, 0.0), [(30, 30, LETHAL)])
    assert master.at(3.05, 3.05) == NO_INFORMATION
    assert _seen().merged().min() == 0


@pytest.mark.parametrize("distro", DISTROS)
def test_the_same_place_stays_the_same_place_while_the_robot_drives(distro):
    grid = _seen()
    master = _master(distro, grid)
    for step in range(1, 20):
        robot = (step * 0.13, step * 0.07)
        grid.center_on(*robot)
        master.receive(grid.merged(), grid.origin, grid.resolution)
        master.update(robot)
        assert master.at(*PERSON_AT) == LETHAL
        assert master.at(*GRASS_AT) == 127
        assert np.count_nonzero(master.costs) == 2


@pytest.mark.parametrize("distro", DISTROS)
def test_nothing_survives_a_cleared_grid(distro):
    grid = _seen()
    master = _master(distro, grid)
    grid.clear()
    master.receive(grid.merged(), grid.origin, grid.resolution)
    master.update((0.5, 0.0))
    assert not master.costs.any()


@pytest.mark.parametrize("distro", DISTROS)
def test_the_shipped_costmaps_are_smaller_than_our_grid_so_that_no_cell_goes_stale(distro):
    config = NodeConfig()
    assert SHIPPED["width"] <= config.costmap_width - 2.0
    assert SHIPPED["height"] <= config.costmap_height - 2.0
    assert SHIPPED["resolution"] == config.costmap_resolution
    grid = _seen()
    master = _master(distro, grid)
    grid.clear()
    grid.center_on(1.0, 0.0)
    master.receive(grid.merged(), grid.origin, grid.resolution)
    master.update((2.0, 0.0))  # the robot has driven on since the image
    assert not master.costs.any()


def _drive_on_with_a_costmap_larger_than_our_grid(distro):
    grid = _seen()
    master = RollingMaster(_settings(distro), 30.0, 0.1)
    master.receive(grid.merged(), grid.origin, grid.resolution)
    master.update((0.0, 0.0))
    grid.center_on(13.0, 0.0)
    master.receive(grid.merged(), grid.origin, grid.resolution)
    master.update((13.0, 0.0))
    return master.at(*PERSON_AT)


@pytest.mark.parametrize("distro", ["humble", "jazzy 1.3.11", "kilted"])
def test_a_costmap_larger_than_our_grid_would_keep_what_the_grid_has_left(distro):
    assert _drive_on_with_a_costmap_larger_than_our_grid(distro) == LETHAL


@pytest.mark.parametrize("distro", ["jazzy", "lyrical"])
def test_versions_that_reset_the_whole_window_keep_nothing_that_the_grid_has_left(distro):
    assert _drive_on_with_a_costmap_larger_than_our_grid(distro) == FREE


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("name", ["cityscapes", "camvid"])
def test_no_shipped_cost_is_read_as_inscribed_or_unknown(distro, name):
    costs = np.array(sorted({row.cost for row in load_class_table(name).classes}), np.int8)
    assert set(interpret(costs, _settings(distro))).isdisjoint({INSCRIBED, NO_INFORMATION})


def test_99_is_inscribed_on_newer_distros_which_is_why_tables_may_not_use_it():
    assert interpret([99], _settings("lyrical")) == [INSCRIBED]
    assert interpret([98], _settings("lyrical")) == [248]


def test_the_layer_reads_our_topic_as_we_publish_it():
    layer = SHIPPED["semantic_layer"]
    assert layer["map_topic"] == "/espnet/costmap"
    assert layer["map_subscribe_transient_local"] is True
    assert SHIPPED["global_frame"] == NodeConfig().costmap_frame
    assert SHIPPED["rolling_window"] is True
