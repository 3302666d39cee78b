"""Plays a rosbag2 into the node: ros2 launch espnet_ros replay.launch.py bag:=drive image:=/camera/image_raw."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory("espnet_ros"))

ARGUMENTS = [  # those of espnet.launch.py can be given too: what it includes sees them
    DeclareLaunchArgument("bag", description="Folder or file of the rosbag2 to play."),
    DeclareLaunchArgument("rate", default_value="1.0", description="Speed of the player: 1.0 is as recorded."),
    DeclareLaunchArgument(
        "loop", default_value="false", choices=["true", "false"], description="Begin again at the end of the bag."
    ),
    DeclareLaunchArgument(
        "delay", default_value="3.0", description="Seconds before the first message, for the engine to be built."
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
    """Arguments; the node and rviz, with the transport profile for large images; the player."""
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "espnet.launch.py")),
        launch_arguments=[("use_sim_time", "true"), ("autostart", "true"), ("build_only", "false")],
    )
    return LaunchDescription([*ARGUMENTS, node, OpaqueFunction(function=play_bag)])
