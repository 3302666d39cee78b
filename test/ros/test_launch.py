"""Launch files as ros2 launch runs them."""

import importlib.util
import os
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="needs launch_ros, which an apt install of ROS has")

from espnet_ros.config import names_where

REPOSITORY = Path(__file__).resolve().parents[2]
ESPNET = REPOSITORY / "launch" / "espnet.launch.py"
REPLAY = REPOSITORY / "launch" / "replay.launch.py"
NODE_ARGUMENTS = {
    "image", "camera_info", "namespace", "params_file", "rviz", "log_level", "build_only", "costmap_guard", "respawn",
}  # fmt: skip


def load(path, monkeypatch):
    """The launch description, as ros2 launch would load it."""
    import ament_index_python.packages

    monkeypatch.setattr(ament_index_python.packages, "get_package_share_directory", lambda package: str(REPOSITORY))
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    return get_launch_description_from_python_launch_file(str(path))


def expand(path, monkeypatch, **arguments):
    """The entities that the launch file starts with these arguments, and the environment it sets."""
    description = load(path, monkeypatch)
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    entities = []
    waiting = list(description.entities)
    while waiting:
        entity = waiting.pop(0)
        entities.append(entity)
        if type(entity).__name__ not in ("Node", "ExecuteProcess", "LogInfo"):
            waiting += entity.visit(context) or []
    return entities, context


def started(entities):
    return [entity for entity in entities if type(entity).__name__ == "Node"]


def node_parameters(node, context):
    from launch_ros.utilities import evaluate_parameters

    return evaluate_parameters(context, node._Node__parameters)


def test_without_an_argument_the_file_sets_the_parameter(monkeypatch):
    entities, context = expand(ESPNET, monkeypatch)
    node, _guard = started(entities)
    file, given = node_parameters(node, context)
    assert Path(file) == REPOSITORY / "config" / "default.yaml"
    assert given == {"autostart": True, "use_sim_time": False}


def test_an_argument_overrides_the_file(monkeypatch):
    entities, context = expand(ESPNET, monkeypatch, alpha="3", weights="007", backend="torch", autostart="false")
    _file, given = node_parameters(started(entities)[0], context)
    assert given == {"alpha": 3, "weights": "007", "backend": "torch", "autostart": False, "use_sim_time": False}
    assert isinstance(given["weights"], str)


def test_power_mode_and_governor_override_the_file_and_a_mode_id_stays_a_string(monkeypatch):
    entities, context = expand(ESPNET, monkeypatch, power_mode="3", governor="rate")
    _file, given = node_parameters(started(entities)[0], context)
    assert given == {"power_mode": "3", "governor": "rate", "autostart": True, "use_sim_time": False}


def test_an_unknown_governor_is_rejected(monkeypatch):
    with pytest.raises(RuntimeError, match="governor"):
        expand(ESPNET, monkeypatch, governor="fast")


def build_command(monkeypatch, **arguments):
    """What build_only starts, word by word."""
    entities, context = expand(ESPNET, monkeypatch, build_only="true", **arguments)
    from launch.utilities import perform_substitutions

    assert started(entities) == []
    (process,) = (entity for entity in entities if type(entity).__name__ == "ExecuteProcess")
    return [perform_substitutions(context, part) for part in process.cmd]


def test_build_only_builds_what_the_parameters_ask_for_and_starts_no_node(monkeypatch):
    python, *command = build_command(monkeypatch)
    assert Path(python).name.startswith("python")
    file = str(REPOSITORY / "config" / "default.yaml")
    assert command == ["-m", "espnet_ros.cli", "engine", "build", "--params-file", file, "--node", "/espnet"]


def test_build_only_passes_on_the_arguments_that_override_the_file(monkeypatch):
    arguments = {"alpha": "3", "weights": "007", "backend": "torch", "namespace": "/rear/", "params_file": "mine.yaml"}
    command = build_command(monkeypatch, **arguments)[5:]
    assert command[:4] == ["--params-file", "mine.yaml", "--node", "/rear/espnet"]
    assert command[4:] == ["--weights", "007", "--alpha", "3", "--backend", "torch"]


def test_build_only_passes_on_power_mode_and_governor(monkeypatch):
    command = build_command(monkeypatch, power_mode="max_q", governor="rate")
    assert command[-4:] == ["--power-mode", "max_q", "--governor", "rate"]


def test_the_options_of_build_only_are_those_of_the_command(monkeypatch):
    from espnet_ros.cli import build_parser

    command = build_command(monkeypatch, alpha="3", weights="x.pth", backend="torch", namespace="rear")
    args = build_parser().parse_args(command[3:])
    assert (args.alpha, args.weights, args.backend, args.node) == (3, "x.pth", "torch", "/rear/espnet")


@pytest.mark.parametrize(("backend", "code"), [("fake", 0), ("tensorrt", 1)])
def test_a_launch_that_builds_returns_the_success_of_the_command(monkeypatch, backend, code):
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, "mine.xml")  # or else launch sets it, in this process
    description = load(ESPNET, monkeypatch)
    from launch import LaunchDescription, LaunchService
    from launch.actions import SetLaunchConfiguration

    if backend == "tensorrt" and importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("needs a machine without tensorrt, so that building fails")
    given = {"build_only": "true", "backend": backend}
    service = LaunchService()
    service.include_launch_description(
        LaunchDescription([*(SetLaunchConfiguration(*pair) for pair in given.items()), *description.entities])
    )
    assert service.run() == code


