"""The access to the node's parameters that runtime needs; `espnet_ros.ros.node_parameters` provides it."""

from __future__ import annotations

from typing import Any, Mapping

from typing_extensions import Protocol

from espnet_ros.config import NodeConfig


class ParameterStore(Protocol):
    """Reads and stores the node's parameters."""

    def read(self) -> NodeConfig:
        """Return the stored parameters."""

    def set(self, values: Mapping[str, Any]) -> None:
        """Store values that the node itself has chosen."""
