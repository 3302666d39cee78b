"""What the declaration of a parameter holds."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, List, Optional, Tuple

SIZE_MULTIPLE = 8
"""The network halves its input three times, so input heights and widths are multiples of this."""


@dataclass(frozen=True)
class Rule:
    """The meaning of a setting and the values it accepts.

    Attributes:
        description: one or a few sentences for users.
        unit: SI unit, or "" if it has none.
        minimum, maximum: inclusive bounds of a number; None if unbounded.
        choices: the accepted values; empty accepts any.
        multiple_of: the value must be a multiple of this (0 always passes); 0 accepts any.
    """

    description: str
    unit: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Tuple[Any, ...] = ()
    multiple_of: int = 0

    @property
    def constraint(self) -> str:
        """The accepted values in words, apart from the bounds; "" if there is no such constraint."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        return f"a multiple of {self.multiple_of}" if self.multiple_of else ""


@dataclass(frozen=True)
class ParameterRule(Rule):
    """A node parameter: its rule, what happens when it changes, and where else it can be set.

    Attributes:
        live: can be changed while the node is active.
        changes_engine: a new value needs another engine.
        changes_costmap: a new value starts a new, empty costmap.
        is_launch_argument: is an argument of `espnet.launch.py`.
        option: which commands offer it as an option: "engine" for all that run an engine, "build" for
            `espnet_ros engine build` only, "" for none.
        in_profile: power profiles may set it. `PowerProfile` has a field of the same name.
        is_plain_text: a string that YAML reads as a number, a boolean or a list unless it is quoted.
        is_basic: one of the few that most users set; listed in the README.
    """

    live: bool = False
    changes_engine: bool = False
    changes_costmap: bool = False
    is_launch_argument: bool = False
    option: str = ""
    in_profile: bool = False
    is_plain_text: bool = False
    is_basic: bool = False


@dataclass(frozen=True)
class Section:
    """A group of parameters that belong together.

    Attributes:
        title: heading in the documentation.
        summary: one or two sentences for users.
        group: dataclass that declares the parameters.
        guide: page of the documentation that explains more, such as ``docs/power.md``; "" if there is none.
    """

    title: str
    summary: str
    group: Any
    guide: str = ""

    @property
    def names(self) -> Tuple[str, ...]:
        """Names of the parameters, in the order of their declaration."""
        return tuple(entry.name for entry in fields(self.group))


def parameter(default: Any, description: str, **rule: Any) -> Any:
    """Declare a parameter as a dataclass field.

    Args:
        default: default value; its type is the parameter's type.
        description: see `Rule`.
        **rule: the other attributes of `ParameterRule`.
    """
    return field(default=default, metadata={"rule": ParameterRule(description, **rule)})


def split_list(text: str) -> List[str]:
    """Split a comma-separated list into its entries, without surrounding spaces and empty entries."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]
