"""The board through NVIDIA's own programs, nvpmodel and jetson_clocks."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Optional

from espnet_ros.board.nvpmodel import Mode, ModeTable, Nvpmodel, read_table, run_program
from espnet_ros.errors import PowerError


class NvpmodelBoard:
    """A Jetson reached through NVIDIA's own programs: everybody may read the mode, root may set it.

    jetson_clocks has no state that can be read, so "off" means: what this object stored before it switched them on is
    restored.

    Args:
        program: nvpmodel.
        clocks_program: jetson_clocks, or None.
        root: folder that stands for ``/``.
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
        """The board and the way it is reached."""
        return f"{self._model}, through {self._program.path}"

    def list_modes(self) -> ModeTable:
        """The board's own table.

        Raises:
            PowerError: it is absent or malformed.
        """
        return read_table(self._root)

    def current_mode(self) -> Mode:
        """What nvpmodel says is set."""
        return self._program.query()

    def set_mode(self, mode: Mode) -> None:
        """Let nvpmodel set the mode."""
        self._program.set(mode)

    def refusal(self, mode: Mode) -> str:
        """Nothing: the program says at once what it refuses."""
        return ""

    def jetson_clocks(self) -> Optional[bool]:
        """True where this object switched them on, None otherwise: it cannot be read."""
        return True if self._stored is not None else None

    def set_jetson_clocks(self, enabled: bool) -> None:
        """Store the clocks and hold them at their maxima, or restore what was stored.

        Raises:
            PowerError: there is no such program, or it failed.
        """
        if not enabled and self._stored is None:
            return
        if self._clocks_program is None:
            raise PowerError("the board has no program jetson_clocks")
        if enabled:
            stored = self._stored
            if stored is None:  # else they are held, and what they were before would be lost
                # jetson_clocks asks before it overwrites a file, so the file must be new.
                stored = Path(tempfile.mkdtemp(prefix="espnet_clocks_")) / "clocks.conf"
                self._run_clocks(self._clocks_program, "--store", str(stored))
            self._run_clocks(self._clocks_program)
            self._stored = stored
            return
        self._run_clocks(self._clocks_program, "--restore", str(self._stored))
        self._forget_clocks()

    def close(self) -> None:
        """Forget the stored clocks; they stay as they are."""
        self._forget_clocks()

    def _run_clocks(self, *command: str) -> None:
        status, printed = run_program(list(command), self._program.timeout)
        if status != 0:
            said = " ".join(printed.split())[:300] or "nothing"
            raise PowerError(f"'{' '.join(command)}' ended with {status} and printed {said!r}; it needs root")

    def _forget_clocks(self) -> None:
        if self._stored is not None:
            shutil.rmtree(self._stored.parent, ignore_errors=True)
            self._stored = None
