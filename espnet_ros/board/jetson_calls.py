"""Calls with a time limit into a library that may hang."""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable, Optional, Tuple, TypeVar

from espnet_ros.errors import PowerError

T = TypeVar("T")


class LimitedCalls:
    """Runs one call at a time in a thread of its own, with a time limit.

    A call that hangs cannot be stopped. Its thread is abandoned, and until it ends all further calls are refused, so
    that threads cannot accumulate.

    Args:
        service: name of what is called, for messages.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._abandoned: Optional[threading.Thread] = None

    def run(self, function: Callable[[], T], timeout: float, doing: str) -> T:
        """Return the result of ``function``, or raise what it raises.

        Args:
            function: the call.
            timeout: time limit in seconds.
            doing: what the call does, for messages.

        Raises:
            PowerError: the call took too long, or an earlier call has not ended yet.
        """
        with self._lock:
            if self._abandoned is not None and self._abandoned.is_alive():
                raise PowerError(f"cannot {doing}: {self._service} still has not answered an earlier call")
            self._abandoned = None
            answers: queue.Queue[Tuple[Any, Optional[BaseException]]] = queue.Queue()
            thread = threading.Thread(target=_answer, args=(function, answers), name="espnet_board", daemon=True)
            thread.start()
            try:
                value, failure = answers.get(timeout=timeout)
            except queue.Empty:
                self._abandoned = thread
                raise PowerError(f"cannot {doing}: {self._service} did not answer within {timeout:g} s") from None
        if failure is not None:
            raise failure
        result: T = value
        return result


def _answer(function: Callable[[], T], answers: queue.Queue[Tuple[Optional[T], Optional[BaseException]]]) -> None:
    try:
        answers.put((function(), None))
    except Exception as error:  # raised in the waiting thread
        answers.put((None, error))
