"""A lifecycle node that survives what goes wrong in a transition, and says what it was."""

from __future__ import annotations

import signal
from typing import Any, Callable

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from espnet_ros.errors import describe_error


class SturdyLifecycleNode(LifecycleNode):
    """rclpy's lifecycle node without its two traps: errors it swallows, and errors it dies of."""

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self._survive_illegal_transitions()

    def publish_health(self) -> None:
        """Say how the node is; called after each transition."""

    def start_by_itself(self) -> None:
        """Configure and activate, as ``autostart`` asks for. On failure the node waits for a lifecycle manager."""
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            self.get_logger().error("autostart: could not configure; the node stays unconfigured")
        elif self.trigger_activate() != TransitionCallbackReturn.SUCCESS:
            self.get_logger().error("autostart: could not activate; the node stays inactive")

    def run_transition(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """Run what one transition does. rclpy would swallow an exception without a word."""
        result = TransitionCallbackReturn.SUCCESS
        try:
            action()
        except Exception as error:  # the callback's edge
            result = TransitionCallbackReturn.FAILURE
            if self.context.ok():
                self.get_logger().error(f"cannot {name}: {describe_error(error)}")
        self.publish_health()
        return result

    def _survive_illegal_transitions(self) -> None:
        """Answer False to a change_state request that the present state does not allow.

        Up to Jazzy rclpy lets the error out of spin(), which ends the process.
        """
        service = self._service_change_state
        change_state = service.callback

        def change_state_or_refuse(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except Exception as error:  # the callback's edge
                asked = request.transition.label or f"id {request.transition.id}"
                self.get_logger().warning(
                    f"transition '{asked}' is not possible in state '{self._state_machine.current_state[1]}': {error}"
                )
                response.success = False
                return response

        service.callback = change_state_or_refuse


class StopRequest:
    """Made by SIGINT and SIGTERM. rclpy's own handlers would end the context before the node can say goodbye."""

    def __init__(self) -> None:
        self.is_made = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._make)

    def _make(self, _number: int, _frame: Any) -> None:
        self.is_made = True
