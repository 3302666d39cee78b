"""Switches the board's power mode, and watches which one is set, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import Callable, NamedTuple, Optional

from espnet_ros.errors import PowerError
from espnet_ros.power.jetson import Board, Switched, switch, switch_back
from espnet_ros.power.nvpmodel import Mode, ModeTable

WATCH_PERIOD = 5.0
"""Seconds between two readings of the mode. Each may start a program."""

_logger = logging.getLogger(__name__)


class SwitchResult(NamedTuple):
    """How a switch ended: what it did, or why nothing changed."""

    done: Optional[Switched]
    error: str = ""


class BoardSwitcher:
    """Carries out the newest request; a switch takes up to a minute, which nobody waits for.

    Args:
        board: the board. It is used by one thread at a time.
        changed: told, in the switcher's thread, that there is a result, or that the board is in another mode.
        watch_period: seconds between two readings of the mode.
    """

    def __init__(self, board: Board, changed: Callable[[], None], watch_period: float = WATCH_PERIOD) -> None:
        self.board = board
        self.table = ModeTable()
        """The board's modes; empty where they are not known, ``trouble`` then says why."""
        self.trouble = ""
        """Why the board could not be asked the last time; "" when it could."""
        self.mode: Optional[Mode] = None
        """What was read back last."""
        self._expected: Optional[Mode] = None
        self._changed = changed
        self._watch_period = watch_period
        self._news = threading.Condition()
        self._request: Optional[Callable[[], Switched]] = None
        self._is_at_work = False
        self._is_closing = False
        self._result: Optional[SwitchResult] = None
        self._superseded: Optional[Switched] = None
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)

    def look(self) -> bool:
        """Ask the board here and now; what cannot be read is said in ``trouble``. Before `start` only.

        Returns:
            Whether there is news.
        """
        before = self.mode, self.trouble
        try:
            if not self.table.modes:
                self.table = self.board.list_modes()
            self.mode = self.board.current_mode()
            self.trouble = ""
        except PowerError as error:
            self.trouble = str(error)
        except Exception as error:  # the thread's edge
            self.trouble = f"{type(error).__name__}: {error}"
        return (self.mode, self.trouble) != before

    def switch_now(self, mode: Mode, jetson_clocks: Optional[bool]) -> Switched:
        """Switch here and now. Before `start` only.

        Raises:
            PowerError: the board refused; it is in the mode it was in.
        """
        done = switch(self.board, mode, jetson_clocks)
        self._expected = self.mode = done.now
        return done

    def start(self) -> None:
        """Begin to watch the board."""
        if self.board.applies:
            self._thread.start()

    @property
    def is_switching(self) -> bool:
        """Whether a request waits or is being carried out."""
        return self._request is not None or self._is_at_work

    @property
    def intrusion(self) -> str:
        """What the board is in instead of the mode it was last switched to; "" where it is in that."""
        mode, expected = self.mode, self._expected
        if mode is None or expected is None or mode.id == expected.id or self.is_switching:
            return ""
        return f"the board is in {mode}, although {expected} was set: something else has changed it"

    def request(self, mode: Mode, jetson_clocks: Optional[bool]) -> None:
        """Switch to a mode, instead of anything requested that has not begun."""
        self._put(lambda: switch(self.board, mode, jetson_clocks))

    def request_undo(self, done: Switched) -> None:
        """Undo a switch; a mode that something else set meanwhile stays."""

        def undo() -> Switched:
            switch_back(self.board, done)
            return Switched(done.now, self.board.current_mode())

        self._put(undo)

    def take_result(self) -> Optional[SwitchResult]:
        """How the newest request ended, once; None while it has not."""
        with self._news:
            result, self._result = self._result, None
            return result

    def close(self, timeout: float) -> None:
        """End the watch. A switch under way is left to end by itself after ``timeout`` seconds."""
        with self._news:
            self._is_closing = True
            self._request = None
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        elif self.board.applies:
            self.board.close()

    def _put(self, request: Callable[[], Switched]) -> None:
        with self._news:
            self._request = request
            self._result = None
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                if self._request is None and not self._is_closing:
                    self._news.wait(self._watch_period)
                if self._is_closing:
                    break
                request, self._request = self._request, None
                self._is_at_work = request is not None
            if request is not None:
                self._carry_out(request)
            elif self.look():
                self._changed()
        self.board.close()

    def _carry_out(self, request: Callable[[], Switched]) -> None:
        try:
            done = request()
            result = SwitchResult(done)
            self._expected = self.mode = done.now
        except PowerError as error:
            result = SwitchResult(None, self._undo_superseded(str(error)))
        except Exception as error:  # the thread's edge
            _logger.exception("power: the board's mode cannot be switched")
            result = SwitchResult(None, self._undo_superseded(f"{type(error).__name__}: {error}"))
        if result.done is None:
            self.look()
        with self._news:
            self._is_at_work = False
            is_newest = self._request is None
            if is_newest:
                self._result = result
        if is_newest:
            self._superseded = None
        elif result.done is not None and self._superseded is None:
            self._superseded = result.done  # nobody asks for this mode any more; the newer request may be refused
        self._changed()

    def _undo_superseded(self, error: str) -> str:
        """Go back behind a mode that was only set on the way to the one that was refused."""
        done, self._superseded = self._superseded, None
        if done is None:
            return error
        try:
            self.mode = self.board.current_mode()
            switch_back(self.board, Switched(done.before, self.mode, done.clocks_before))
            self._expected = self.mode = done.before
        except PowerError as further:
            return f"{error} {done.before} could not be set again: {further}"
        return f"{error} {done.before} was set again."
