"""Parameters keep their types, whatever ``ros2 param`` and files make of their texts."""

import random

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from parameter_command import dump, load, names_of, set_text, types_of
from rclpy.parameter import Parameter
from waiting import wait_until

from espnet_ros.config import default_of, names_where, rule_of

NAMES = names_where(lambda rule: True)
LIVE = names_where(lambda rule: rule.live and not rule.changes_engine)
TEXTS = (
    "off", "on", "yes", "true", "False", "10", "0", "-3", "0x10", "017", "1e-3", "2.5", "1e3", ".5", "1.0e+3", "~", "",
    "null", "[3, 8]", "[5.0, 0.0]", "[a, b]", "[1, a]", "3, 8", "12:30", "nan", ".inf", "MAXQ", "rate", "map", "'10'",
)  # fmt: skip
GIVEN = {
    "governor": False,
    "max_rate": 10,
    "governor_alphas": "[3, 8]",
    "power_mode": "''",
    "alfa": 3,
    "planner_frequency": 20.0,
    "qos_overrides./clock.x": 1,
}


@pytest.fixture(scope="module")
def node(start_node):
    """A node whose file and arguments have values of other types than the parameters."""
    return start_node(GIVEN)


def expected_types():
    kinds = {
        bool: Parameter.Type.BOOL,
        int: Parameter.Type.INTEGER,
        float: Parameter.Type.DOUBLE,
        str: Parameter.Type.STRING,
    }
    return {name: kinds[type(default_of(name))].value for name in NAMES}


def assert_types_are_those_declared(robot):
    stored, described = types_of(robot)
    assert {name: stored[name] for name in NAMES} == expected_types()
    assert {name: described[name] for name in NAMES} == expected_types()


def test_values_given_at_start_get_the_declared_types(robot):
    assert_types_are_those_declared(robot)
    assert robot.get("governor", "max_rate", "governor_alphas") == ["off", 10.0, "3, 8"]


def test_an_unknown_parameter_at_start_is_named_with_the_one_that_was_meant_and_is_not_declared(node, robot):
    assert "there is no parameter 'alfa'; did you mean 'alpha'?" in node.log
    assert "there is no parameter 'planner_frequency'" in node.log
    assert "qos_overrides" not in node.log
    assert not {"alfa", "planner_frequency"} & set(names_of(robot))


def test_an_unknown_parameter_is_refused_with_the_one_that_was_meant(robot):
    assert set_text(robot, "max_rat", "3") == "there is no parameter 'max_rat'; did you mean 'max_rate'?"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("governor", "off", "off"),
        ("max_rate", "10", 10.0),
        ("costmap_min_confidence", "1e-3", 0.001),
        ("governor_alphas", "[3, 8]", "3, 8"),
        ("image_is_rectified", "false", "false"),
    ],
)
def test_a_text_that_yaml_reads_otherwise_is_stored_with_the_declared_type(robot, name, text, value):
    assert set_text(robot, name, text) == ""
    assert (robot.get(name), type(robot.get(name))) == (value, type(value))
    assert_types_are_those_declared(robot)


def test_200_random_sets_keep_every_type(robot):
    chance = random.Random(16)
    accepted = 0
    for _ in range(200):
        accepted += set_text(robot, chance.choice(LIVE), chance.choice(TEXTS)) == ""
    assert 20 < accepted < 180
    assert_types_are_those_declared(robot)


def other_value(name, chance):
    """A value that the parameter's rule accepts and that is not the default."""
    rule, default = rule_of(name), default_of(name)
    if rule.choices:
        return chance.choice([choice for choice in rule.choices if choice != default])
    if isinstance(default, bool):
        return not default
    if isinstance(default, float):
        return min(max(default * 1.5 + 2e-5, rule.minimum or 0.0), 1e6 if rule.maximum is None else rule.maximum)
    if isinstance(default, int):
        return min(default + max(rule.multiple_of, 1), 10**6 if rule.maximum is None else int(rule.maximum))
    return "front"


def test_dump_load_and_dump_give_the_same_file_for_every_parameter(robot):
    chance = random.Random(17)
    assert robot.set(governor="off", power_mode="") == ""  # both make the node change other parameters
    names = [name for name in LIVE if name not in ("governor", "power_mode")]
    changed = {name for name in names if robot.set(**{name: other_value(name, chance)}) == ""}
    assert len(changed) > len(LIVE) * 3 // 4
    assert robot.set(costmap_min_confidence=1e-5) == ""  # PyYAML writes 1.0e-05, which it reads back, and str() 1e-05
    first = dump(robot)
    refused = load(robot, first)
    assert all("read-only" in reason for reason in refused.values()), refused
    assert dump(robot) == first
    for name in changed:
        robot.set(**{name: default_of(name)})
    assert dump(robot) != first
    wait_until(lambda: robot.state() == "active", "the node goes on")
    refused = load(robot, first)
    assert all("read-only" in reason for reason in refused.values()), refused
    assert dump(robot) == first
    assert_types_are_those_declared(robot)