def test_a_value_outside_the_choices_is_refused(monkeypatch):
    with pytest.raises(RuntimeError, match="alpha"):
        expand(ESPNET, monkeypatch, alpha="4")


@pytest.mark.parametrize("is_set", [True, False])
def test_the_transport_profile_is_set_unless_the_user_has_one(monkeypatch, is_set):
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    for name in names:
        monkeypatch.setenv(name, "mine.xml" if is_set else "")
    _, context = expand(ESPNET, monkeypatch)
    expected = "mine.xml" if is_set else str(REPOSITORY / "config" / "fastdds_large_images.xml")
    assert [context.environment[name] for name in names] == [expected, expected]
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == expected


def test_replay_takes_every_argument_of_the_node_besides_its_own(monkeypatch):
    names = {argument.name for argument in load(REPLAY, monkeypatch).get_launch_arguments()}
    assert names == {
        *NODE_ARGUMENTS,
        *names_where(lambda rule: rule.is_launch_argument),
        "bag",
        "rate",
        "loop",
        "delay",
        "use_sim_time",
        "autostart",
    }


def test_replay_plays_the_bag_with_its_clock_into_a_node_that_takes_its_time(monkeypatch):
    arguments = {"loop": "true", "image": "/camera/image_raw", "alpha": "5", "autostart": "false"}
    entities, context = expand(REPLAY, monkeypatch, bag="drive", **arguments)
    from launch.utilities import perform_substitutions

    (player,) = (entity for entity in entities if type(entity).__name__ == "ExecuteProcess")
    command = [perform_substitutions(context, part) for part in player.cmd]
    assert command == ["ros2", "bag", "play", "drive", "--clock", "--rate", "1.0", "--delay", "3.0", "--loop"]
    _file, given = node_parameters(started(entities)[0], context)
    assert given == {"alpha": 5, "autostart": True, "use_sim_time": True}


def test_a_delay_of_0_is_not_passed_on_as_the_player_refuses_it(monkeypatch):
    entities, context = expand(REPLAY, monkeypatch, bag="drive", delay="0")
    from launch.utilities import perform_substitutions

    (player,) = (entity for entity in entities if type(entity).__name__ == "ExecuteProcess")
    assert "--delay" not in [perform_substitutions(context, part) for part in player.cmd]


def test_without_rviz2_the_node_is_started_and_it_is_said(monkeypatch):
    import ament_index_python.packages

    def find_nothing(package):
        raise ament_index_python.packages.PackageNotFoundError(package)

    monkeypatch.setattr(ament_index_python.packages, "get_package_prefix", find_nothing)
    entities, _context = expand(ESPNET, monkeypatch, rviz="true")
    assert [each.node_executable for each in started(entities)] == ["espnet_node", "espnet_costmap_guard"]
    assert "LogInfo" in [type(entity).__name__ for entity in entities]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nope.yaml", "there is no such file"), ("tx2_max_p.yaml", "has power profiles, not parameters")],
)
def test_a_params_file_that_is_none_is_refused(monkeypatch, name, reason):
    with pytest.raises(RuntimeError, match=reason):
        expand(ESPNET, monkeypatch, params_file=str(REPOSITORY / "config" / name))


def run(path, monkeypatch, **arguments):
    """Run a launch file to its end; returns the exit code of ros2 launch."""
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, "mine.xml")  # or else launch sets it, in this process
    description = load(path, monkeypatch)
    from launch import LaunchDescription, LaunchService
    from launch.actions import SetLaunchConfiguration

    service = LaunchService()
    given = [SetLaunchConfiguration(*pair) for pair in arguments.items()]
    service.include_launch_description(LaunchDescription([*given, *description.entities]))
    return service.run()


def test_a_node_that_dies_fails_the_launch(monkeypatch, tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("/**: {ros__parameters: {alpha: 4}}", encoding="utf-8")
    assert run(ESPNET, monkeypatch, params_file=str(broken), autostart="false") == 1


@pytest.mark.parametrize("code", [0, 1])
def test_a_replay_ends_with_its_player(monkeypatch, tmp_path, code):
    player = tmp_path / "ros2"
    player.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert run(REPLAY, monkeypatch, bag="drive", backend="fake", rviz="false") == code


@pytest.mark.parametrize(
    ("pushed", "namespace", "logger"),
    [
        ("", "", "espnet"),
        ("", "/rear/", "rear.espnet"),
        ("/robot", "rear", "robot.rear.espnet"),
        ("/robot", "/rear", "rear.espnet"),
    ],
)
def test_log_level_names_the_logger_of_the_node_in_its_namespace(monkeypatch, pushed, namespace, logger):
    entities, context = expand(
        ESPNET, monkeypatch, ros_namespace=pushed, namespace=namespace, log_level="debug", costmap_guard="false"
    )
    from launch.utilities import perform_substitutions

    (node,) = started(entities)
    given = [part for part in node.cmd if not any(type(each).__name__ == "LocalSubstitution" for each in part)]
    words = [perform_substitutions(context, part) for part in given]
    assert f"{logger}:=debug" in words
