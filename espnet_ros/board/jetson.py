"""Power modes of the board: detecting a Jetson, and switching its mode safely."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from typing_extensions import Protocol

from espnet_ros.board.host import read_compatible, read_first
from espnet_ros.board.jetson_nvpmodel import NvpmodelBoard
from espnet_ros.board.jetson_stats import SOCKET, JetsonStatsBoard
from espnet_ros.board.nvpmodel import Mode, ModeTable, Nvpmodel, ProgramTimeoutError
from espnet_ros.errors import PowerError

MODEL_FILES = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")
PROGRAM_FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Searched after $PATH, which lacks sbin for many users."""
SWITCH_TIMEOUT = 30.0
"""Seconds within which a mode must read back. The jtop service tries nvpmodel 5 times for 4 s."""
POLL_PERIOD = 0.25


class Board(Protocol):
    """Access to a board's power modes. Every call returns or raises PowerError within a few seconds.

    Attributes:
        applies: whether there are power modes; False off a Jetson.
    """

    applies: bool

    def describe(self) -> str:
        """Return the board and how it is accessed, for messages."""

    def list_modes(self) -> ModeTable:
        """Return the board's modes; empty off a Jetson."""

    def current_mode(self) -> Mode:
        """Read the current mode from the board."""

    def set_mode(self, mode: Mode) -> None:
        """Request a mode. Only reading it back shows whether it was set."""

    def refusal(self, mode: Mode) -> str:
        """Return why the board will not enter a requested mode; "" while it still may."""

    def jetson_clocks(self) -> Optional[bool]:
        """Return whether the clocks are locked at their maxima; None if unknown."""

    def set_jetson_clocks(self, enabled: bool) -> None:
        """Lock the clocks at the mode's maxima, or let them scale again."""

    def close(self) -> None:
        """Release the access to the board."""


class NoBoard:
    """A machine without power modes.

    Args:
        reason: why there are none.
    """

    applies = False

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def describe(self) -> str:
        """Return why there are no power modes."""
        return f"no board power modes: {self.reason}"

    def list_modes(self) -> ModeTable:
        """Return an empty table."""
        return ModeTable()

    def current_mode(self) -> Mode:
        """Raise PowerError: there is no mode."""
        raise PowerError(f"there is no power mode to read: {self.reason}")

    def set_mode(self, mode: Mode) -> None:
        """Raise PowerError: there is no mode."""
        raise PowerError(f"power mode {mode} cannot be set: {self.reason}")

    def refusal(self, mode: Mode) -> str:
        """Return the reason."""
        return self.reason

    def jetson_clocks(self) -> Optional[bool]:
        """Return None: unknown."""
        return None

    def set_jetson_clocks(self, enabled: bool) -> None:
        """Raise PowerError: there are no clocks to lock."""
        raise PowerError(f"jetson_clocks cannot be set: {self.reason}")

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class CompletedSwitch:
    """A switch that the board confirmed, with what it takes to undo it.

    Attributes:
        before: the previous mode.
        now: the mode that reads back.
        clocks_before: the jetson_clocks state to restore; None to leave it alone.
    """

    before: Mode
    now: Mode
    clocks_before: Optional[bool] = None


def combine(first: Optional[CompletedSwitch], second: Optional[CompletedSwitch]) -> Optional[CompletedSwitch]:
    """Return two consecutive switches as one, so that they can be undone together. None stands for no switch."""
    if first is None or second is None:
        return first or second
    clocks_before = second.clocks_before if first.clocks_before is None else first.clocks_before
    return CompletedSwitch(first.before, second.now, clocks_before)


