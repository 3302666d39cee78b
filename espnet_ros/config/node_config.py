"""All parameters of the node together, checked, and the rule of each by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Dict, Mapping, Tuple

from espnet_ros.config.costmap_parameters import CostmapParameters
from espnet_ros.config.engine_parameters import EngineParameters
from espnet_ros.config.image_parameters import ImageParameters
from espnet_ros.config.power_parameters import ALPHAS, PowerParameters
from espnet_ros.config.rules import Rule
from espnet_ros.errors import ParameterError


@dataclass(frozen=True)
class NodeConfig(PowerParameters, CostmapParameters, ImageParameters, EngineParameters):
    """The node's parameters, each checked against its rule. Dataclasses order fields from the last base on.

    Raises:
        ParameterError: a value breaks its rule.
    """

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            check_value(name, value)
        self.check_costmap()
        self.check_power()

    @property
    def ready_alphas(self) -> Tuple[int, ...]:
        """Alphas whose engines are kept ready: all where that is asked for, else those that the governor may choose."""
        if self.keep_alphas_ready:
            return ALPHAS
        return () if self.governor == "off" else self.allowed_alphas()

    def as_dict(self) -> Dict[str, Any]:
        """Parameter name to value, in the order of definition."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def changed(self, changes: Mapping[str, Any]) -> NodeConfig:
        """A copy with some values changed.

        Raises:
            ParameterError: a name is unknown or a value breaks its rule; the message says which.
        """
        for name in changes:
            rule_of(name)
        return replace(self, **changes)


def rule_of(name: str) -> Rule:
    """Rule of a parameter.

    Raises:
        ParameterError: there is no such parameter.
    """
    for entry in fields(NodeConfig):
        if entry.name == name:
            rule: Rule = entry.metadata["rule"]
            return rule
    raise ParameterError(f"there is no parameter '{name}'")


def default_of(name: str) -> Any:
    """Default value of a parameter; its type is the parameter's type."""
    rule_of(name)
    return next(entry.default for entry in fields(NodeConfig) if entry.name == name)


def check_value(name: str, value: Any) -> None:
    """Check one value against its parameter's type and rule.

    Raises:
        ParameterError: the message names the parameter, the rule and the value.
    """
    rule = rule_of(name)
    expected = type(default_of(name))
    if type(value) is not expected:
        raise ParameterError(f"{name} must be of type {expected.__name__}, is {value!r} ({type(value).__name__})")
    unit = f" {rule.unit}" if rule.unit else ""
    if rule.choices and value not in rule.choices:
        raise ParameterError(f"{name} must be one of {', '.join(map(str, rule.choices))}, is {value!r}")
    if expected is float and not math.isfinite(value):
        raise ParameterError(f"{name} must be a finite number, is {value!r}")
    if rule.minimum is not None and value < rule.minimum:
        raise ParameterError(f"{name} must be at least {rule.minimum}{unit}, is {value!r}")
    if rule.maximum is not None and value > rule.maximum:
        raise ParameterError(f"{name} must be at most {rule.maximum}{unit}, is {value!r}")
    if rule.multiple_of and value % rule.multiple_of:
        raise ParameterError(f"{name} must be a multiple of {rule.multiple_of}{unit}, is {value!r}")
