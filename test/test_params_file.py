import pytest

from espnet_ros.commands.params_file import read_params_file
from espnet_ros.errors import ParameterError

NAMES = ("alpha", "weights")


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
