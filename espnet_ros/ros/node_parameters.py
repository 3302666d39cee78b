"""The parameters of a running node: checked when somebody changes them, and changed by the node itself."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from espnet_ros.config import NodeConfig
from espnet_ros.errors import EspnetError, describe_error
from espnet_ros.ros import parameters
from espnet_ros.runtime.engine_parameters import ENGINE_NAMES, follow_weights


class NodeParameters:
    """Declares the parameters, refuses changes that cannot work, and keeps them true.

    Args:
        node: whose parameters they are.
        check: called with the configuration and the changes that somebody asks for; raises EspnetError to refuse them.
        changed: told of every change, once rclpy is about to store it.

    Raises:
        ParameterError: a value given at start breaks its rule.
    """

    def __init__(
        self, node: Node, check: Callable[[NodeConfig, Dict[str, Any]], None], changed: Callable[[], None]
    ) -> None:
        self._node = node
        self._check = check
        self._changed = changed
        self._is_own_change = False
        parameters.declare(node)
        node.add_on_set_parameters_callback(self._accept_or_refuse)

    def read(self) -> NodeConfig:
        """The parameters as they are now."""
        return parameters.read(self._node)

    def set(self, values: Mapping[str, Any]) -> None:
        """Make the parameters say what the node itself has decided; nothing is checked but types."""
        if not values:
            return
        self._is_own_change = True
        try:
            self._node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()])
        finally:
            self._is_own_change = False

    def restore_engine(self, config: NodeConfig) -> None:
        """Set all that an engine depends on to what it is in ``config``."""
        self.set({name: getattr(config, name) for name in ENGINE_NAMES})

    def follow_weights(self) -> NodeConfig:
        """Set network and alpha to those of the weights, where these are a single checkpoint; returns the result."""
        config = self.read()
        followed = follow_weights(config)
        names = [name for name in ("network", "alpha") if getattr(config, name) != getattr(followed, name)]
        if names:
            self.set({name: getattr(followed, name) for name in names})
            values = ", ".join(f"{name} {getattr(followed, name)}" for name in names)
            self._node.get_logger().info(f"weights '{config.weights}' have {values}: parameters set to match")
        return followed

    def _accept_or_refuse(self, changed: List[Parameter]) -> SetParametersResult:
        """Refuse what cannot work. What can is applied once rclpy has stored it."""
        changes = parameters.values(changed)
        try:
            if changes and not self._is_own_change:
                self._check(self.read(), changes)
        except EspnetError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # the callback's edge: rclpy would let it end the process
            self._node.get_logger().error(f"cannot check {', '.join(changes)}: {describe_error(error)}")
            return SetParametersResult(successful=False, reason=describe_error(error))
        self._changed()
        return SetParametersResult(successful=True)
