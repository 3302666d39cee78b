"""A request to stop that reaches all threads: long work asks for it, and ends.

Python handles signals in the main thread only, and an exception there does not end the builds of other threads. The
node's signal handlers therefore only note the request here.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, Callable, List

POLL_PERIOD = 0.1
"""Seconds between two looks at the request by whoever waits."""
EXIT_INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a program that Ctrl-C has ended, as in a shell."""

_is_requested = False


class Stopped(BaseException):
    """The process is to end. It is no ``Exception``: nobody takes it for a failure that another attempt may mend."""


def request_stop() -> None:
    """Ask all long work in this process to end. It takes no lock, so a signal handler may call it."""
    global _is_requested
    _is_requested = True


def withdraw_stop() -> None:
    """Forget the request, in a process that goes on after all, such as a test run."""
    global _is_requested
    _is_requested = False


def is_stop_requested() -> bool:
    """Return whether this process is to end."""
    return _is_requested


def check_stop() -> None:
    """Raise ``Stopped`` if this process is to end. Whatever waits calls it every ``POLL_PERIOD``."""
    if _is_requested:
        raise Stopped("stopped by a signal")


def run_until_stopped(work: Callable[[], None]) -> None:
    """Run work in a thread of its own, so that a stop is heeded at once even if the work waits for something.

    Raises:
        Stopped: a stop was requested. The work, which cannot be interrupted everywhere, may go on for a while.
        BaseException: what the work raises.
    """
    errors: List[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised again in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, name="stoppable work", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_PERIOD)
        check_stop()
    if errors:
        raise errors[0]


def exit_on_interrupt() -> None:
    """End the process at Ctrl-C, silently and with 130, until ``raise_on_interrupt`` or a handler of the program.

    For the first second of a program, in which it imports: a ``KeyboardInterrupt`` there would print a traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not if it is ignored, as in the background
        signal.signal(signal.SIGINT, _exit)


def raise_on_interrupt() -> None:
    """Undo ``exit_on_interrupt``: from now on, Ctrl-C raises ``KeyboardInterrupt``."""
    if signal.getsignal(signal.SIGINT) is _exit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def exit_at_once(code: int) -> None:
    """End the process without taking the interpreter down, for programs: a thread may still be inside a library."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _exit(_signal: int, _frame: Any) -> None:
    exit_at_once(EXIT_INTERRUPTED)
