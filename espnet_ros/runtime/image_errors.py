"""What went wrong with images, said once and not thirty times a second."""

from __future__ import annotations

import time
from typing import Set

from espnet_ros.errors import ImageError, describe_error

_FAILURES_WARNED_EVERY = 5.0  # s


class ImageErrors:
    """The newest refusal and failure, and which of them a user has been told of.

    Attributes:
        last_refusal: why the newest refused image could not be used.
        last_failure: why the engine failed on an image.
    """

    def __init__(self) -> None:
        self.last_refusal = self.last_failure = ""
        self._kinds_warned: Set[str] = set()
        self._failure_warned_at = float("-inf")

    def note(self, error: Exception) -> str:
        """Take an error; returns what to warn of, or "" where that has been said already.

        A refusal is worth a warning once for each kind, a failure every few seconds.
        """
        if isinstance(error, ImageError):
            self.last_refusal = str(error)
            if error.kind in self._kinds_warned:
                return ""
            self._kinds_warned.add(error.kind)
            return f"image refused: {error} (further ones of this kind are only counted)"
        self.last_failure = describe_error(error)
        if time.monotonic() - self._failure_warned_at < _FAILURES_WARNED_EVERY:
            return ""
        self._failure_warned_at = time.monotonic()
        return f"image failed: {self.last_failure}"
