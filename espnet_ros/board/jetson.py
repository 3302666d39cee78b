"""The board: whether this is a Jetson, which power modes it has, which one is set, and setting another one safely."""

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
"""Looked through after $PATH, which lacks sbin for many users."""
SWITCH_TIMEOUT = 30.0
"""Seconds in which a mode must read back. The jtop service gives nvpmodel 5 times 4 s."""
POLL_PERIOD = 0.25


class Board(Protocol):
    """What espnet_ros asks of a board. Every call returns or raises PowerError within a few seconds.

    Attributes:
        applies: power modes exist here; False off a Jetson.
    """

    applies: bool

    def describe(self) -> str:
        """The board and the way it is reached, for people."""

    def list_modes(self) -> ModeTable:
        """The modes the board has; empty off a Jetson."""

    def current_mode(self) -> Mode:
        """The mode that is set now, read from the board."""

    def set_mode(self, mode: Mode) -> None:
        """Ask for a mode. Whether it was set, only reading it back tells."""

    def refusal(self, mode: Mode) -> str:
        """Why the board will not enter the mode it was asked for; "" as long as it may."""

    def jetson_clocks(self) -> Optional[bool]:
        """Whether the clocks are held at their maxima; None where this cannot be known."""

    def set_jetson_clocks(self, enabled: bool) -> None:
        """Hold the clocks at the mode's maxima, or let them scale again."""

    def close(self) -> None:
        """Let go of what the board is reached through."""


class NoBoard:
    """A machine without power modes.

    Args:
        reason: why there are none, for messages.
    """

    applies = False

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def describe(self) -> str:
        """Why there are no power modes."""
        return f"no board power modes: {self.reason}"

    def list_modes(self) -> ModeTable:
        """No modes."""
        return ModeTable()

    def current_mode(self) -> Mode:
        """There is none.

        Raises:
            PowerError: always.
        """
        raise PowerError(f"the board's power mode does not apply: {self.reason}")

    def set_mode(self, mode: Mode) -> None:
        """There is none to set.

        Raises:
            PowerError: always.
        """
        raise PowerError(f"the board's power mode {mode} does not apply: {self.reason}")

    def refusal(self, mode: Mode) -> str:
        """Always the reason."""
        return self.reason

    def jetson_clocks(self) -> Optional[bool]:
        """Not known."""
        return None

    def set_jetson_clocks(self, enabled: bool) -> None:
        """There are none.

        Raises:
            PowerError: always.
        """
        raise PowerError(f"jetson_clocks does not apply: {self.reason}")

    def close(self) -> None:
        """Nothing to let go of."""


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
    """The board this program runs on, by what is there: the device tree, the jtop service, the nvpmodel program.

    The service is taken where it listens, or where it is installed and this user could not set a mode otherwise (then
    each call says what is wrong with the service).

    Args:
        root: folder that stands for ``/``.
        path: folders to look for programs in; None for $PATH and the system's.
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
    """Set a mode, wait until the board itself says so, then set jetson_clocks.

    Args:
        board: the board.
        mode: one of its modes.
        jetson_clocks: True or False to switch them, None to leave them.
        timeout: seconds in which the mode must read back.
        period: seconds between two readings.

    Raises:
        PowerError: it was refused or did not happen. The mode from before is set again, or the message says which mode
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
                clocks_before = False  # not known, but switching them off restores what they were
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
            raise PowerError(f"{mode} was asked for, but the board is in {now}: something else sets modes too")
        refusal = board.refusal(mode)
        if refusal:
            raise PowerError(refusal)
        if time.monotonic() >= deadline:
            raise PowerError(f"{mode} was asked for, but after {timeout:g} s the board still is in {now}")
        time.sleep(period)


def _wait_for_clocks(board: Board, enabled: bool, timeout: float, period: float) -> None:
    deadline = time.monotonic() + timeout
    while board.jetson_clocks() not in (enabled, None):
        if time.monotonic() >= deadline:
            wish = "on" if enabled else "off"
            raise PowerError(f"jetson_clocks were to be {wish}, but after {timeout:g} s they are not")
        time.sleep(period)


def _put_back(board: Board, before: Mode, mode: Mode, interrupted: bool, timeout: float, period: float) -> str:
    """Leave the board in ``before`` and say how it was left. What somebody else set is left alone."""
    try:
        now = board.current_mode()
        if now.id not in (before.id, mode.id):
            return f"The board was left in {now}"
        if now.id == before.id and not interrupted:
            return f"The board stays in {before}"
        board.set_mode(before)
        _wait_for(board, before, now, timeout, period)
    except PowerError as error:
        return f"Nor could {before} be set again ({error}), so check the board: nvpmodel -q"
    return f"The board is in {before} again"
