"""Parameter files: the node and the commands read the same, compared with the real rclpy."""

import random
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy
from rclpy.node import Node

from espnet_ros.commands.params_file import read_params_file
from espnet_ros.config import NodeConfig
from espnet_ros.errors import ParameterError
from espnet_ros.ros import parameters

SECTIONS = (
    "/**", "/*", "espnet", "/espnet", "rear/espnet", "/rear/*", "/rear/**", "/**/espnet", "/*/espnet", "other",
    "rear: {espnet", "/a: {rear: {espnet", "/**: {espnet", "//espnet", "espnet/", "esp*", "9", "''",
)  # fmt: skip
VALUES = (
    "3", "5", "8", "0x3", "0X8", "010", "08", "+3", "-1", "3.0", "3e0", "1_0", "0b11", "'3'", "yes", "no", "on", "Off",
    "y", "N", "true", "FALSE", "null", "~", "", "''", "[]", "{}", "[3]", "[1, 2.5]", "[1, a]", "[a, 'b']", "{a: 1}",
    ".5", "10", "1e1", "1e999", "1e-999", ".inf", "-.inf", ".nan", "nan", "0x1p2", "2024-01-01", "&x 3", "*x", "!y 3",
    "!!str 3", "9223372036854775807", "9223372036854775808", "street", "off", "MAXQ", '"ü"', "|", "@", "a: b", "- a",
)  # fmt: skip
NAMES = ("alpha", "max_rate", "weights", "governor", "power_mode", "autostart", "input_height", "'alpha'", "x.alpha")


def _random_file(chance):
    """A file of one to three sections, some of them broken."""
    lines = []
    for _ in range(chance.randint(1, 3)):
        section = chance.choice(SECTIONS if chance.random() < 0.7 else SECTIONS[:4])
        values = ", ".join(f"{chance.choice(NAMES)}: {chance.choice(VALUES)}" for _ in range(chance.randint(0, 2)))
        # rcl overlooks a body that is no mapping after a good section; the command does not
        broken = [] if lines else [values, "", "[alpha]", "3"]
        body = chance.choice([f"{{{values}}}"] * 12 + broken)
        lines.append(f"{section}: {{ros__parameters: {body}}}" + "}" * section.count("{"))
    text = chance.choice(["\n"] * 9 + ["\n---\n"]).join(lines) + chance.choice(["\n"] * 9 + ["", "\n...\n", "}"])
    content = bytearray(text.encode())
    if chance.random() < 0.1:
        content.insert(chance.randrange(len(content)), chance.randrange(256))
    return bytes(content)


def _values_in_ros(path, namespace):
    """All parameters of a node that rclpy starts with the file; a ``ParameterError`` if it refuses."""
    context = rclpy.Context()
    try:
        rclpy.init(args=["--ros-args", "--params-file", str(path)], context=context)
    except Exception as error:  # RCLError has no public module
        return ParameterError(str(error))
    quiet = {"start_parameter_services": False, "enable_rosout": False}
    node = Node("espnet", namespace=namespace, context=context, **quiet)
    try:
        parameters.declare(node)
        return parameters.read(node).as_dict()
    except ParameterError as error:
        return error
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _values_of_command(path, namespace):
    try:
        name = f"{namespace}/espnet".replace("//", "/")
        return NodeConfig(**read_params_file(path, name, parameters.NAMES)).as_dict()
    except ParameterError as error:
        return error


def test_node_and_command_read_200_random_files_alike(tmp_path):
    chance = random.Random(11)
    path = tmp_path / "robot.yaml"
    differences, refusals = [], []
    for _ in range(200):
        path.write_bytes(_random_file(chance))
        namespace = chance.choice(["/", "/rear", "/a/rear"])
        expected, found = _values_in_ros(path, namespace), _values_of_command(path, namespace)
        if isinstance(found, ParameterError):
            refusals.append(str(found))
        if isinstance(expected, dict) != isinstance(found, dict) or (isinstance(found, dict) and expected != found):
            differences.append((path.read_bytes(), namespace, expected, found))
    assert differences == []
    assert 40 < len(refusals) < 160
    assert all(each.isprintable() for each in refusals)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"/**: {ros__parameters: {alpha: 3", "Couldn't parse params file"),
        (b"\x00\x01\x02", "Couldn't parse params file"),
        (b"/**: {ros__parameters: {alpha: &a 3, input_height: *a}}", "Will not support aliasing at line 1"),
        (b"/**: {ros__parameters: {weights: [1, a]}}", "Sequence should be of same type"),
        (b"/**: {ros__parameters: {weights: []}}", "weights must be of type str, has no value"),
        (b"/**: {ros__parameters: {alpha: 4}}", "alpha must be one of 3, 5, 8, is 4"),
    ],
)
def test_a_bad_file_stops_the_node_with_one_line(tmp_path, content, reason):
    path = tmp_path / "robot.yaml"
    path.write_bytes(content)
    command = [sys.executable, "-m", "espnet_ros.ros.node", "--ros-args", "--params-file", str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    (line,) = [each for each in result.stderr.splitlines() if "[FATAL]" in each]
    assert result.returncode == 1
    assert reason in line
    assert "Traceback" not in result.stderr
    assert ".c:" not in line
