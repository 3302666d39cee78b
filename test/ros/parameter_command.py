"""What ``ros2 param set``, ``dump`` and ``load`` send to a node.

Written after ros2param 0.32 and rclpy.parameter 7.1 (Jazzy): a value is the text of the command line as PyYAML reads
it, and ``load`` reads each value of the file again as such a text.
"""

import yaml
from rcl_interfaces.msg import ParameterType as Kind
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, GetParameterTypes, ListParameters, SetParameters
from rclpy.parameter import Parameter, parameter_value_to_python

_LISTS = (
    (bool, Kind.PARAMETER_BOOL_ARRAY, "bool_array_value"),
    (int, Kind.PARAMETER_INTEGER_ARRAY, "integer_array_value"),
    (float, Kind.PARAMETER_DOUBLE_ARRAY, "double_array_value"),
    (str, Kind.PARAMETER_STRING_ARRAY, "string_array_value"),
)


def value_of(text):
    """The message that the commands make of a text."""
    try:
        value = yaml.safe_load(text)
    except yaml.parser.ParserError:
        value = text
    if isinstance(value, bool):
        return ParameterValue(type=Kind.PARAMETER_BOOL, bool_value=value)
    if isinstance(value, int):
        return ParameterValue(type=Kind.PARAMETER_INTEGER, integer_value=value)
    if isinstance(value, float):
        return ParameterValue(type=Kind.PARAMETER_DOUBLE, double_value=value)
    if isinstance(value, list):
        for element, kind, field in _LISTS:
            if all(isinstance(each, element) for each in value):
                return ParameterValue(type=kind, **{field: value})
        return ParameterValue(type=Kind.PARAMETER_STRING, string_value=text)
    return ParameterValue(type=Kind.PARAMETER_STRING, string_value=text if value is None else value)


def set_text(robot, name, text):
    """``ros2 param set NODE NAME TEXT``; returns the reason of a refusal, or ""."""
    message = Parameter(name).to_parameter_msg()
    message.value = value_of(text)
    (result,) = robot.call(SetParameters, "set_parameters", SetParameters.Request(parameters=[message])).results
    return "" if result.successful else result.reason or "refused"


def names_of(robot):
    """All parameters of the node, sorted."""
    return sorted(robot.call(ListParameters, "list_parameters", ListParameters.Request()).result.names)


def dump(robot):
    """The file of ``ros2 param dump NODE``. Dots in names would nest them; there are none."""
    names = names_of(robot)
    answer = robot.call(GetParameters, "get_parameters", GetParameters.Request(names=names)).values
    values = dict(zip(names, map(parameter_value_to_python, answer)))
    return yaml.dump({robot.target: {"ros__parameters": values}}, default_flow_style=False)


def load(robot, file):
    """``ros2 param load NODE FILE``; returns the reasons of the refusals by name."""
    (section,) = yaml.safe_load(file).values()
    reasons = {name: set_text(robot, name, str(value)) for name, value in section["ros__parameters"].items()}
    return {name: reason for name, reason in reasons.items() if reason}


def types_of(robot):
    """What the node says about the types of its parameters: stored, and described."""
    names = names_of(robot)
    stored = robot.call(GetParameterTypes, "get_parameter_types", GetParameterTypes.Request(names=names)).types
    described = robot.call(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=names))
    return dict(zip(names, stored)), {entry.name: entry.type for entry in described.descriptors}
