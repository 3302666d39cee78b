"""The board during a sweep: one mode after the other, and in the end the one it was found in, whatever happens."""

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
"""Ctrl-C, a service that is stopped, a remote terminal that is gone."""


class Interruptions:
    """Signals that end the sweep do so once, and never in the middle of a switch or while the board is set back.

    An nvpmodel that is left behind half-way would go on, and set its mode after everything else.
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
                if handler not in (signal.SIG_IGN, None):  # nohup ignores SIGHUP, and means it
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A signal that comes inside takes effect at the end, before an error of the block does."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            number, self._waiting = self._waiting, None
            if number is not None:
                self._on_signal(number, None)

    def ignore_from_now_on(self) -> None:
        """The sweep is over, what is left to do is short and must be done."""
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
    """Enters modes inside a ``with`` block and sets the board back at its end.

    jetson_clocks stay in every mode as they were found. Where their state cannot be read they are left alone.

    Args:
        board: one whose modes apply, or ``NoBoard``, of which nothing is ever asked.
        interruptions: already watched.

    Attributes:
        found: the mode that was set before; None where modes do not apply.

    Raises:
        PowerError: the board cannot be asked.
    """

    def __init__(self, board: Board, interruptions: Interruptions) -> None:
        self._board = board
        self._interruptions = interruptions
        self.found: Optional[Mode] = board.current_mode() if board.applies else None
        self._clocks = board.jetson_clocks()
        self._asked: Set[int] = set()

    def __enter__(self) -> BoardKeeper:
        return self

    def __exit__(
        self, _kind: Optional[Type[BaseException]], error: Optional[BaseException], _trace: Optional[TracebackType]
    ) -> None:
        """Set the board back.

        Raises:
            PowerError: it cannot be; the message says what it was left in, and what ended the sweep.
        """
        self._interruptions.ignore_from_now_on()
        if self.found is None or not self._asked:
            return
        try:
            self._set_back(self.found)
        except PowerError as failure:
            ended = f" (the sweep had ended with: {error or type(error).__name__})" if error is not None else ""
            raise PowerError(
                f"THE BOARD IS NOT BACK in {self.found}, in which it was found: {failure}. {self._say_present()}; set "
                f"it with: sudo nvpmodel -m {self.found.id}{ended}"
            ) from error

    def enter(self, mode: Mode) -> None:
        """Set a mode and wait until it reads back.

        Raises:
            PowerError: the board refused; the message has its reason.
        """
        with self._interruptions.held():
            self._asked.add(mode.id)
            switch(self._board, mode, self._clocks)

    def require(self, mode: Mode) -> None:
        """Refuse to go on in another mode than the one that was entered.

        Raises:
            PowerError: something else set one.
        """
        now = self._board.current_mode()
        if now.id != mode.id:
            raise PowerError(f"{mode} was being measured, but the board is in {now}: something else sets modes too")

    def _set_back(self, found: Mode) -> None:
        now = self._board.current_mode()
        if now.id != found.id and now.id not in self._asked:
            raise PowerError(f"something else set {now} meanwhile, which stays")
        switch(self._board, found, self._clocks)

    def _say_present(self) -> str:
        try:
            return f"It was left in {self._board.current_mode()}"
        except PowerError as error:
            return f"Which mode it was left in cannot be read ({error})"
