"""Every parameter of the node: the one home of its default, rule, unit and description."""

from espnet_ros.config.node_config import NodeConfig, check_value, default_of, rule_of
from espnet_ros.config.rules import SIZE_MULTIPLE, Rule

__all__ = ["SIZE_MULTIPLE", "NodeConfig", "Rule", "check_value", "default_of", "rule_of"]
