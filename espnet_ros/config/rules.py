"""What a parameter of the node means and which values it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Tuple

SIZE_MULTIPLE = 8
"""The network halves its input three times, so its height and width are multiples of this."""


@dataclass(frozen=True)
class Rule:
    """What a parameter means and which values it takes.

    Attributes:
        description: what it does, one sentence.
        unit: SI unit or "" where there is none.
        minimum, maximum: inclusive bounds of a number; None for none.
        choices: the only values it takes; empty for any.
        multiple_of: a whole number that divides it (0 always passes); 0 for none.
        live: it may change while the node is active.
    """

    description: str
    unit: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Tuple[Any, ...] = ()
    multiple_of: int = 0
    live: bool = False


def parameter(default: Any, description: str, **rule: Any) -> Any:
    """A dataclass field that is a parameter of the node, with its default and the arguments of its `Rule`."""
    return field(default=default, metadata={"rule": Rule(description, **rule)})
