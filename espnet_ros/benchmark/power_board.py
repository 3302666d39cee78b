"""The board during a sweep: sets one mode after the other, and always restores the mode it started in."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Dict, Iterator, Optional, Set, Type

from espnet_ros.board.jetson import Board, switch
from espnet_ros.board.nvpmodel import Mode
from espnet_ros.errors import PowerError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Sent by Ctrl-C, by a service manager, and when a remote terminal closes."""


class Interruptions:
    """Lets a signal end the sweep once, but never during a switch or while the board's mode is restored.

    An abandoned nvpmodel would continue and set its mode last.
    """

    def __init__(self) -> None:
        self._previous: Dict[int, Any] = {}
        self._is_held = False
        self._is_over = False
        self._waiting: Optional[int] = None

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # nohup ignores SIGHUP on purpose
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay signals until the end of the block. They take precedence over an error of the block."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            number, self._waiting = self._waiting, None
            if number is not None:
                self._on_signal(number, None)

    def ignore_from_now_on(self) -> None:
        """Ignore further signals, because the sweep is over and the board must be restored."""
        self._is_over = True

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._is_over:
            return
        if self._is_held:
            self._waiting = number
            return
        self._is_over = True
        handler = self._previous.get(number)
        if callable(handler):
            handler(number, frame)
        raise KeyboardInterrupt


class BoardKeeper:
    """Enters modes inside a ``with`` block and restores the initial mode at its end.

    jetson_clocks keep their initial state in every mode. If that state cannot be read, they are left alone.

    Args:
        board: a board with modes, or ``NoBoard``, which is never queried.
        interruptions: already entered.

    Attributes:
        found: the initial mode; None without modes.

    Raises:
        PowerError: the board cannot be queried.
    """

    def __init__(self, board: Board, interruptions: Interruptions) -> None:
        self._board = board
        self._interruptions = interruptions
        self.found: Optional[Mode] = board.current_mode() if board.applies else None
        self._clocks = board.jetson_clocks()
        self._entered: Set[int] = set()

    def __enter__(self) -> BoardKeeper:
        return self

    def __exit__(
        self, _kind: Optional[Type[BaseException]], error: Optional[BaseException], _trace: Optional[TracebackType]
    ) -> None:
        """Restore the initial mode.

        Raises:
            PowerError: this failed; the message has the mode of the board, and what ended the sweep.
        """
        self._interruptions.ignore_from_now_on()
        if self.found is None or not self._entered:
            return
        try:
            self._restore(self.found)
        except PowerError as failure:
            ended = f" (the sweep had ended with: {error or type(error).__name__})" if error is not None else ""
            raise PowerError(
                f"THE BOARD IS NOT BACK in its initial mode {self.found}: {failure}. {self._describe_current()}; "
                f"restore it with: sudo nvpmodel -m {self.found.id}{ended}"
            ) from error

    def enter(self, mode: Mode) -> None:
        """Set a mode and wait until the board reports it.

        Raises:
            PowerError: the board refused; the message has the reason.
        """
        with self._interruptions.held():
            self._entered.add(mode.id)
            switch(self._board, mode, self._clocks)

    def require(self, mode: Mode) -> None:
        """Check that the board is still in the mode that was entered.

        Raises:
            PowerError: something else set another mode.
        """
        now = self._board.current_mode()
        if now.id != mode.id:
            raise PowerError(
                f"the sweep was measuring {mode}, but the board is in {now}: something else sets modes, too"
            )

    def _restore(self, found: Mode) -> None:
        now = self._board.current_mode()
        if now.id != found.id and now.id not in self._entered:
            raise PowerError(f"something else set {now} meanwhile, so it stays")
        switch(self._board, found, self._clocks)

    def _describe_current(self) -> str:
        try:
            return f"The board is in {self._board.current_mode()}"
        except PowerError as error:
            return f"The mode of the board cannot be read ({error})"
