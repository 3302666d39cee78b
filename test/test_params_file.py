from pathlib import Path

import pytest

from espnet_ros.commands.params_file import read_params_file
from espnet_ros.errors import ParameterError

NAMES = ("alpha", "weights", "max_rate", "autostart", "governor")
SECTIONS_IN_ORDER = [("/**", "alpha: 3, weights: a"), ("/espnet", "alpha: 5"), ("/**", "alpha: 8")]


@pytest.fixture
def read(tmp_path):
    def read_text(text, node="/espnet"):
        path = tmp_path / "robot.yaml"
        path.write_text(text)
        return read_params_file(path, node, NAMES)

    return read_text


# What rclpy 7.1 (Jazzy) gave nodes of these names that were started with such files.
@pytest.mark.parametrize(
    ("section", "nodes"),
    [
        ("/**", {"/espnet", "/rear/espnet", "/a/b/espnet"}),
        ("**", {"/espnet", "/rear/espnet", "/a/b/espnet"}),
        ("/*", {"/espnet"}),
        ("*", {"/espnet"}),
        ("espnet", {"/espnet"}),
        ("/espnet", {"/espnet"}),
        ("rear/espnet", {"/rear/espnet"}),
        ("/rear/espnet", {"/rear/espnet"}),
        ("/rear/*", {"/rear/espnet"}),
        ("/rear/**", {"/rear/espnet"}),
        ("/*/espnet", {"/rear/espnet"}),
        ("/**/espnet", {"/espnet", "/rear/espnet", "/a/b/espnet"}),
        ("/a/*/espnet", {"/a/b/espnet"}),
        ("other", set()),
    ],
)
def test_a_section_applies_to_the_same_nodes_as_in_ros(read, section, nodes):
    text = f'"{section}": {{ros__parameters: {{alpha: 3}}}}'
    found = {node for node in ("/espnet", "/rear/espnet", "/a/b/espnet") if read(text, node) == {"alpha": 3}}
    assert found == nodes


@pytest.mark.parametrize("namespace", ["rear", "/rear"])
def test_a_node_may_be_nested_in_its_namespace(read, namespace):
    text = f"{namespace}:\n  espnet:\n    ros__parameters: {{alpha: 3}}\n"
    assert read(text, "/rear/espnet") == {"alpha": 3}
    assert read(text, "/espnet") == {}


def test_the_later_section_wins(read):
    assert read("espnet: {ros__parameters: {alpha: 3, weights: a}}\n/**: {ros__parameters: {alpha: 5}}") == {
        "alpha": 5,
        "weights": "a",
    }
    assert read("/**: {ros__parameters: {alpha: 5}}\nespnet: {ros__parameters: {alpha: 3}}") == {"alpha": 3}


def test_other_parameters_are_ignored(read):
    assert read("/**: {ros__parameters: {use_sim_time: true, qos_overrides: {a: 1}, alpha: 3}}") == {"alpha": 3}


# What rclpy 7.1 (Jazzy) reads; YAML 1.1 reads some of them differently.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("alpha: 0x3", 3),
        ("alpha: 0X5", 5),
        ("alpha: 010", 8),
        ("alpha: 0o10", "0o10"),
        ("alpha: 08", 8.0),
        ("alpha: 0b11", "0b11"),
        ("alpha: 1_024", "1_024"),
        ("alpha: +3", 3),
        ("alpha: '3'", "3"),
        ("alpha: !!str 3", "3"),
        ("alpha: null", "null"),
        ("alpha: ~", "~"),
        ("alpha: []", None),
        ("alpha: &a 3", 3),
        ("alpha: 3, alpha: 5", 5),
        ("max_rate: 10", 10.0),
        ("max_rate: 1e3", 1000.0),
        ("max_rate: 1.5E+2", 150.0),
        ("max_rate: .5", 0.5),
        ("max_rate: 0x1p3", 8.0),
        ("max_rate: -.INF", float("-inf")),
        ("max_rate: Infinity", float("inf")),
        ("alpha:\t3", 3),
        ('weights: "a\\0b"', "a"),
        ("max_rate: 1e400", "1e400"),
        ("max_rate: 1e-400", "1e-400"),
        ("max_rate: 1e", "1e"),
        ("max_rate: 2024-01-01", "2024-01-01"),
        ("max_rate: 9223372036854775808", 9223372036854775808.0),
        ("autostart: yes", True),
        ("autostart: Off", False),
        ("autostart: y", True),
        ("autostart: N", False),
        ("autostart: tRUE", "tRUE"),
        ("autostart: 1", 1),
        ("governor: off", "off"),
        ("governor: 'off'", "off"),
        ("weights: [a, b]", ["a", "b"]),
        ("weights: !x a", "a"),
        ("weights: ''", ""),
    ],
)
def test_a_value_is_read_as_ros_reads_it(read, value, expected):
    (found,) = read(f"/**: {{ros__parameters: {{{value}}}}}").values()
    assert (type(found), found) == (type(expected), expected)


