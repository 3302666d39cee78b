"""Engines that a node finds in its cache: it builds at low priority, which takes minutes on a busy machine."""

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec


def build_ahead(**parameters):
    """Build the engine of a node's parameters into its cache."""
    build_engine(resolve_spec(NodeConfig(**parameters))).close()
