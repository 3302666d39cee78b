"""Plays a rosbag2 into the node: ros2 launch espnet_ros replay.launch.py bag:=drive image:=/camera/image_raw."""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory("espnet_ros"))
PROFILES = SHARE / "config" / "fastdds_large_images.xml"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

PASSED_ON = ("image", "camera_info", "namespace", "params_file", "alpha", "weights", "backend", "log_level", "rviz")
ARGUMENTS = [
    DeclareLaunchArgument("bag", description="Folder or file of the rosbag2 to play."),
    DeclareLaunchArgument("rate", default_value="1.0", description="Speed of the player: 1.0 is as recorded."),
    DeclareLaunchArgument(
        "loop", default_value="false", choices=["true", "false"], description="Begin again at the end of the bag."
    ),
    DeclareLaunchArgument(
        "delay", default_value="3.0", description="Seconds before the first message, for the engine to be built."
    ),
    DeclareLaunchArgument("image", default_value="image", description="Topic of the images in the bag."),
    DeclareLaunchArgument("camera_info", default_value="camera_info", description="Topic of their calibration."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "default.yaml"),
        description="YAML file of parameters. Arguments that are given win over it.",
    ),
    DeclareLaunchArgument(
        "alpha",
        default_value="",
        choices=["", "3", "5", "8"],
        description="ESP blocks at the third level; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "weights",
        default_value="",
        description="Family or checkpoint of the registry, or a path; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        choices=["", "auto", "openvino", "torch", "fake"],
        description="Inference engine; empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="What the node logs at least.",
    ),
    DeclareLaunchArgument("rviz", default_value="true", choices=["true", "false"], description="Show the results."),
]


def play_bag(context: LaunchContext) -> list:
    """The player; it gives the time, so that stamps of the recording are not old."""
    command = ["ros2", "bag", "play", LaunchConfiguration("bag"), "--clock"]
    command += ["--rate", LaunchConfiguration("rate"), "--delay", LaunchConfiguration("delay")]
    if LaunchConfiguration("loop").perform(context) == "true":
        command.append("--loop")
    return [ExecuteProcess(cmd=command, output="screen")]


def generate_launch_description() -> LaunchDescription:
    """Arguments, the transport profile for large images, the node, rviz and the player."""
    profile = [SetEnvironmentVariable(name, str(PROFILES)) for name in PROFILE_VARIABLES if not os.environ.get(name)]
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "espnet.launch.py")),
        launch_arguments=[
            *((name, LaunchConfiguration(name)) for name in PASSED_ON),
            ("use_sim_time", "true"),
            ("autostart", "true"),
        ],
    )
    return LaunchDescription([*ARGUMENTS, *profile, node, OpaqueFunction(function=play_bag)])
