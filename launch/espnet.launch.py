"""Starts the segmentation node: ros2 launch espnet_ros espnet.launch.py image:=/camera/image_raw."""

import os
import sys
from pathlib import Path
from typing import Optional

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from espnet_ros.config import default_of, names_where, rule_of

SHARE = Path(get_package_share_directory("espnet_ros"))
PROFILES = SHARE / "config" / "fastdds_large_images.xml"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
PARAMETERS = names_where(lambda rule: rule.is_launch_argument)
RESPAWN_DELAY = 2.0  # s
FROM_PARAMS_FILE = ""
"""Value of an argument that leaves the parameter to params_file."""


def parameter_argument(name: str) -> DeclareLaunchArgument:
    """Return the argument that sets a parameter of the node."""
    rule = rule_of(name)
    return DeclareLaunchArgument(
        name,
        default_value=FROM_PARAMS_FILE,
        choices=[FROM_PARAMS_FILE, *map(str, rule.choices)] if rule.choices else None,
        description=f"{rule.description} If not given, params_file sets it.",
    )


ARGUMENTS = [
    DeclareLaunchArgument("image", default_value="image", description="Topic of the camera images."),
    DeclareLaunchArgument("camera_info", default_value="camera_info", description="Topic of the camera calibration."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node, one per camera."),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "default.yaml"),
        description="YAML file of parameters. Arguments override it.",
    ),
    *(parameter_argument(name) for name in PARAMETERS),
    DeclareLaunchArgument(
        "use_sim_time", default_value="false", choices=["true", "false"], description="Use the time from /clock."
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=["true", "false"], description="Start RViz, if installed."
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Lowest severity that the node logs.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=["true", "false"],
        description="Configure and activate the node when it starts. Set to false if a lifecycle manager does that.",
    ),
    DeclareLaunchArgument(
        "costmap_guard",
        default_value="true",
        choices=["true", "false"],
        description="Start espnet_costmap_guard, which clears the costmaps if the node is killed.",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=["true", "false"],
        description="Start the node again, after 2 s, if it ends.",
    ),
    DeclareLaunchArgument(
        "build_only",
        default_value="false",
        choices=["true", "false"],
        description="Start no node. Build the engine that the node would load, store it in the cache, and exit.",
    ),
]


def start(context: LaunchContext) -> list:
    """Return the nodes or, with build_only, the process that builds their engine."""
    if LaunchConfiguration("build_only").perform(context) == "true":
        return [build_engine(context)]
    return start_nodes(context)


def given_parameters(context: LaunchContext) -> dict:
    """Return the text of each parameter that was given as an argument."""
    values = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    return {name: value for name, value in values.items() if value != FROM_PARAMS_FILE}


def typed_value(name: str, text: str) -> object:
    """Convert an argument to its parameter's type. Text stays text even if it looks like a number."""
    kind = type(default_of(name))
    return ParameterValue(text, value_type=str) if kind is str else kind(text)


def namespace_parts(context: LaunchContext) -> list:
    """Return the parts of the node's namespace, with that of PushROSNamespace around it; empty if it has none."""
    given = LaunchConfiguration("namespace").perform(context)
    outer = "" if given.startswith("/") else context.launch_configurations.get("ros_namespace", "")
    return [part for part in f"{outer}/{given}".split("/") if part]


def build_engine(context: LaunchContext) -> ExecuteProcess:
    """Return the command that builds the node's engine. If it fails, the launch fails."""
    command = [sys.executable, "-m", "espnet_ros.cli", "engine", "build"]
    command += ["--params-file", LaunchConfiguration("params_file")]
    command += ["--node", "/" + "/".join([*namespace_parts(context), "espnet"])]
    for name, value in given_parameters(context).items():
        command += [f"--{name.replace('_', '-')}", value]
    return ExecuteProcess(cmd=command, name="espnet_engine_build", output="screen", on_exit=require_success)


def require_success(event: ProcessExited, _context: LaunchContext) -> None:
    """Raise if the command failed: launch returns an exit code other than 0 only for an exception."""
    if event.returncode != 0:
        raise RuntimeError(f"no engine was built: espnet_ros engine build exited with code {event.returncode}")


def end_launch(event: ProcessExited, context: LaunchContext) -> Optional[Shutdown]:
    """End the launch with the node. Raise if the node failed, so that the launch fails too."""
    if context.is_shutdown:
        return None
    if event.returncode != 0:
        raise RuntimeError(f"espnet_node ended with code {event.returncode}")
    return Shutdown(reason="espnet_node has ended")


def require_params_file(path: Path) -> None:
    """Raise if there is no such parameter file: launch_ros would start the node without it."""
    if not path.is_file():
        raise RuntimeError(f"params_file {path}: there is no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return  # the node says what is wrong
    if isinstance(content, dict) and "profiles" in content:
        raise RuntimeError(f"params_file {path}: has power profiles, not parameters: set power_profiles to it")


def is_installed(package: str) -> bool:
    """Return whether a ROS package is installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def start_nodes(context: LaunchContext) -> list:
    """Return the node, with parameters from the file and the arguments, its guard, and RViz."""
    require_params_file(Path(LaunchConfiguration("params_file").perform(context)))
    overrides = {name: typed_value(name, text) for name, text in given_parameters(context).items()}
    flags = {name: LaunchConfiguration(name).perform(context) == "true" for name in ("autostart", "use_sim_time")}
    respawns = LaunchConfiguration("respawn").perform(context) == "true"
    logger = ".".join([*namespace_parts(context), "espnet"])
    node = Node(
        package="espnet_ros",
        executable="espnet_node",
        name="espnet",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        emulate_tty=True,
        parameters=[LaunchConfiguration("params_file"), {**overrides, **flags}],
        remappings=[
            ("image", LaunchConfiguration("image")),
            ("image/compressed", [LaunchConfiguration("image"), "/compressed"]),
            ("camera_info", LaunchConfiguration("camera_info")),
        ],
        arguments=["--ros-args", "--log-level", [f"{logger}:=", LaunchConfiguration("log_level")]],
        on_exit=None if respawns else end_launch,
        respawn=respawns,
        respawn_delay=RESPAWN_DELAY,
    )
    guard = Node(
        package="espnet_ros",
        executable="espnet_costmap_guard",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        emulate_tty=True,
        parameters=[{"use_sim_time": flags["use_sim_time"]}],
        respawn=True,
        respawn_delay=RESPAWN_DELAY,
    )
    nodes = [node, guard] if LaunchConfiguration("costmap_guard").perform(context) == "true" else [node]
    if LaunchConfiguration("rviz").perform(context) != "true":
        return nodes
    if not is_installed("rviz2"):
        return [*nodes, LogInfo(msg="rviz2 is not installed: going on without RViz")]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(SHARE / "config" / "espnet.rviz")],
        parameters=[{"use_sim_time": flags["use_sim_time"]}],
        remappings=[("image", LaunchConfiguration("image"))],
    )
    return [*nodes, rviz]


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the transport profile for large images, and the nodes."""
    profile = [SetEnvironmentVariable(name, str(PROFILES)) for name in PROFILE_VARIABLES if not os.environ.get(name)]
    return LaunchDescription([*ARGUMENTS, *profile, OpaqueFunction(function=start)])
