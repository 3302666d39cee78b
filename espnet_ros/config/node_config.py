"""All parameters of the node together, checked, and the rule of each by name."""

from __future__ import annotations

import math
from array import array
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


READ_AS_TEXT = ("governor", "power_mode", "governor_alphas", "governor_sizes", "governor_rates", "governor_modes")
"""Texts that YAML takes for something else unless they are quoted twice."""

_FIELDS = {entry.name: entry for entry in fields(NodeConfig)}


def rule_of(name: str) -> Rule:
    """Rule of a parameter.

    Raises:
        ParameterError: there is no such parameter.
    """
    if name not in _FIELDS:
        raise ParameterError(f"there is no parameter '{name}'")
    rule: Rule = _FIELDS[name].metadata["rule"]
    return rule


def default_of(name: str) -> Any:
    """Default value of a parameter; its type is the parameter's type."""
    rule_of(name)
    return _FIELDS[name].default


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


def as_meant(name: str, value: Any) -> Any:
    """A parameter's value as its author meant it, given as YAML reads it.

    Whole numbers become floats where the parameter is one. A number, a list of numbers or a truth value becomes a text
    where the parameter is a name or a list that is written as one.
    """
    if isinstance(default_of(name), float) and type(value) is int:
        return float(value)
    if name in READ_AS_TEXT and not isinstance(value, str):
        if value is False:  # "off" without quotes
            return "off"
        return ", ".join(map(str, value)) if isinstance(value, (list, tuple, array)) else str(value)
    return value
