"""Access to a Jetson through NVIDIA's programs nvpmodel and jetson_clocks."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Optional

from espnet_ros.board.nvpmodel import Mode, ModeTable, Nvpmodel, read_table, run_program
from espnet_ros.errors import PowerError


class NvpmodelBoard:
    """A Jetson accessed through NVIDIA's programs. Any user can read the mode, only root can set it.

    The state of jetson_clocks cannot be read. Switching it off restores the clocks stored when this object switched it
    on.

    Args:
        program: nvpmodel.
        clocks_program: path of jetson_clocks; None if it is missing.
        root: root folder of the host.
        model: the board's name, for messages.
    """

    applies = True

    def __init__(
        self, program: Nvpmodel, clocks_program: Optional[str] = None, root: Path = Path("/"), model: str = "Jetson"
    ) -> None:
        self._program = program
        self._clocks_program = clocks_program
        self._root = root
        self._model = model
        self._stored: Optional[Path] = None

    def describe(self) -> str:
        """Return the board and how it is accessed."""
        return f"{self._model}, through {self._program.path}"

    def list_modes(self) -> ModeTable:
        """Read the board's table of modes.

        Raises:
            PowerError: the table is missing or malformed.
        """
        return read_table(self._root)

    def current_mode(self) -> Mode:
        """Return the mode that nvpmodel reports."""
        return self._program.query()

    def set_mode(self, mode: Mode) -> None:
        """Set the mode with nvpmodel."""
        self._program.set(mode)

    def refusal(self, mode: Mode) -> str:
        """Return "": the program reports a refusal immediately."""
        return ""

    def jetson_clocks(self) -> Optional[bool]:
        """Return True if this object switched jetson_clocks on, else None: its state cannot be read."""
        return True if self._stored is not None else None

    def set_jetson_clocks(self, enabled: bool) -> None:
        """Store the clocks and lock them at their maxima, or restore the stored clocks.

        Raises:
            PowerError: jetson_clocks is missing or failed.
        """
        if not enabled and self._stored is None:
            return
        if self._clocks_program is None:
            raise PowerError("the board has no program jetson_clocks")
        if enabled:
            stored = self._stored
            if stored is None:  # else the clocks are locked, and storing them again would lose the original state
                # jetson_clocks asks before it overwrites a file, so the file must be new.
                stored = Path(tempfile.mkdtemp(prefix="espnet_clocks_")) / "clocks.conf"
                self._run_clocks(self._clocks_program, "--store", str(stored))
            self._run_clocks(self._clocks_program)
            self._stored = stored
            return
        self._run_clocks(self._clocks_program, "--restore", str(self._stored))
        self._forget_clocks()

    def close(self) -> None:
        """Delete the stored clocks; the current clocks stay."""
        self._forget_clocks()

    def _run_clocks(self, *command: str) -> None:
        status, printed = run_program(list(command), self._program.timeout)
        if status != 0:
            output = " ".join(printed.split())[:300] or "nothing"
            raise PowerError(f"'{' '.join(command)}' exited with {status} and printed {output!r}; it needs root")

    def _forget_clocks(self) -> None:
        if self._stored is not None:
            shutil.rmtree(self._stored.parent, ignore_errors=True)
            self._stored = None
