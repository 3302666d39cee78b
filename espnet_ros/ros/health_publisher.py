"""Publishers of /diagnostics, ``~/engine_status``, ``~/power_status`` and ``~/label_info``."""

from __future__ import annotations

from typing import Callable, Optional

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_msgs.msg import Header

from espnet_ros.engines import Engine
from espnet_ros.msg import EngineStatus, PowerStatus
from espnet_ros.ros.diagnostics import diagnostic_array, engine_status
from espnet_ros.ros.power_output import power_status
from espnet_ros.ros.publishers import LATCHED_QOS, LabelInfoPublisher
from espnet_ros.runtime.engine_exchange import EngineReport
from espnet_ros.runtime.health import NodeHealth
from espnet_ros.runtime.image_worker import ImageCounts
from espnet_ros.runtime.power_control import PowerReport
from espnet_ros.segmenter import engine_summary


class HealthPublisher:
    """Publishes the node's status.

    Args:
        node: the node.
        health: returns the current status; the numbers of new refusals, failures and jumps are filled in here.

    Attributes:
        last_report: the engine report that was published last; None if there is none.
    """

    def __init__(self, node: Node, health: Callable[[], NodeHealth]) -> None:
        self._node = node
        self._health = health
        self._statuses = node.create_publisher(EngineStatus, "~/engine_status", LATCHED_QOS)
        self._powers = node.create_publisher(PowerStatus, "~/power_status", LATCHED_QOS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._label_info = LabelInfoPublisher(node)
        self._last_counts = ImageCounts()
        self._last_jumps = 0
        self._announced_engine: Optional[Engine] = None
        self._announced_threshold = 0.0
        self.last_report: Optional[EngineReport] = None

    def publish(self) -> None:
        """Publish /diagnostics and ``~/engine_status``."""
        if not self._node.context.ok():
            return
        health = self._health()
        counts, previous = health.counts, self._last_counts
        if counts.received < previous.received:  # the node was activated again
            previous = ImageCounts()
        new_refusals, new_failures = counts.refused - previous.refused, counts.failed - previous.failed
        health = health._replace(new_refusals=new_refusals, new_failures=new_failures)
        self._last_counts, self.last_report = counts, health.report
        if health.costmap is not None:
            new_jumps = max(0, health.costmap.jumps - self._last_jumps)
            self._last_jumps = health.costmap.jumps
            health = health._replace(costmap=health.costmap._replace(new_jumps=new_jumps))
        stamp = self._node.get_clock().now().to_msg()
        self._statuses.publish(engine_status(health, stamp))
        self._diagnostics.publish(diagnostic_array(health, self._node.get_fully_qualified_name(), stamp))

    def publish_power(self, report: PowerReport) -> None:
        """Publish ``~/power_status``."""
        if self._node.context.ok():
            self._powers.publish(power_status(report, self._node.get_clock().now().to_msg()))

    def announce_engine(self, engine: Optional[Engine], min_confidence: float) -> None:
        """Log the engine in use, once per engine. Publish its classes, again when the threshold has changed."""
        if engine is None or (engine is self._announced_engine and min_confidence == self._announced_threshold):
            return
        if engine is not self._announced_engine:
            self._node.get_logger().info(f"engine: {engine_summary(engine)} ({engine.reason})")
        self._announced_engine, self._announced_threshold = engine, min_confidence
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._label_info.publish(header, engine.spec.class_table, min_confidence)

    def forget_engine(self) -> None:
        """Forget the engine after it was freed."""
        self._announced_engine = self.last_report = None
