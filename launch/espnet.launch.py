"""Starts the segmentation node: ros2 launch espnet_ros espnet.launch.py image:=/camera/image_raw."""

import os
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory("espnet_ros"))
PROFILES = SHARE / "config" / "fastdds_large_images.xml"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
FROM_PARAMS_FILE = ""
"""Value of an argument that leaves a parameter to params_file."""
ENGINE_PARAMETERS = ("alpha", "weights", "backend")
"""Arguments that are parameters of the engine: build_only hands them on."""
POWER_PARAMETERS = ("power_mode", "governor")

ARGUMENTS = [
    DeclareLaunchArgument("image", default_value="image", description="Topic of the camera's images."),
    DeclareLaunchArgument("camera_info", default_value="camera_info", description="Topic of the camera's calibration."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node; one for each camera."),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "default.yaml"),
        description="YAML file of parameters. Arguments that are given win over it.",
    ),
    DeclareLaunchArgument(
        "alpha",
        default_value=FROM_PARAMS_FILE,
        choices=[FROM_PARAMS_FILE, "3", "5", "8"],
        description="ESP blocks at the third level; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "weights",
        default_value=FROM_PARAMS_FILE,
        description="Family or checkpoint of the registry, or a path; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "backend",
        default_value=FROM_PARAMS_FILE,
        choices=[FROM_PARAMS_FILE, "auto", "tensorrt", "native", "openvino", "onnxruntime", "torch", "fake"],
        description="Inference engine; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "power_mode",
        default_value=FROM_PARAMS_FILE,
        description="Power profile, or a name or id of the board's own modes; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "governor",
        default_value=FROM_PARAMS_FILE,
        choices=[FROM_PARAMS_FILE, "off", "rate", "power", "latency", "thermal"],
        description="What the governor holds; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "use_sim_time", default_value="false", choices=["true", "false"], description="Take the time from /clock."
    ),
    DeclareLaunchArgument("rviz", default_value="false", choices=["true", "false"], description="Show the results."),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="What the node logs at least.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=["true", "false"],
        description="Configure and activate at once; false leaves that to a lifecycle manager.",
    ),
    DeclareLaunchArgument(
        "build_only",
        default_value="false",
        choices=["true", "false"],
        description="Start nothing: build the engine that the node would load, keep it, and end.",
    ),
]


def start(context: LaunchContext) -> list:
    """The nodes, or the process that builds their engine."""
    if LaunchConfiguration("build_only").perform(context) == "true":
        return [build_engine(context)]
    return start_nodes(context)


def given_arguments(context: LaunchContext, names: tuple) -> dict:
    """Those arguments for parameters that were given."""
    values = {name: LaunchConfiguration(name).perform(context) for name in names}
    return {name: value for name, value in values.items() if value != FROM_PARAMS_FILE}


def namespace_parts(context: LaunchContext) -> list:
    """The node's namespace, split; empty where it has none."""
    return [part for part in LaunchConfiguration("namespace").perform(context).split("/") if part]


def build_engine(context: LaunchContext) -> ExecuteProcess:
    """The command that builds what the node would load; where it fails the launch fails."""
    command = [sys.executable, "-m", "espnet_ros.cli", "engine", "build"]
    command += ["--params-file", LaunchConfiguration("params_file")]
    command += ["--node", "/" + "/".join([*namespace_parts(context), "espnet"])]
    for name, value in given_arguments(context, ENGINE_PARAMETERS + POWER_PARAMETERS).items():
        command += [f"--{name.replace('_', '-')}", value]
    return ExecuteProcess(cmd=command, name="espnet_engine_build", output="screen", on_exit=require_success)


def require_success(event: ProcessExited, _context: LaunchContext) -> None:
    """Launch takes an exception, and nothing else, as a reason for an exit code of its own."""
    if event.returncode != 0:
        raise RuntimeError(f"no engine was built: espnet_ros engine build ended with exit code {event.returncode}")


def start_nodes(context: LaunchContext) -> list:
    """The node, with parameters from the file and from those arguments that were given, and rviz."""
    overrides = {
        name: int(value) if name == "alpha" else ParameterValue(value, value_type=str)
        for name, value in given_arguments(context, ENGINE_PARAMETERS + POWER_PARAMETERS).items()
    }
    flags = {name: LaunchConfiguration(name).perform(context) == "true" for name in ("autostart", "use_sim_time")}
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
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(SHARE / "config" / "espnet.rviz")],
        parameters=[{"use_sim_time": flags["use_sim_time"]}],
        remappings=[("image", LaunchConfiguration("image"))],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return [node, rviz]


def generate_launch_description() -> LaunchDescription:
    """Arguments, the transport profile for large images, and the nodes."""
    profile = [SetEnvironmentVariable(name, str(PROFILES)) for name in PROFILE_VARIABLES if not os.environ.get(name)]
    return LaunchDescription([*ARGUMENTS, *profile, OpaqueFunction(function=start)])
