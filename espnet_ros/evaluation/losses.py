"""What of a recording could not be read: where, why and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

_MAX_LISTED = 20


@dataclass(frozen=True)
class Loss:
    """A part of a recording that could not be read.

    Attributes:
        where: file and byte, row or message where the part begins.
        reason: what is wrong there.
        bytes: bytes of the file that were not read; None if unknown.
        messages: messages that were not read, of all topics; None if unknown.
        seconds: time that they span; None if unknown.
    """

    where: str
    reason: str
    bytes: Optional[int] = None
    messages: Optional[int] = None
    seconds: Optional[float] = None

    def __str__(self) -> str:
        amounts = []
        if self.bytes is not None:
            amounts.append(f"{self.bytes} bytes")
        if self.messages is not None:
            amounts.append(f"{self.messages} message{'' if self.messages == 1 else 's'}")
        if self.seconds is not None:
            amounts.append(f"{self.seconds:.3f} s")
        return printable(f"{self.where}: {self.reason}") + f"; lost: {', '.join(amounts) or 'unknown'}"

    def as_dict(self) -> Dict[str, Any]:
        """Return the attributes by name, ready for JSON."""
        return dict(self.__dict__)


class Losses:
    """The losses of one pass over a recording. Lists the first 20 and adds up the rest, so that it stays small."""

    def __init__(self) -> None:
        self._listed: List[Loss] = []
        self._others = 0
        self._other_messages = 0

    def __bool__(self) -> bool:
        return bool(self._listed)

    def __iter__(self) -> Iterator[Loss]:
        yield from self._listed
        if self._others:
            reason = f"{self._others} more places cannot be read"
            yield Loss("elsewhere", reason, messages=self._other_messages or None)

    def add(self, loss: Loss) -> None:
        """Record a loss."""
        if len(self._listed) < _MAX_LISTED:
            self._listed.append(loss)
        else:
            self._others += 1
            self._other_messages += loss.messages or 0


def losses_of(source: Any) -> Tuple[Loss, ...]:
    """Return what of a source of frames could not be read so far. Only bags can be read in part."""
    return tuple(getattr(source, "losses", ()))


def printable(text: str) -> str:
    """Return text that comes from a file with its control characters escaped, for messages."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
