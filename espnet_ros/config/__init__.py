"""Every parameter of the node: the one home of its default, rule, unit and description."""

from espnet_ros.config.node_config import READ_AS_TEXT, NodeConfig, as_meant, check_value, default_of, rule_of
from espnet_ros.config.rules import SIZE_MULTIPLE, Rule

__all__ = [
    "READ_AS_TEXT",
    "SIZE_MULTIPLE",
    "NodeConfig",
    "Rule",
    "as_meant",
    "check_value",
    "default_of",
    "rule_of",
]
