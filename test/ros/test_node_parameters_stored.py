"""What a node finds out about its parameters after they were stored."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from espnet_ros.errors import ParameterError
from espnet_ros.ros.node_parameters import NodeParameters
from espnet_ros.ros.parameters import TypedParameterNode


def check(_config, changes):
    if changes.get("alpha") == 5:
        raise ParameterError("no 5 here")


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = TypedParameterNode("stored", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def parameters(node):
    return NodeParameters(node, check, lambda: None)


def set_together(node, **values):
    return node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()]).successful


def test_sets_are_found_in_their_order_and_once(node, parameters):
    assert set_together(node, alpha=3, power_mode="max_q")
    assert set_together(node, max_rate=2)
    assert parameters.take_changes() == [{"alpha": 3, "power_mode": "max_q"}, {"max_rate": 2.0}]
    assert parameters.take_changes() == []


def test_a_repeated_set_of_one_value_is_found_again(node, parameters):
    for _ in range(2):
        assert set_together(node, power_mode="max_q")
        assert parameters.take_changes() == [{"power_mode": "max_q"}]


def test_a_set_that_was_replaced_is_not_found(node, parameters):
    assert set_together(node, alpha=3, power_mode="max_q")
    assert set_together(node, power_mode="")
    assert parameters.take_changes() == [{"alpha": 3}, {"power_mode": ""}]


@pytest.mark.parametrize("is_asked_first", [False, True])
def test_a_set_that_another_callback_refuses_leaves_nothing_behind(node, is_asked_first):
    def refuse(entries):
        is_fine = all(entry.name != "threads" or entry.value == 0 for entry in entries)
        return SetParametersResult(successful=is_fine, reason="not this one")

    if not is_asked_first:
        node.add_on_set_parameters_callback(refuse)
    parameters = NodeParameters(node, check, lambda: None)
    if is_asked_first:
        node.add_on_set_parameters_callback(refuse)
    assert not set_together(node, power_mode="max_q", threads=2)
    assert not set_together(node, alpha=5)
    assert parameters.take_changes() == []
    assert set_together(node, alpha=3)
    assert parameters.take_changes() == [{"alpha": 3}]


def test_what_the_node_sets_itself_is_no_change_of_a_person(parameters):
    parameters.set({"power_mode": "max_q", "alpha": 5})
    assert parameters.take_changes() == []
    assert (parameters.read().power_mode, parameters.read().alpha) == ("max_q", 5)


def test_what_was_just_set_is_kept_when_the_engine_is_restored(node, parameters):
    before = parameters.read()
    assert set_together(node, alpha=3, threads=2)
    assert set_together(node, threads=4)
    parameters.restore_engine(before, [{"threads": 4}])
    assert (parameters.read().alpha, parameters.read().threads) == (8, 4)
