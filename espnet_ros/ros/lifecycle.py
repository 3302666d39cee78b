"""A lifecycle node that survives and logs errors in its transitions, and the loop that runs it."""

from __future__ import annotations

import signal
from typing import Any, Callable

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node

from espnet_ros.errors import describe_error
from espnet_ros.stopping import Stopped, is_stop_requested, request_stop

_SIGNAL_POLL_PERIOD = 0.1  # s


class RobustLifecycleNode(LifecycleNode):
    """Logs exceptions in transitions, which rclpy hides, and survives illegal transition requests."""

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self._survive_illegal_transitions()

    def explain_start(self) -> None:
        """Log how the node, which waits for a lifecycle manager, can be started by hand."""
        name = self.get_fully_qualified_name()
        self.get_logger().info(
            f"unconfigured: waits for a lifecycle manager, or 'ros2 lifecycle set {name} configure', then 'activate'; "
            "-p autostart:=true does both at start"
        )

    def publish_health(self) -> None:
        """Publish the node's status. Called after each transition."""

    def autostart(self) -> None:
        """Configure and activate. On failure the node waits for a lifecycle manager."""
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            if is_stop_requested():
                return
            self.get_logger().error("autostart: configure failed; the node stays unconfigured")
        elif self.trigger_activate() != TransitionCallbackReturn.SUCCESS:
            self.get_logger().error("autostart: activate failed; the node stays inactive")

    def run_transition(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """Run the action of one transition and log its exception, which rclpy would hide."""
        result = TransitionCallbackReturn.SUCCESS
        try:
            action()
        except Stopped:
            result = TransitionCallbackReturn.FAILURE
        except Exception as error:  # becomes the transition's failure
            result = TransitionCallbackReturn.FAILURE
            if self.context.ok():
                self.get_logger().error(f"cannot {name}: {describe_error(error)}")
        self.publish_health()
        return result

    def _survive_illegal_transitions(self) -> None:
        """Make the change_state service answer False if the current state does not allow the transition.

        Up to Jazzy, rclpy raises the error out of spin(), which ends the process.
        """
        service = self._service_change_state
        change_state = service.callback

        def change_state_or_refuse(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except Exception as error:  # would end the process
                requested = request.transition.label or f"id {request.transition.id}"
                state = self._state_machine.current_state[1]
                self.get_logger().warning(f"transition '{requested}' is not possible in state '{state}': {error}")
                response.success = False
                return response

        service.callback = change_state_or_refuse


class StopSignals:
    """Remembers SIGINT and SIGTERM. rclpy's own handlers would end the context before the node's last messages."""

    def __init__(self) -> None:
        self.is_received = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, _number: int, _frame: Any) -> None:
        self.is_received = True
        request_stop()  # ends builds in all threads


def spin_until_stopped(node: Node, stop: StopSignals) -> None:
    """Run the node's callbacks until a signal is received or the context ends."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.is_received:
            executor.spin_once(timeout_sec=_SIGNAL_POLL_PERIOD)
    except ExternalShutdownException:
        pass
    finally:
        executor.shutdown()
