"""Declares the node's parameters, keeps their types, and reads them back as a `NodeConfig`."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from espnet_ros.config import (
    NodeConfig,
    check_type,
    check_value,
    coerce,
    default_of,
    names_where,
    rule_of,
    suggest_name,
)
from espnet_ros.errors import ParameterError, one_line
from espnet_ros.ros.log_folder import log_arguments

_USAGE = "the node takes ROS arguments only, such as --ros-args -p alpha:=3 -r image:=/camera/image_raw"
NAMES = names_where(lambda rule: True)
_OTHERS_PARAMETERS = ("qos_overrides.", "start_type_description_service")
"""Parameters of ROS itself, which some releases declare."""
_SOURCE_LINE = re.compile(r" ?,? at \S+\.c(pp)?:\d+")
"""Places in ROS's sources, which its messages have."""


def init_ros(arguments: List[str]) -> None:
    """Initialise rclpy without its signal handlers, and without log files where these cannot be written.

    Args:
        arguments: the program's name, then only arguments of ROS.

    Raises:
        ParameterError: ROS refuses the arguments, or a parameter file among them, or one is not for ROS.
    """
    try:
        rclpy.init(args=[*arguments, *log_arguments()], signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # RCLError has no public module
        reason = _SOURCE_LINE.sub("", one_line(error))
        raise ParameterError(f"ROS refuses the node's arguments: {reason}") from error
    others = remove_ros_args(arguments)[1:]
    if others:
        raise ParameterError(f"unknown argument '{others[0]}': {_USAGE}")


class TypedParameterNode(Node):
    """A node whose parameters keep the type that they are declared with.

    `ros2 param set`, `ros2 param load` and parameter files guess types: off is a boolean to them, 10 an integer, and
    1e-3 a string. Values are converted before rclpy looks at them (Humble has no callback for this).
    """

    def set_parameters_atomically(self, parameter_list: List[Parameter]) -> SetParametersResult:
        """Set parameters together, converted to their declared types."""
        converted = []
        for entry in parameter_list:
            if not self.has_parameter(entry.name):
                reason = f"there is no parameter '{entry.name}'{suggest_name(entry.name)}"
                return SetParametersResult(successful=False, reason=reason)
            if entry.name in NAMES:
                entry = Parameter(entry.name, value=coerce(entry.name, entry.value))
                try:
                    check_type(entry.name, entry.value)
                except ParameterError as error:
                    return SetParametersResult(successful=False, reason=f"Wrong parameter type: {error}")
            converted.append(entry)
        return super().set_parameters_atomically(converted)

    def set_parameters(self, parameter_list: List[Parameter]) -> List[SetParametersResult]:
        """Set parameters one by one, converted to their declared types."""
        return [self.set_parameters_atomically([entry]) for entry in parameter_list]


def declare(node: Node) -> None:
    """Declare every parameter.

    Raises:
        ParameterError: a value given at start breaks its rule.
    """
    for name in NAMES:
        default = default_of(name)
        # Declared twice: rclpy refuses a value of another type before anybody can convert it.
        given = node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
        node.undeclare_parameter(name)
        value = coerce(name, given)
        check_value(name, value)
        node.declare_parameter(name, value, describe(name), ignore_override=True)


def find_unknown(node: Node) -> str:
    """Return which parameters, given at start, the node does not have; "" if it has all. Call it after `declare`."""
    given = sorted(getattr(node, "_parameter_overrides", {}))  # rclpy has no public name for it
    unknown = [name for name in given if not node.has_parameter(name) and not name.startswith(_OTHERS_PARAMETERS)]
    return "; ".join(f"there is no parameter '{name}'{suggest_name(name)}" for name in unknown)


def describe(name: str) -> ParameterDescriptor:
    """Return the descriptor that `ros2 param describe` and rqt show."""
    rule = rule_of(name)
    is_float = isinstance(default_of(name), float)
    descriptor = ParameterDescriptor(
        name=name,
        description=rule.description + (f" Unit: {rule.unit}." if rule.unit else ""),
        read_only=not rule.live,
        additional_constraints=rule.constraint,
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
