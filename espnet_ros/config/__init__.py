"""The node's parameters. Each is declared here once: default, rule, description, and where it can be set.

Imports only `errors` and `headers`: no numpy, OpenCV, torch or ROS, so that launch files and help texts can use it.
Start with `engine.py` for what a declaration looks like; `node_config.py` joins the sections into `NodeConfig`.
`documents.py` generates `config/default.yaml`, `docs/parameters.md` and README's table (`make docs`).
"""

from espnet_ros.config.declaration import SIZE_MULTIPLE, ParameterRule, Rule, Section, split_list
from espnet_ros.config.node_config import (
    SECTIONS,
    NodeConfig,
    check_type,
    check_value,
    coerce,
    default_of,
    names_where,
    option_names,
    rule_of,
    suggest_name,
)

__all__ = [
    "SECTIONS",
    "SIZE_MULTIPLE",
    "NodeConfig",
    "ParameterRule",
    "Rule",
    "Section",
    "check_type",
    "check_value",
    "coerce",
    "default_of",
    "names_where",
    "option_names",
    "rule_of",
    "split_list",
    "suggest_name",
]
