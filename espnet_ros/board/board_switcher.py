"""Switches the board's power mode, and watches which one is set, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import Callable, NamedTuple, Optional, Tuple

from espnet_ros.board.jetson import Board, Switched, switch, switch_back
from espnet_ros.board.nvpmodel import Mode, ModeTable
from espnet_ros.errors import PowerError

WATCH_PERIOD = 5.0
"""Seconds between two readings of the mode. Each may start a program."""

_logger = logging.getLogger(__name__)


class SwitchResult(NamedTuple):
    """How a switch ended: what it did, or why nothing changed."""

    done: Optional[Switched]
    error: str = ""


class _Request(NamedTuple):
    """Something to do with the board.

    Attributes:
        carry_out: does it.
        is_switch: it goes to a mode that somebody asked for; else it takes something back.
        undoes: the switch that it takes back, where that is known already.
    """

    carry_out: Callable[[], Switched]
    is_switch: bool
    undoes: Optional[Switched] = None

    def leaves(self, done: Optional[Switched]) -> Optional[Switched]:
        """The switch that is on the board when this has ended so; None where there is none."""
        if done is None:
            return self.undoes
        return done if self.is_switch else None


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
        self._request: Optional[_Request] = None
        self._is_at_work = False
        self._is_closing = False
        self._result: Optional[SwitchResult] = None
        self._unreported: Optional[Switched] = None  # is on the board, but its result has not been taken
        self._superseded: Optional[Switched] = None  # is on the board, although nobody asks for it any more
        self._is_watched = True
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
    def is_running(self) -> bool:
        """Whether the switcher's thread is alive."""
        return self._thread.is_alive()

    @property
    def intrusion(self) -> str:
        """What the board is in instead of the mode it was last switched to; "" where it is in that."""
        mode, expected = self.mode, self._expected
        if not self._is_watched or self.is_switching or mode is None or expected is None or mode.id == expected.id:
            return ""
        return f"the board is in {mode}, although {expected} was set: something else has changed it"

    def request(self, mode: Mode, jetson_clocks: Optional[bool]) -> None:
        """Switch to a mode, instead of anything requested that has not begun."""
        self._put(_Request(lambda: switch(self.board, mode, jetson_clocks), is_switch=True))

    def request_undo(self, done: Switched) -> None:
        """Undo a switch; a mode that something else set meanwhile stays."""
        self._put(_Request(lambda: self._switch_back(done), is_switch=False, undoes=done))

    def withdraw(self) -> None:
        """Nobody wants a mode any more: what is under way is undone, and from now on any mode is right."""
        with self._news:
            if self.is_switching or self._unreported is not None:
                self._put(_Request(self._go_back, is_switch=False))
            self._is_watched = False

    def supersede(self, done: Switched) -> None:
        """A switch before the newest request is not wanted any more: undo it where that request is refused."""
        with self._news:
            result = self._result
            if result is None:
                self._superseded = done
            elif result.done is not None:
                since = _joined(done, result.done)
                self._result, self._unreported = SwitchResult(since), since
            else:
                self._put(_Request(lambda: self._refuse_after_undo(done, result.error), is_switch=False))

    def take_result(self) -> Optional[SwitchResult]:
        """How the newest request ended, once; None while it has not."""
        with self._news:
            result, self._result = self._result, None
            self._unreported = None
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

    def _put(self, request: _Request) -> None:
        with self._news:
            waiting = None if self._request is None else self._request.undoes
            self._superseded = self._superseded or self._unreported or waiting
            self._request, self._result, self._unreported = request, None, None
            self._is_watched = True
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
                self._tell()
            elif self.look():
                self._tell()
        self.board.close()

    def _tell(self) -> None:
        if not self._is_closing:
            self._changed()

    def _carry_out(self, request: _Request) -> None:
        done, error = self._attempt(request.carry_out)
        if done is None:
            if request.is_switch and self._request is None:
                error = self._explain_refusal(error)
            self.look()
        with self._news:
            self._is_at_work = False
            done = None if done is None else _joined(self._superseded, done)
            if self._request is None:
                self._result, self._unreported = SwitchResult(done, error), request.leaves(done)
                self._superseded = None
            else:
                self._superseded = self._superseded or request.leaves(done)

    def _attempt(self, action: Callable[[], Switched]) -> Tuple[Optional[Switched], str]:
        """What was done, or why it was not."""
        try:
            done = action()
        except PowerError as error:
            return None, str(error)
        except Exception as error:  # the thread's edge
            _logger.exception("power: the board's mode cannot be switched")
            return None, f"{type(error).__name__}: {error}"
        self._expected = self.mode = done.now
        self.trouble = ""
        return done, ""

    def _switch_back(self, done: Switched) -> Switched:
        switch_back(self.board, done)
        return Switched(done.now, self.board.current_mode())

    def _refuse_after_undo(self, done: Switched, error: str) -> Switched:
        self._switch_back(done)
        raise PowerError(error)

    def _go_back(self) -> Switched:
        """Undo what nobody asks for any more."""
        now = self.board.current_mode()
        superseded = self._superseded
        if superseded is None:
            return Switched(now, now)
        last = self._expected or superseded.now  # several may have followed each other
        return self._switch_back(Switched(superseded.before, last, superseded.clocks_before))

    def _explain_refusal(self, error: str) -> str:
        """Go back behind a mode that was only set on the way to the one that was refused."""
        superseded = self._superseded
        if superseded is None:
            return error
        done, further = self._attempt(self._go_back)
        if done is None:
            return f"{error}. Nor could {superseded.before} be set again: {further}"
        return f"{error}. The board was put into {done.now} again"


def _joined(first: Optional[Switched], then: Switched) -> Switched:
    """Two switches in a row as one."""
    if first is None:
        return then
    clocks_before = then.clocks_before if first.clocks_before is None else first.clocks_before
    return Switched(first.before, then.now, clocks_before)