def find_board(root: Path = Path("/"), path: Optional[str] = None) -> Board:
    """Detect the board from the device tree, the jtop service and the nvpmodel program.

    The service is used if it is listening. It is also used if jetson-stats is installed and this user could not set a
    mode otherwise; each call then reports what is wrong with the service.

    Args:
        root: root folder of the host.
        path: folders to search for programs; None for $PATH and the system's folders.
    """
    if "nvidia,tegra" not in read_compatible(root):
        return NoBoard("this is not a Jetson (its device tree names no nvidia,tegra)")
    model = read_first(root, MODEL_FILES).strip("\0\n ") or "Jetson"
    search = os.environ.get("PATH", "") + os.pathsep + PROGRAM_FOLDERS if path is None else path
    program = shutil.which("nvpmodel", path=search)
    if importlib.util.find_spec("jtop") is not None:
        listens = (root / SOCKET).exists()
        if listens or program is None or os.geteuid() != 0:
            return JetsonStatsBoard(root, model=model)
    if program is None:
        return NoBoard(f"{model} has neither jetson-stats nor nvpmodel; install one: sudo pip3 install -U jetson-stats")
    return NvpmodelBoard(Nvpmodel(program), shutil.which("jetson_clocks", path=search), root, model)


def switch(
    board: Board,
    mode: Mode,
    jetson_clocks: Optional[bool] = None,
    timeout: float = SWITCH_TIMEOUT,
    period: float = POLL_PERIOD,
) -> CompletedSwitch:
    """Set a mode, wait until it reads back, then set jetson_clocks.

    Args:
        board: the board.
        mode: one of its modes.
        jetson_clocks: True or False to switch jetson_clocks, None to leave it alone.
        timeout: seconds within which the mode must read back.
        period: seconds between two readings.

    Raises:
        PowerError: the mode was refused or not entered. The previous mode is restored, or the message names the mode
            the board was left in.
    """
    before = board.current_mode()
    clocks_before = None
    try:
        if before.id != mode.id:
            board.set_mode(mode)
            _wait_for(board, mode, before, timeout, period)
        if jetson_clocks is not None:
            clocks_before = board.jetson_clocks()
            board.set_jetson_clocks(jetson_clocks)
            if jetson_clocks and clocks_before is None:
                clocks_before = False  # unknown, but switching off restores the previous state
            _wait_for_clocks(board, jetson_clocks, timeout, period)
    except PowerError as error:
        left = _put_back(board, before, mode, isinstance(error, ProgramTimeoutError), timeout, period)
        raise PowerError(f"{error}. {left}") from error
    return CompletedSwitch(before, mode, clocks_before)


def switch_back(
    board: Board, completed: CompletedSwitch, timeout: float = SWITCH_TIMEOUT, period: float = POLL_PERIOD
) -> Mode:
    """Undo a switch. A mode that another program set in the meantime is kept.

    Returns:
        The mode the board is in afterwards.

    Raises:
        PowerError: the previous mode cannot be restored.
    """
    now = board.current_mode()
    if now.id != completed.now.id:
        return now
    return switch(board, completed.before, completed.clocks_before, timeout, period).now


def _wait_for(board: Board, mode: Mode, before: Mode, timeout: float, period: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        now = board.current_mode()
        if now.id == mode.id:
            return
        if now.id != before.id:
            raise PowerError(f"{mode} was requested, but the board is in {now}: another program sets modes, too")
        refusal = board.refusal(mode)
        if refusal:
            raise PowerError(refusal)
        if time.monotonic() >= deadline:
            raise PowerError(f"{mode} was requested, but after {timeout:g} s the board is still in {now}")
        time.sleep(period)


def _wait_for_clocks(board: Board, enabled: bool, timeout: float, period: float) -> None:
    deadline = time.monotonic() + timeout
    while board.jetson_clocks() not in (enabled, None):
        if time.monotonic() >= deadline:
            requested = "on" if enabled else "off"
            raise PowerError(f"jetson_clocks is not {requested} {timeout:g} s after it was switched {requested}")
        time.sleep(period)


def _put_back(board: Board, before: Mode, mode: Mode, interrupted: bool, timeout: float, period: float) -> str:
    """Restore ``before``, unless another program has set a mode. Return a sentence about the final mode."""
    try:
        now = board.current_mode()
        if now.id not in (before.id, mode.id):
            return f"The board was left in {now}"
        if now.id == before.id and not interrupted:
            return f"The board stays in {before}"
        board.set_mode(before)
        _wait_for(board, before, now, timeout, period)
    except PowerError as error:
        return f"{before} could not be restored either ({error}); check the board with nvpmodel -q"
    return f"The board is in {before} again"
