"""The parameters of a running node: validates changes by users and makes changes by the node."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from espnet_ros.config import NodeConfig
from espnet_ros.errors import EspnetError, describe_error
from espnet_ros.ros import parameters
from espnet_ros.runtime.engine_parameters import ENGINE_NAMES, follow_weights


class NodeParameters:
    """Declares the parameters, validates changes, and updates them when the node itself decides.

    Args:
        node: the node.
        check: called with the current configuration and the requested changes; raises EspnetError to reject them. It
            must have no side effects, as another callback may still reject the change.
        changed: called after every accepted change, just before rclpy stores it.

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
        self._validated: List[List[Parameter]] = []
        parameters.declare(node)
        unknown = parameters.find_unknown(node)
        if unknown:
            node.get_logger().warning(f"ignored what was given at start: {unknown}")
        node.add_on_set_parameters_callback(self._validate)

    def read(self) -> NodeConfig:
        """Return the current values."""
        return parameters.read(self._node)

    def set(self, values: Mapping[str, Any]) -> None:
        """Set parameters to what the node has decided. Only types are checked."""
        if not values:
            return
        self._is_own_change = True
        try:
            self._node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()])
        finally:
            self._is_own_change = False

    def take_changes(self) -> List[Dict[str, Any]]:
        """Return what the user has stored since the last call.

        Returns:
            Values by parameter name, one dict per set that rclpy has stored, oldest first. Values that were replaced
            since are left out.
        """
        validated, self._validated = self._validated, []
        stored = ([entry for entry in entries if self._is_stored(entry)] for entries in validated)
        return [parameters.values(entries) for entries in stored if entries]

    def restore_engine(self, config: Optional[NodeConfig], changes: Iterable[Mapping[str, Any]] = ()) -> None:
        """Set the engine's parameters to those of ``config``, if given, but keep what ``changes`` have just set."""
        kept = {name for values in changes for name in values}
        if config is not None:
            self.set({name: getattr(config, name) for name in ENGINE_NAMES if name not in kept})

    def follow_weights(self) -> NodeConfig:
        """Set network and alpha to those of the weights, if these are a single checkpoint. Return the result."""
        config = self.read()
        followed = follow_weights(config)
        names = [name for name in ("network", "alpha") if getattr(config, name) != getattr(followed, name)]
        if names:
            self.set({name: getattr(followed, name) for name in names})
            values = ", ".join(f"{name} {getattr(followed, name)}" for name in names)
            self._node.get_logger().info(f"set {values} to match weights '{config.weights}'")
        return followed

    def _is_stored(self, parameter: Parameter) -> bool:
        # rclpy stores the objects it validates. Comparing them by identity finds repeated sets of one value, too.
        return self._node.has_parameter(parameter.name) and self._node.get_parameter(parameter.name) is parameter

    def _validate(self, changed: List[Parameter]) -> SetParametersResult:
        """Refuse a change that cannot work. Others are remembered until `take_changes` looks which were stored."""
        changes = parameters.values(changed)
        if not self._is_own_change:
            try:
                if changes:
                    self._check(self.read(), changes)
            except EspnetError as error:
                return SetParametersResult(successful=False, reason=str(error))
            except Exception as error:  # rclpy would end the process
                self._node.get_logger().error(f"cannot check {', '.join(changes)}: {describe_error(error)}")
                return SetParametersResult(successful=False, reason=describe_error(error))
            self._validated.append(list(changed))
        self._changed()
        return SetParametersResult(successful=True)
