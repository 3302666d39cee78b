"""Declares the node's parameters and reads them back as a `NodeConfig`."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from espnet_ros.config import NodeConfig, check_value, coerce, default_of, names_where, rule_of
from espnet_ros.errors import ParameterError, one_line

NAMES = names_where(lambda rule: True)
_SOURCE_LINE = re.compile(r" ?,? at \S+\.c(pp)?:\d+")
"""Places in ROS's sources, which its messages have."""


def init_ros(arguments: List[str]) -> None:
    """Initialise rclpy without its signal handlers.

    Raises:
        ParameterError: ROS refuses the arguments, or a parameter file among them.
    """
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # RCLError has no public module
        reason = _SOURCE_LINE.sub("", one_line(error))
        raise ParameterError(f"ROS refuses the node's arguments: {reason}") from error


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
    for name in NAMES:
        if node.get_parameter_or(name).value is None:  # an empty list or mapping in a parameter file
            raise ParameterError(f"{name} must be of type {type(default_of(name)).__name__}, has no value")
    for name, value in values(node.get_parameters(list(NAMES))).items():
        check_value(name, value)


def describe(name: str) -> ParameterDescriptor:
    """Return the descriptor that `ros2 param describe` and rqt show."""
    rule = rule_of(name)
    is_float = isinstance(default_of(name), float)
    descriptor = ParameterDescriptor(
        name=name,
        description=rule.description + (f" Unit: {rule.unit}." if rule.unit else ""),
        read_only=not rule.live,
        additional_constraints=rule.constraint,
        # In a YAML file, "max_rate: 10" is an integer, "power_mode: 2" an integer and "governor: off" a boolean. ROS
        # would reject them for a double or a string; `coerce` converts them.
        dynamic_typing=is_float or rule.is_plain_text,
    )
    if rule.minimum is not None and rule.maximum is not None:
        if is_float:
            bounds = FloatingPointRange(from_value=float(rule.minimum), to_value=float(rule.maximum))
            descriptor.floating_point_range = [bounds]
        else:
            steps = IntegerRange(from_value=int(rule.minimum), to_value=int(rule.maximum), step=rule.multiple_of)
            descriptor.integer_range = [steps]
    return descriptor


def values(parameters: Iterable[Parameter]) -> Dict[str, Any]:
    """Return the values by name, coerced to the declared types; parameters of others are left out."""
    return {entry.name: coerce(entry.name, entry.value) for entry in parameters if entry.name in NAMES}


def read(node: Node) -> NodeConfig:
    """Return the current values.

    Raises:
        ParameterError: a value breaks its rule.
    """
    return NodeConfig(**values(node.get_parameters(list(NAMES))))
