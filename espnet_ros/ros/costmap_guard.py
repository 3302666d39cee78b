"""The node ``espnet_costmap_guard``: clears the costmaps of a segmentation node that has died.

Nav2's static layer keeps the last grid for ever, and its obstacle layer every mark. The segmentation node clears both
when it stops, but not when it is killed (SIGKILL, out of memory, a crash in a library). This node is small, lives in a
process of its own, and does it then.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from espnet_ros.stopping import exit_on_interrupt

if __name__ == "__main__":
    exit_on_interrupt()  # the imports below take a moment

import rclpy
from nav_msgs.msg import OccupancyGrid
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2

from espnet_ros.errors import ParameterError
from espnet_ros.msg import CostmapHeartbeat, CostmapLayers
from espnet_ros.ros.cleared_costmap import HEARTBEAT_PERIOD, HEARTBEAT_TOPIC, cleared_clouds, cleared_grids
from espnet_ros.ros.lifecycle import StopSignals, spin_until_stopped
from espnet_ros.ros.parameters import init_ros
from espnet_ros.ros.publishers import LATCHED_QOS

_TIMEOUT = 5 * HEARTBEAT_PERIOD
"""Seconds without a heartbeat after which the costmaps are cleared."""
_CHECK_PERIOD = 0.1  # s
_OWN_PAUSE = 0.5
"""If the time between two checks is longer than this, in seconds, this process was stopped, not the other."""
_REPEAT_PERIOD = 1.0
"""Seconds between two cleared clouds: Nav2 subscribes to clouds best effort, and one may be lost."""
_RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


class CostmapGuard(Node):
    """Publishes cleared costmaps while the heartbeat of the node ``espnet`` in this namespace is missing.

    A subscriber that comes later receives the last grid of every publisher of a latched topic, in any order. This node
    therefore publishes no grid while the other lives, and destroys its publishers, and with them the cleared grids,
    when the heartbeat is back.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__("espnet_costmap_guard", **arguments)
        self._heartbeat: Optional[CostmapHeartbeat] = None
        self._heard_at = self._checked_at = self._cleared_at = time.monotonic()
        self._is_clearing = False
        self._grids: Dict[str, Any] = {}
        self._clouds: Dict[str, Any] = {}
        self.create_subscription(CostmapHeartbeat, f"espnet/{HEARTBEAT_TOPIC}", self._hear, _RELIABLE)
        self.create_timer(_CHECK_PERIOD, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _hear(self, heartbeat: CostmapHeartbeat) -> None:
        """Take a heartbeat, withdraw cleared grids, and be ready to publish new ones."""
        self._heard_at = time.monotonic()
        self._heartbeat = None if heartbeat.is_last else heartbeat
        if self._is_clearing:
            self._is_clearing = False
            self._destroy(self._grids)
            self.get_logger().info("the heartbeat of the costmap is back")
        grids = [heartbeat.costmap_topic, *heartbeat.layer_topics]
        self._create(
            self._grids, {**dict.fromkeys(grids, OccupancyGrid), heartbeat.layers_topic: CostmapLayers}, LATCHED_QOS
        )
        clouds = [*heartbeat.points_topics, heartbeat.clearing_topic]
        self._create(self._clouds, dict.fromkeys(clouds, PointCloud2), _RELIABLE)

    def _create(self, publishers: Dict[str, Any], wanted: Dict[str, Any], qos: QoSProfile) -> None:
        """Create the publishers early: a new one takes some time to find its subscribers."""
        if publishers.keys() != wanted.keys():
            self._destroy(publishers)
            publishers.update({topic: self.create_publisher(kind, topic, qos) for topic, kind in wanted.items()})

    def _destroy(self, publishers: Dict[str, Any]) -> None:
        for publisher in publishers.values():
            self.destroy_publisher(publisher)
        publishers.clear()

    def finish(self) -> None:
        """Wait, before this process ends, until it is clear whether the other node has died, and if so publish.

        Whatever has killed that node may have made the launch stop this one.
        """
        executor = SingleThreadedExecutor()
        executor.add_node(self)
        deadline = time.monotonic() + 1.5 * _TIMEOUT
        while self._heartbeat is not None and not self._is_clearing and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=_CHECK_PERIOD)
        executor.shutdown()
        if self._is_clearing:
            for publisher in (*self._grids.values(), *self._clouds.values()):
                publisher.wait_for_all_acked(Duration(seconds=max(0.0, deadline + _OWN_PAUSE - time.monotonic())))

    def _check(self) -> None:
        """Publish cleared grids when the heartbeat stops, and cleared clouds until it is back."""
        now = time.monotonic()
        if now - self._checked_at > _OWN_PAUSE:
            self._heard_at += now - self._checked_at
        self._checked_at = now
        if self._heartbeat is None or now - self._heard_at <= _TIMEOUT:
            return
        stamp = self.get_clock().now().to_msg()
        if not self._is_clearing:
            self._is_clearing = True
            self._cleared_at = float("-inf")
            for topic, message in cleared_grids(self._heartbeat, stamp).items():
                self._grids[topic].publish(message)
            topic = self._heartbeat.costmap_topic
            self.get_logger().warning(f"no heartbeat of {topic} for {_TIMEOUT:g} s: published cleared costmaps")
        if now - self._cleared_at >= _REPEAT_PERIOD:
            self._cleared_at = now
            for topic, message in cleared_clouds(self._heartbeat, stamp).items():
                self._clouds[topic].publish(message)


def use_little_shared_memory() -> None:
    """Do without our Fast DDS profile for large images: its segment would take 13 MiB of /dev/shm for nothing."""
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        if Path(os.environ.get(name, "")).name == "fastdds_large_images.xml":
            del os.environ[name]


def main(args: Optional[List[str]] = None) -> int:
    """Run the guard until SIGINT or SIGTERM.

    Returns:
        Exit code: 0 after a signal, 1 if ROS refuses the arguments.
    """
    stop = StopSignals()
    use_little_shared_memory()
    try:
        init_ros(list(sys.argv if args is None else args))
    except ParameterError as error:
        rclpy.logging.get_logger("espnet_costmap_guard").fatal(str(error))
        return 1
    guard = CostmapGuard()
    try:
        spin_until_stopped(guard, stop)
        guard.finish()
    finally:
        guard.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
