"""The node's parameters: declared from ``NodeConfig``, read back into one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Dict, Iterable

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from espnet_ros.config import READ_AS_TEXT, NodeConfig, Rule, as_meant, check_value, default_of, rule_of
from espnet_ros.errors import ParameterError

NAMES = tuple(entry.name for entry in fields(NodeConfig))


def declare(node: Node) -> None:
    """Declare every parameter.

    Raises:
        ParameterError: a value given at start breaks its rule.
    """
    for name in NAMES:
        try:
            node.declare_parameter(name, default_of(name), describe(name))
        except InvalidParameterTypeException as error:
            raise ParameterError(f"{name} must be of type {type(default_of(name)).__name__}: {error}") from error
        except InvalidParameterValueException as error:
            raise ParameterError(f"{name}: {error}") from error
    for name, value in values(node.get_parameters(list(NAMES))).items():
        check_value(name, value)


def describe(name: str) -> ParameterDescriptor:
    """What ``ros2 param describe`` and rqt show of a parameter."""
    rule = rule_of(name)
    default = default_of(name)
    descriptor = ParameterDescriptor(
        name=name,
        description=rule.description + (f" Unit: {rule.unit}." if rule.unit else ""),
        read_only=not rule.live,
        additional_constraints=_constraints(rule),
        # To ROS, "max_rate: 10" in a YAML file is an integer, and an integer is no value for a double. Nor are the
        # integer "power_mode: 2" and the truth value "governor: off" texts.
        dynamic_typing=isinstance(default, float) or name in READ_AS_TEXT,
    )
    if rule.minimum is not None and rule.maximum is not None:
        if isinstance(default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(rule.minimum), to_value=float(rule.maximum))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(rule.minimum), to_value=int(rule.maximum), step=rule.multiple_of)
            ]
    return descriptor


def _constraints(rule: Rule) -> str:
    if rule.choices:
        return f"one of {', '.join(map(str, rule.choices))}"
    return f"a multiple of {rule.multiple_of}" if rule.multiple_of else ""


def values(parameters: Iterable[Parameter]) -> Dict[str, Any]:
    """Values by name, of this node's parameters alone, as they were meant."""
    return {entry.name: as_meant(entry.name, entry.value) for entry in parameters if entry.name in NAMES}


def read(node: Node) -> NodeConfig:
    """The parameters as they are now.

    Raises:
        ParameterError: a value breaks its rule.
    """
    return NodeConfig(**values(node.get_parameters(list(NAMES))))
