"""Plays a rosbag2 into the node: ros2 launch espnet_ros replay.launch.py bag:=drive image:=/camera/image_raw."""

from pathlib import Path
from typing import Optional

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(get_package_share_directory("espnet_ros"))

ARGUMENTS = [  # the included espnet.launch.py takes its own arguments too
    DeclareLaunchArgument("bag", description="Folder or file of the rosbag2 to play."),
    DeclareLaunchArgument("rate", default_value="1.0", description="Playback rate. 1.0 is real time."),
    DeclareLaunchArgument(
        "loop", default_value="false", choices=["true", "false"], description="Start again at the end of the bag."
    ),
    DeclareLaunchArgument(
        "delay", default_value="3.0", description="Seconds to wait before playback, while the engine is built."
    ),
    DeclareLaunchArgument(
        "rviz", default_value="true", choices=["true", "false"], description="Start RViz, if installed."
    ),
]


def play_bag(context: LaunchContext) -> list:
    """Return the player. It publishes /clock, so the recording's stamps are current. The launch ends with it."""
    command = ["ros2", "bag", "play", LaunchConfiguration("bag"), "--clock"]
    command += ["--rate", LaunchConfiguration("rate")]
    delay = LaunchConfiguration("delay").perform(context)
    if float(delay) > 0:  # the player refuses 0
        command += ["--delay", delay]
    if LaunchConfiguration("loop").perform(context) == "true":
        command.append("--loop")
    return [ExecuteProcess(cmd=command, output="screen", on_exit=end_launch)]


def end_launch(event: ProcessExited, context: LaunchContext) -> Optional[Shutdown]:
    """End the launch with the bag. Raise if the player failed, so that the launch fails too."""
    if context.is_shutdown:
        return None
    if event.returncode != 0:
        raise RuntimeError(f"ros2 bag play ended with code {event.returncode}")
    return Shutdown(reason="the bag has ended")


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the node and RViz, and the player."""
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "espnet.launch.py")),
        launch_arguments=[("use_sim_time", "true"), ("autostart", "true"), ("build_only", "false")],
    )
    return LaunchDescription([*ARGUMENTS, node, OpaqueFunction(function=play_bag)])
