"""All parameters of the node together, and access to their declarations by name."""

from __future__ import annotations

import math
import reprlib
from array import array
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Callable, Dict, Mapping, Tuple

from espnet_ros.config import costmap, diagnostics, engine, governor, images, pose, power
from espnet_ros.config.declaration import ParameterRule
from espnet_ros.errors import ParameterError

SECTIONS = (
    engine.SECTION,
    images.SECTION,
    diagnostics.SECTION,
    pose.SECTION,
    costmap.SECTION,
    power.SECTION,
    governor.SECTION,
)
"""Every section, in the order of the documentation."""


@dataclass(frozen=True)
class NodeConfig(
    # A dataclass takes the fields of its last base first: this is the order of SECTIONS from the end.
    governor.GovernorParameters,
    power.PowerParameters,
    costmap.CostmapParameters,
    pose.PoseParameters,
    diagnostics.DiagnosticsParameters,
    images.ImageParameters,
    engine.EngineParameters,
):
    """The values of all parameters, each checked against its rule.

    Raises:
        ParameterError: a value breaks its rule.
    """

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            check_value(name, value)
        self.clean_frames()
        self.check_costmap()
        self.check_governor()

    @property
    def ready_alphas(self) -> Tuple[int, ...]:
        """Values of alpha whose engines are kept ready: all with `keep_alphas_ready`, else the governor's choices."""
        if self.keep_alphas_ready:
            return engine.ALPHAS
        return () if self.governor == "off" else self.allowed_alphas()

    @property
    def longest_costmap_gap(self) -> float:
        """Seconds without an update after which costmaps are stale: `costmap_timeout`, or two images at `max_rate`."""
        return max(self.costmap_timeout, 2.0 / self.max_rate if self.max_rate > 0 else 0.0)

    def as_dict(self) -> Dict[str, Any]:
        """Return the values by name, in the order of declaration."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def changed(self, changes: Mapping[str, Any]) -> NodeConfig:
        """Return a copy with some values changed.

        Raises:
            ParameterError: a name is unknown or a value breaks its rule.
        """
        for name in changes:
            rule_of(name)
        return replace(self, **changes)


_FIELDS = {entry.name: entry for entry in fields(NodeConfig)}


def rule_of(name: str) -> ParameterRule:
    """Return the declaration of a parameter.

    Raises:
        ParameterError: there is no such parameter.
    """
    if name not in _FIELDS:
        raise ParameterError(f"there is no parameter '{name}'{suggest_name(name)}")
    rule: ParameterRule = _FIELDS[name].metadata["rule"]
    return rule


def suggest_name(name: str) -> str:
    """Return the question that ends an error about an unknown name: whether the most similar one is meant, or ""."""
    similar = get_close_matches(name.rpartition(".")[2].lower(), _FIELDS, n=1)
    return f"; did you mean '{similar[0]}'?" if similar else ""


def default_of(name: str) -> Any:
    """Return the default value of a parameter; its type is the parameter's type.

    Raises:
        ParameterError: there is no such parameter.
    """
    rule_of(name)
    return _FIELDS[name].default


def names_where(accepts: Callable[[ParameterRule], bool]) -> Tuple[str, ...]:
    """Return the names of the parameters whose declaration ``accepts``, in the order of declaration."""
    return tuple(name for name in _FIELDS if accepts(rule_of(name)))


def option_names(*options: str) -> Tuple[str, ...]:
    """Return the names of the parameters that commands offer as options; see `ParameterRule.option`."""
    return names_where(lambda rule: rule.option in options)


def check_type(name: str, value: Any) -> None:
    """Check that a value has its parameter's type.

    Raises:
        ParameterError: there is no such parameter, or the value has another type.
    """
    expected = type(default_of(name))
    if value is None:
        raise ParameterError(f"{name} must be of type {expected.__name__}, has no value")
    if type(value) is not expected:
        found = f"{reprlib.repr(value)} ({type(value).__name__})"
        raise ParameterError(f"{name} must be of type {expected.__name__}, is {found}")


def check_value(name: str, value: Any) -> None:
    """Check one value against its parameter's type and rule.

    Raises:
        ParameterError: there is no such parameter, or the value breaks the rule.
    """
    rule = rule_of(name)
    expected = type(default_of(name))
    check_type(name, value)
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


def coerce(name: str, value: Any) -> Any:
    """Convert a value that YAML reads as another type than its author meant.

    Integers become floats if the parameter is a float, and so do texts such as "1e-3", which only YAML 1.2 takes for a
    number. Numbers, booleans and lists become strings if the parameter `is_plain_text`. Everything else is returned
    unchanged.
    """
    if isinstance(default_of(name), float) and type(value) in (int, str):
        with suppress(ValueError, OverflowError):
            number = float(value)
            if type(value) is int or 1e-300 < abs(number) < 1e300:
                return number
    rule = rule_of(name)
    if rule.is_plain_text and value is not None and not isinstance(value, str):
        if isinstance(value, bool) and str(value).lower() in rule.choices:  # "true" without quotes
            return str(value).lower()
        if value is False:  # "off" without quotes
            return "off"
        return ", ".join(map(str, value)) if isinstance(value, (list, tuple, array)) else str(value)
    return value
