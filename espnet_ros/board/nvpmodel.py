"""NVIDIA's program nvpmodel: its table of power modes, its output, and running it.

nvpmodel reads ``/etc/nvpmodel.conf`` and remembers the mode it last set. Setting a mode needs root. It may exit with 0
although it failed (it then prints ``NVPM ERROR``). For a mode that needs a reboot it asks on stdin whether to reboot.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from espnet_ros.errors import PowerError

CONFIG_FILE = "etc/nvpmodel.conf"
"""The board's table of modes, relative to the root folder."""
PROGRAM_TIMEOUT = 10.0
"""Time limit of one run of the program in seconds."""

_MODE = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)\s*>")
_DEFAULT = re.compile(r"^\s*<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>")
_CURRENT = re.compile(r"NV Power Mode:\s*(\S.*?)\s*$")
_REBOOT = re.compile(r"reboot required|do you want to reboot now", re.IGNORECASE)
_NO_RIGHTS = re.compile(r"NVPM ERROR:.*(?::\s*13\s*$|permission denied|not permitted|must be root)", re.I | re.M)
_FAILED = re.compile(r"NVPM ERROR", re.IGNORECASE)


class ProgramTimeoutError(PowerError):
    """The program was stopped while it was working; what it had done until then is unknown."""


@dataclass(frozen=True)
class Mode:
    """A power mode with the id and name of the board's table."""

    id: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


@dataclass(frozen=True)
class ModeTable:
    """The power modes of a board.

    Attributes:
        modes: the modes by ascending id; ids may have gaps.
        default: id of the mode a new board boots into; None if the table does not name it.
    """

    modes: Tuple[Mode, ...] = ()
    default: Optional[int] = None

    def by_id(self, mode_id: int) -> Optional[Mode]:
        """Return the mode with that id, or None."""
        return next((mode for mode in self.modes if mode.id == mode_id), None)

    def find(self, text: str) -> Optional[Mode]:
        """Return the mode with that name (case-insensitive) or id, or None."""
        wanted = text.strip()
        for mode in self.modes:
            if mode.name.lower() == wanted.lower():
                return mode
        return self.by_id(int(wanted)) if wanted.isdecimal() else None

    def __str__(self) -> str:
        return ", ".join(map(str, self.modes)) or "none"


def parse_table(text: str) -> ModeTable:
    """Parse the modes in the text of an nvpmodel.conf.

    Raises:
        PowerError: the text has no mode, or two modes with the same id.
    """
    modes: Dict[int, Mode] = {}
    default = None
    for line in text.splitlines():
        found = _MODE.match(line)
        if found:
            mode = Mode(int(found.group(1)), found.group(2))
            if mode.id in modes:
                raise PowerError(
                    f"nvpmodel.conf gives id {mode.id} to two modes, {modes[mode.id].name} and {mode.name}"
                )
            modes[mode.id] = mode
        found = _DEFAULT.match(line)
        if found:
            default = int(found.group(1))
    if not modes:
        raise PowerError(
            "nvpmodel.conf has no line '< POWER_MODEL ID=... NAME=... >', so the board's modes are unknown"
        )
    return ModeTable(tuple(modes[key] for key in sorted(modes)), default if default in modes else None)


def read_table(root: Path) -> ModeTable:
    """Read the board's table of modes.

    Raises:
        PowerError: the table is missing or malformed.
    """
    path = root / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise PowerError(f"the board's power modes cannot be listed: {path}: {error.strerror}") from error
    return parse_table(text)


def parse_current(text: str) -> Mode:
    """Parse the output of ``nvpmodel -q``. Fan lines, warnings and errors about single clocks are ignored.

    Raises:
        PowerError: the output names no mode.
    """
    lines = text.splitlines()
    for position, line in enumerate(lines):
        found = _CURRENT.search(line)
        if found:
            number = next((after.strip() for after in lines[position + 1 :] if after.strip().isdecimal()), None)
            if number is not None:
                return Mode(int(number), found.group(1))
    raise PowerError(f"nvpmodel -q did not print a power mode, it printed {_shortened(text)}")


class Nvpmodel:
    """The nvpmodel program.

    It runs without a shell, without stdin (so that its reboot question stays unanswered) and with a fixed environment.

    Args:
        path: path of the program.
        timeout: seconds after which a run is stopped.
    """

    def __init__(self, path: str, timeout: float = PROGRAM_TIMEOUT) -> None:
        self.path = path
        self.timeout = timeout

    def query(self) -> Mode:
        """Return the current mode.

        Raises:
            PowerError: the program cannot be run, takes too long, or prints no mode.
        """
        return parse_current(run_program([self.path, "-q"], self.timeout)[1])

    def set(self, mode: Mode) -> None:
        """Set a mode.

        Raises:
            PowerError: the mode needs a reboot, the user lacks the rights, or the program failed.
        """
        status, printed = run_program([self.path, "-m", str(mode.id)], self.timeout)
        if _REBOOT.search(printed):
            raise PowerError(
                f"{mode} cannot be set while the board runs: nvpmodel asks for a reboot, which espnet_ros never does; "
                f"run 'sudo nvpmodel -m {mode.id}', reboot, and start the node again, or choose another mode"
            )
        if status != 0 or _FAILED.search(printed):
            if _NO_RIGHTS.search(printed):
                raise PowerError(
                    f"{mode} cannot be set, nvpmodel has no rights ({_shortened(printed)}): install jetson-stats and "
                    "add this user to the group jtop (sudo usermod -aG jtop $USER, then log in again), or run the node "
                    "as root"
                )
            raise PowerError(f"{mode} cannot be set, nvpmodel exited with {status} and printed {_shortened(printed)}")


def run_program(command: List[str], timeout: float) -> Tuple[int, str]:
    """Run a program, with its children, for at most ``timeout`` seconds.

    Returns:
        The exit status and the output (stdout and stderr).

    Raises:
        PowerError: the program cannot be started.
        ProgramTimeoutError: the program took too long and was stopped.
    """
    name = " ".join(command)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        raise PowerError(f"cannot run '{name}': {error.strerror}") from error
    try:
        printed, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        # Its children hold the same pipe, so they must be stopped, too.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            process.kill()
        process.communicate()
        raise ProgramTimeoutError(f"'{name}' did not end within {timeout:g} s and was stopped") from error
    return process.returncode, printed.decode("utf-8", errors="replace")


def _shortened(text: str) -> str:
    words = " / ".join(line.strip() for line in text.splitlines() if line.strip())
    return repr(words if len(words) <= 300 else words[:300] + "...") if words else "nothing"
