"""Handle Ctrl-C and SIGTERM during training: finish and save the current step first."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any, Dict, Optional, Type


class Interruption:
    """Defers SIGINT and SIGTERM inside a ``with`` block.

    A second signal takes effect immediately. Outside the main thread signals are not deferred, because Python handles
    signals only there.
    """

    def __init__(self) -> None:
        self._previous: Dict[int, Any] = {}
        self._deferred: Optional[int] = None

    @property
    def is_requested(self) -> bool:
        """Whether a signal has arrived."""
        return self._deferred is not None

    def act(self) -> None:
        """Let the deferred signal take effect; SIGINT raises KeyboardInterrupt."""
        self._restore()
        if self._deferred is not None:
            signal.raise_signal(self._deferred)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._defer)
        return self

    def __exit__(
        self, _kind: Optional[Type[BaseException]], _error: Optional[BaseException], _trace: Optional[TracebackType]
    ) -> None:
        self._restore()

    def _defer(self, number: int, _frame: Any) -> None:
        self._deferred = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
