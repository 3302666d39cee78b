"""One promise about speed, what was reached, and the table of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Optional

ROOM = 2.0
"""A promise fails only where it is missed by this factor: other programs share the machine."""
NOT_RUN, KEPT, CLOSE, MISSED = "not run", "kept", "below, within the room", "MISSED"


@dataclass(frozen=True)
class Promise:
    """A ratio that the documents promise.

    Attributes:
        what: what was measured.
        asked: the promised ratio; at most this where ``is_limit``, else at least.
        reached: the measured ratio; None if it could not be measured.
        is_limit: smaller is better.
        reason: why it could not be measured.
    """

    what: str
    asked: float
    reached: Optional[float] = None
    is_limit: bool = False
    reason: str = ""

    @property
    def verdict(self) -> str:
        """How the measured ratio compares with the promised one."""
        if self.reached is None:
            return f"{NOT_RUN}: {self.reason}"
        share = self.asked / max(self.reached, 1e-9) if self.is_limit else self.reached / self.asked
        return KEPT if share >= 1 else CLOSE if share >= 1 / ROOM else MISSED

    @property
    def row(self) -> str:
        """A row of the table."""
        asked = f"{'at most' if self.is_limit else 'at least'} {self.asked:.3g}"
        reached = "-" if self.reached is None else f"{self.reached:.3g}"
        return f"| {self.what} | {asked} | {reached} | {self.verdict} |"


HEADER = "| what | asked | reached | verdict |\n|---|---:|---:|---|"


def has_missed(promises: Iterable[Promise]) -> bool:
    """Whether a promise is missed by more than the room."""
    return any(promise.verdict == MISSED for promise in promises)
