"""The heartbeat by which Nav2's lifecycle manager notices that the node has died."""

from __future__ import annotations

import uuid
from typing import Any, Optional

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile

_TOPIC = "bond"
_TIMEOUT = 4.0  # s; tells the other side when to take us for dead. Nav2's manager goes by its own bond_timeout.


class Bond:
    """The node's side of a bond (package bondcpp): "I am alive" while the node is active, "I am leaving" at its end.

    As with Nav2's own nodes (nav2_util of Humble to Lyrical), the bond's id is the node's name, and a manager that
    disappears changes nothing for the node. Two things are left out:

    - The manager's messages are not read. They carry nothing that the node would act on, and in Nav2 each of its bonds
      is on this topic: hundreds of messages a second that Python would have to unpack.
    - The heartbeat does not end after 10 s without a manager. It harms nobody, and the manager may come later.

    Does nothing where the package ``bond`` is not installed.

    Args:
        node: the node. The heartbeat runs in its executor, so it also stops if the executor hangs.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher: Optional[Any] = None
        self._timer: Optional[Any] = None
        self._instance = ""
        self._period = 0.0
        try:
            from bond.msg import Status
        except ImportError:  # no ROS package, or another package of that name
            return
        self._message_type = Status
        self._publisher = node.create_publisher(Status, _TOPIC, QoSProfile(depth=5))

    def start(self, period: float) -> None:
        """Start a new bond.

        Args:
            period: interval of the heartbeat in s; 0 for no bond.
        """
        self.stop()
        if not period:
            return
        if self._publisher is None:
            self._node.get_logger().info(
                "the package bond is not installed; Nav2's lifecycle manager needs bond_timeout: 0.0 (docs/nav2.md)"
            )
            return
        self._instance, self._period = str(uuid.uuid4()), period
        self._timer = self._node.create_timer(period, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def stop(self) -> None:
        """Break the bond, if there is one: tell the manager at once."""
        if self._timer is None:
            return
        self._node.destroy_timer(self._timer)
        self._timer = None
        if self._node.context.ok():
            self._publish(is_alive=False)

    def _publish(self, is_alive: bool = True) -> None:
        assert self._publisher is not None
        message = self._message_type(id=self._node.get_name(), instance_id=self._instance, active=is_alive)
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.heartbeat_timeout, message.heartbeat_period = _TIMEOUT, self._period
        self._publisher.publish(message)
