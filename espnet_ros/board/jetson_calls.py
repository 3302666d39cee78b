"""Calls into a library that may hang, each for a limited time."""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable, Optional, Tuple, TypeVar

from espnet_ros.errors import PowerError

T = TypeVar("T")


class LimitedCalls:
    """Runs one call at a time in a thread of its own and waits for it only so long.

    A call that hangs cannot be stopped. Its thread is left behind, and until it ends every further call is refused at
    once, so threads cannot pile up.

    Args:
        service: what is called, for messages.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._left_behind: Optional[threading.Thread] = None

    def run(self, function: Callable[[], T], timeout: float, doing: str) -> T:
        """Call ``function``; whatever it raises is raised here.

        Raises:
            PowerError: it did not end in ``timeout`` seconds, or an earlier one still has not.
        """
        with self._lock:
            if self._left_behind is not None and self._left_behind.is_alive():
                raise PowerError(f"cannot {doing}: {self._service} still has not answered an earlier call")
            self._left_behind = None
            answers: queue.Queue[Tuple[Any, Optional[BaseException]]] = queue.Queue()
            thread = threading.Thread(target=_answer, args=(function, answers), name="espnet_board", daemon=True)
            thread.start()
            try:
                value, failure = answers.get(timeout=timeout)
            except queue.Empty:
                self._left_behind = thread
                raise PowerError(f"cannot {doing}: {self._service} did not answer within {timeout:g} s") from None
        if failure is not None:
            raise failure
        result: T = value
        return result


def _answer(function: Callable[[], T], answers: queue.Queue[Tuple[Optional[T], Optional[BaseException]]]) -> None:
    try:
        answers.put((function(), None))
    except Exception as error:  # a thread's edge: the one who waits gets it
        answers.put((None, error))
