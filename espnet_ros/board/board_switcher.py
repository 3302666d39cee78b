"""A thread that switches the board's power mode and polls the current one, so that no image waits for the board."""

from __future__ import annotations

import logging
import threading
from typing import Callable, NamedTuple, Optional

from espnet_ros.board.jetson import Board, CompletedSwitch, switch, switch_back
from espnet_ros.board.nvpmodel import Mode, ModeTable
from espnet_ros.errors import PowerError, describe_error

WATCH_PERIOD = 5.0
"""Seconds between two polls of the current mode. Each poll may start a program."""

_logger = logging.getLogger(__name__)


class SwitchResult(NamedTuple):
    """Outcome of a switch or an undo: either ``completed`` or ``error`` is set."""

    completed: Optional[CompletedSwitch]
    error: str = ""


class BoardSwitcher:
    """Runs one board operation at a time in its own thread. A switch can take up to a minute.

    After `start`, the owner calls `switch` or `undo`, waits for ``changed`` and fetches the outcome with `take_result`
    before it starts the next operation.

    Args:
        board: the board; only one thread uses it at a time.
        changed: called in the switcher's thread when a result is available or the polled state changed.
        watch_period: seconds between two polls of the current mode; None for WATCH_PERIOD.

    Attributes:
        table: the board's modes; empty while they are unknown, ``problem`` then gives the reason.
        mode: the mode that was read last; None if none was read yet.
        problem: why the board could not be read last time; "" if it could.
    """

    def __init__(self, board: Board, changed: Callable[[], None], watch_period: Optional[float] = None) -> None:
        self.board = board
        self.table = ModeTable()
        self.mode: Optional[Mode] = None
        self.problem = ""
        self._changed = changed
        self._watch_period = WATCH_PERIOD if watch_period is None else watch_period
        self._condition = threading.Condition()
        self._operation: Optional[Callable[[], CompletedSwitch]] = None
        self._result: Optional[SwitchResult] = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def poll(self) -> bool:
        """Read the current mode, and the table of modes if it is still unknown. Call only before `start`.

        Returns:
            True if ``mode`` or ``problem`` changed.
        """
        before = self.mode, self.problem
        try:
            if not self.table.modes:
                self.table = self.board.list_modes()
            self.mode = self.board.current_mode()
            self.problem = ""
        except Exception as error:  # a failed poll must not end the thread
            self.problem = describe_error(error)
        return (self.mode, self.problem) != before

    def switch_now(self, mode: Mode, jetson_clocks: Optional[bool]) -> CompletedSwitch:
        """Switch in the calling thread. Call only before `start`.

        Raises:
            PowerError: the board refused and is back in its previous mode.
        """
        completed = switch(self.board, mode, jetson_clocks)
        self.mode = completed.now
        return completed

    def undo_now(self, completed: Optional[CompletedSwitch]) -> None:
        """Undo a switch, if there was one, in the calling thread. Call only before `start`; failures are logged."""
        try:
            if completed is not None:
                self.mode = switch_back(self.board, completed)
        except PowerError as error:
            _logger.error("the board's previous power mode was not restored: %s", error)

    def start(self) -> None:
        """Start the thread, if the board has power modes."""
        if self.board.applies:
            self._thread.start()

    def switch(self, mode: Mode, jetson_clocks: Optional[bool]) -> None:
        """Start switching to ``mode``."""
        self._submit(lambda: switch(self.board, mode, jetson_clocks))

    def undo(self, completed: CompletedSwitch) -> None:
        """Start undoing a switch. A mode that another program set in the meantime is kept."""
        self._submit(lambda: CompletedSwitch(completed.now, switch_back(self.board, completed)))

    def take_result(self) -> Optional[SwitchResult]:
        """Return the outcome of the last operation once; None while there is none."""
        with self._condition:
            result, self._result = self._result, None
            return result

    def close(self, timeout: float) -> None:
        """Stop the thread. A switch that is still running after ``timeout`` seconds is left to finish alone."""
        with self._condition:
            self._is_closing = True
            self._operation = None
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        elif self.board.applies:
            self.board.close()

    def _submit(self, operation: Callable[[], CompletedSwitch]) -> None:
        with self._condition:
            self._operation, self._result = operation, None
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._operation is None and not self._is_closing:
                    self._condition.wait(self._watch_period)
                if self._is_closing:
                    break
                operation, self._operation = self._operation, None
            has_news = self.poll() if operation is None else self._execute(operation)
            if has_news and not self._is_closing:
                self._changed()
        self.board.close()

    def _execute(self, operation: Callable[[], CompletedSwitch]) -> bool:
        try:
            completed = operation()
            self.mode, self.problem = completed.now, ""
            result = SwitchResult(completed)
        except Exception as error:  # reported as the result; must not end the thread
            if not isinstance(error, PowerError):
                _logger.exception("unexpected error while switching the board's power mode")
            result = SwitchResult(None, describe_error(error))
            self.poll()
        with self._condition:
            self._result = result
        return True
