"""One promise about speed, what was reached, and the table of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, Optional

ROOM = 2.0
"""A promise fails only where it is missed by this factor: other programs share the machine."""
SHARE_ROOM = 1.25
"""The factor for shares of images: even a busy machine does not lose half of them."""
NOT_RUN, KEPT, CLOSE, MISSED = "not run", "kept", "missed, within the tolerance", "MISSED"


@dataclass(frozen=True)
class Promise:
    """A ratio that the documents promise.

    Attributes:
        what: what was measured.
        asked: the promised ratio; at most this where ``is_limit``, else at least.
        reached: the measured ratio; None if it could not be measured.
        is_limit: smaller is better.
        reason: why it could not be measured.
        has_failed: the measurement failed, which counts as missed.
        room: the promise fails only where it is missed by this factor.
    """

    what: str
    asked: float
    reached: Optional[float] = None
    is_limit: bool = False
    reason: str = ""
    has_failed: bool = False
    room: float = ROOM

    @property
    def verdict(self) -> str:
        """How the measured ratio compares with the promised one."""
        if self.has_failed:
            return f"{MISSED}: {self.reason}"
        if self.reached is None:
            return f"{NOT_RUN}: {self.reason}"
        share = self.asked / max(self.reached, 1e-9) if self.is_limit else self.reached / self.asked
        return KEPT if share >= 1 else CLOSE if share >= 1 / self.room else MISSED

    @property
    def row(self) -> str:
        """A row of the table."""
        asked = f"{'at most' if self.is_limit else 'at least'} {self.asked:.3g}"
        reached = "-" if self.reached is None else f"{self.reached:.3g}"
        return f"| {self.what} | {asked} | {reached} | {self.verdict} |"


HEADER = "| what | asked | reached | verdict |\n|---|---:|---:|---|"


def has_missed(promises: Iterable[Promise]) -> bool:
    """Whether a promise is missed by more than the tolerance, or its measurement failed."""
    return any(promise.verdict.startswith(MISSED) for promise in promises)


def failures_as_promises(
    measured: Iterable[Promise], what: str = "the rest of these measurements"
) -> Iterator[Promise]:
    """Yield promises; an error in measuring one is a missed promise, which does not stop the measurements after it.

    Args:
        measured: yields promises, and may raise.
        what: is measured, for the row of an error.
    """
    try:
        yield from measured
    except Exception as error:  # whatever it is, what comes after it is measured
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        yield Promise(what, 1.0, reason=reason, has_failed=True)
