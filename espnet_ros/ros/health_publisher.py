"""How the node is, on /diagnostics, ``~/engine_status``, ``~/power_status`` and ``~/label_info``."""

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
    """Publishes how the node is, and remembers what it said.

    Args:
        node: the node.
        health: asked how it is; the number of new refusals and failures is filled in here.
    """

    def __init__(self, node: Node, health: Callable[[], NodeHealth]) -> None:
        self._node = node
        self._health = health
        self._statuses = node.create_publisher(EngineStatus, "~/engine_status", LATCHED_QOS)
        self._powers = node.create_publisher(PowerStatus, "~/power_status", LATCHED_QOS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._label_info = LabelInfoPublisher(node)
        self._counts_shown = ImageCounts()
        self._engine_announced: Optional[Engine] = None
        self.report_shown: Optional[EngineReport] = None
        """What was said of the engine last."""

    def publish(self) -> None:
        """Say on /diagnostics and ``~/engine_status`` how the node is."""
        if not self._node.context.ok():
            return
        health = self._health()
        counts, shown = health.counts, self._counts_shown
        if counts.received < shown.received:  # it was activated again
            shown = ImageCounts()
        health = health._replace(new_refusals=counts.refused - shown.refused, new_failures=counts.failed - shown.failed)
        self._counts_shown, self.report_shown = counts, health.report
        stamp = self._node.get_clock().now().to_msg()
        self._statuses.publish(engine_status(health, stamp))
        self._diagnostics.publish(diagnostic_array(health, self._node.get_fully_qualified_name(), stamp))

    def publish_power(self, report: PowerReport) -> None:
        """Say on ``~/power_status`` how power is."""
        if self._node.context.ok():
            self._powers.publish(power_status(report, self._node.get_clock().now().to_msg()))

    def announce_engine(self, engine: Optional[Engine], min_confidence: float) -> None:
        """Log an engine that has come into use and publish its classes, once."""
        if engine is None or engine is self._engine_announced:
            return
        self._engine_announced = engine
        self._node.get_logger().info(f"engine: {engine_summary(engine)} ({engine.reason})")
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._label_info.publish(header, engine.spec.class_table, min_confidence)

    def forget_engine(self) -> None:
        """The engine has been freed."""
        self._engine_announced = self.report_shown = None
