"""Errors of single images, with warnings limited in number."""

from __future__ import annotations

import time
from typing import Set

from espnet_ros.errors import ImageError, describe_error

_FAILURE_WARNING_PERIOD = 5.0  # s


class ImageErrors:
    """Keeps the last refusal and failure, and limits warnings about them.

    Attributes:
        last_refusal: why the last refused image could not be used.
        last_failure: why the engine failed on an image last time.
    """

    def __init__(self) -> None:
        self.last_refusal = self.last_failure = ""
        self._kinds_warned: Set[str] = set()
        self._failure_warned_at = float("-inf")

    def add(self, error: Exception) -> str:
        """Record an error.

        Returns:
            A warning to log: for refused images once per kind of error, for failures at most every 5 s; else "".
        """
        if isinstance(error, ImageError):
            self.last_refusal = str(error)
            if error.kind in self._kinds_warned:
                return ""
            self._kinds_warned.add(error.kind)
            return f"image refused: {error} (further ones of this kind are counted but not logged)"
        self.last_failure = describe_error(error)
        if time.monotonic() - self._failure_warned_at < _FAILURE_WARNING_PERIOD:
            return ""
        self._failure_warned_at = time.monotonic()
        return f"image failed: {self.last_failure}"