def test_a_repeated_section_keeps_its_place(read):
    sections = [f"{name}: {{ros__parameters: {{{value}}}}}" for name, value in SECTIONS_IN_ORDER]
    assert read("\n".join(sections)) == {"alpha": 5, "weights": "a"}
    assert read(sections[0] + "\n---\n" + sections[1]) == {"alpha": 5, "weights": "a"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/**: {ros__parameters: {alpha: &a 3, input_height: *a}}", "ROS does not support aliases, at line 1"),
        ("/**:\n  ros__parameters:\n    alpha:\n", "alpha has no value, at line"),
        ("/**: {ros__parameters: {weights: [1, a]}}", r"the elements of weights must be of one type, are \[1, 'a'\]"),
        ("/**: {ros__parameters: {weights: [[1]]}}", "a list must have plain values only"),
        ("/**: {ros__parameters: {alpha: 3}, ros__parameters: {alpha: 5}}", "must have 'ros__parameters' once"),
        ("esp net: {ros__parameters: {alpha: 3}}", "'/esp net' is not the name of a node"),
        ("//espnet: {ros__parameters: {alpha: 3}}", "'//espnet' is not the name of a node"),
        ("/**: {ros__parameters: {[1]: 3}}", "a key must be a name"),
        ("\x00\x01", "cannot be read: unacceptable character #x0000: (special|control) characters are not allowed in"),
        ("a:\n  ros__parameters: {}\n  b: {ros__parameters: {x: 1}}", "inside another one, but /a/b is, at line 3"),
        ("/**: {ros__parameters: {x: " + "{a: " * 2000 + "3" + "}" * 2003, "cannot be read: it is nested too deep"),
    ],
)
def test_what_ros_refuses_is_refused_in_one_line(read, text, message):
    with pytest.raises(ParameterError, match=f"robot.yaml: .*{message}") as caught:
        read(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_file_may_have_any_encoding_of_yaml(tmp_path, encoding):
    path = tmp_path / "r\u00fc r.yaml"
    path.write_bytes("/**:\r\n  ros__parameters:\r\n    weights: \u00fc\r\n".encode(encoding))
    assert read_params_file(path, "/espnet", NAMES) == {"weights": "\u00fc"}


def test_a_device_is_refused_instead_of_read_without_end():
    with pytest.raises(ParameterError, match="^parameter file /dev/zero: must be a file, is a device"):
        read_params_file(Path("/dev/zero"), "/espnet", NAMES)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "robot.yaml").write_bytes(b"/**: \xff\xfe")
    with pytest.raises(
        ParameterError,
        match="robot.yaml: cannot be read: (unacceptable character #x00ff|'utf-8' codec can't decode byte #xff)",
    ):
        read_params_file(tmp_path / "robot.yaml", "/espnet", NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a node name with 'ros__parameters' below it"),
        ("alpha: 3", "must have a node name with 'ros__parameters' below it"),
        ("ros__parameters: {alpha: 3}", "must have a node name with 'ros__parameters' below it"),
        ("[1]", "must have a node name with 'ros__parameters' below it"),
        ("espnet: {ros__parameters: [alpha]}", r"'ros__parameters' of /espnet must be a mapping, is \['alpha'\]"),
        ("a: {", "cannot be read: "),
    ],
)
def test_a_file_that_is_not_a_parameter_file_is_rejected(read, text, message):
    with pytest.raises(ParameterError, match=rf"parameter file .*/robot.yaml: {message}"):
        read(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParameterError, match=f"parameter file {tmp_path}/none.yaml: cannot be read"):
        read_params_file(tmp_path / "none.yaml", "/espnet", NAMES)
