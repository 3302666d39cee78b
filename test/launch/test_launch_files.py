import ast
import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import yaml

from espnet_ros.config import names_where, rule_of

REPOSITORY = Path(__file__).resolve().parents[2]
ESPNET = REPOSITORY / "launch" / "espnet.launch.py"
REPLAY = REPOSITORY / "launch" / "replay.launch.py"
PARAMETERS = names_where(lambda rule: rule.is_launch_argument)
NODE_ARGUMENTS = {
    "image",
    "camera_info",
    "namespace",
    "params_file",
    "rviz",
    "log_level",
    "build_only",
    "costmap_guard",
    "respawn",
    *PARAMETERS,
}


def declared_arguments(path):
    """Name to keyword arguments of each DeclareLaunchArgument whose name is a literal."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        is_declaration = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument"
        if is_declaration and isinstance(node.args[0], ast.Constant):
            found[ast.literal_eval(node.args[0])] = {keyword.arg: keyword.value for keyword in node.keywords}
    return found


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (ESPNET, (NODE_ARGUMENTS | {"use_sim_time", "autostart"}) - set(PARAMETERS)),
        (REPLAY, {"bag", "rate", "loop", "delay", "rviz"}),
    ],
    ids=["espnet", "replay"],
)
def test_every_argument_is_declared_with_a_description(path, names):
    arguments = declared_arguments(path)
    assert set(arguments) == names
    for name, keywords in arguments.items():
        assert ast.literal_eval(keywords["description"]).endswith("."), name


def test_the_parameters_that_are_arguments():
    assert PARAMETERS == ("weights", "alpha", "backend", "power_mode", "governor")


@pytest.fixture
def espnet_arguments(monkeypatch):
    """Name to keyword arguments of each argument of espnet.launch.py, which runs without launch and launch_ros."""
    for name in ("launch", "launch.actions", "launch.events", "launch.events.process"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    for name in ("launch.substitutions", "launch_ros", "launch_ros.actions", "launch_ros.parameter_descriptions"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    packages = MagicMock(get_package_share_directory=lambda package: str(REPOSITORY))
    monkeypatch.setitem(sys.modules, "ament_index_python.packages", packages)
    sys.modules["launch.actions"].DeclareLaunchArgument = lambda name, **keywords: (name, keywords)
    return dict(runpy.run_path(str(ESPNET))["ARGUMENTS"])


def test_arguments_take_description_and_choices_from_their_parameters(espnet_arguments):
    assert set(espnet_arguments) == NODE_ARGUMENTS | {"use_sim_time", "autostart"}
    for name in PARAMETERS:
        rule, keywords = rule_of(name), espnet_arguments[name]
        assert keywords["default_value"] == ""
        assert keywords["description"].startswith(rule.description)
        assert keywords["choices"] == (["", *map(str, rule.choices)] if rule.choices else None)


@pytest.mark.parametrize("path", [ESPNET, REPLAY], ids=["espnet", "replay"])
def test_launch_files_compile(path):
    compile(path.read_text(encoding="utf-8"), str(path), "exec")


def test_the_transport_profile_makes_room_for_two_images_and_fits_four_times_into_the_shared_memory_of_docker():
    root = ET.parse(REPOSITORY / "config" / "fastdds_large_images.xml").getroot()
    (segment,) = [int(entry.text) for entry in root.iter() if entry.tag.endswith("segment_size")]
    (message,) = [int(entry.text) for entry in root.iter() if entry.tag.endswith("maxMessageSize")]
    assert message > 1920 * 1080 * 3  # in one piece
    assert segment > 2 * 1920 * 1080 * 3
    assert 4 * 1.05 * segment < 64 * 2**20


def test_rviz_shows_topics_that_the_node_publishes():
    document = yaml.safe_load((REPOSITORY / "config" / "espnet.rviz").read_text(encoding="utf-8"))
    displays = document["Visualization Manager"]["Displays"]
    images = [entry for entry in displays if entry["Class"] == "rviz_default_plugins/Image"]
    assert [entry["Topic"]["Value"] for entry in images] == [
        "espnet/overlay",
        "espnet/label_image",
        "espnet/confidence",
        "image",
    ]


def test_rviz_shows_the_costmap_as_it_is_published():
    document = yaml.safe_load((REPOSITORY / "config" / "espnet.rviz").read_text(encoding="utf-8"))
    shown = {entry["Name"]: entry for entry in document["Visualization Manager"]["Displays"]}
    costmap = shown["Costmap"]["Topic"]
    assert costmap["Value"] == "espnet/costmap"
    assert (costmap["Durability Policy"], costmap["Reliability Policy"]) == ("Transient Local", "Reliable")
    assert shown["Ground contacts"]["Topic"]["Value"] == "espnet/points"
    assert document["Visualization Manager"]["Global Options"]["Fixed Frame"] == "odom"
