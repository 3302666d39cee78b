"""Ctrl-C and SIGTERM while training: the step that runs is finished and saved first."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any, Dict, Optional, Type


class Interruption:
    """Notes SIGINT and SIGTERM instead of acting on them, inside ``with``.

    A second signal acts at once, as it would have without this. Outside the main thread nothing is noted, as
    Python lets only that one handle signals.
    """

    def __init__(self) -> None:
        self._previous: Dict[int, Any] = {}
        self._noted: Optional[int] = None

    @property
    def is_asked_for(self) -> bool:
        """Whether a signal came."""
        return self._noted is not None

    def act(self) -> None:
        """Do now what the noted signal would have done when it came, which for SIGINT is KeyboardInterrupt."""
        self._restore()
        if self._noted is not None:
            signal.raise_signal(self._noted)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, _kind: Optional[Type[BaseException]], _error: Optional[BaseException], _trace: Optional[TracebackType]
    ) -> None:
        self._restore()

    def _note(self, number: int, _frame: Any) -> None:
        self._noted = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
