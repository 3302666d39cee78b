"""Access to a Jetson through the service of jetson-stats, which sets modes for members of the group jtop.

Written against jetson-stats 4.2.0 to 7.2.0 (package ``jtop``): ``jtop.start``, ``ok``, ``close``, ``nvpmodel`` (None if
the board has none) with ``models``, ``id``, ``name``, ``status``, ``is_running``, ``get_default``,
``set_nvpmodel_id(id, force)``, and ``jetson_clocks`` (None if there is none) with ``set_enable`` and ``get_enable``.
Setting a value only sends a message. The outcome shows in the state that the service publishes once per second.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from espnet_ros.board.jetson_calls import LimitedCalls
from espnet_ros.board.nvpmodel import Mode, ModeTable, read_table
from espnet_ros.errors import PowerError, one_line

SOCKET = "run/jtop.sock"
"""The service's socket, relative to the root folder."""
CALL_TIMEOUT = 8.0
"""Time limit of one call in seconds. The service publishes once per second; jtop itself gives up after 3 s."""
REFUSAL_DELAY = 3.0
"""Seconds after which a message has certainly reached the service and its first answer has arrived."""

T = TypeVar("T")


class JetsonStatsBoard:
    """A Jetson accessed through the jtop service.

    Args:
        root: root folder of the host.
        timeout: time limit of one call in seconds.
        model: the board's name, for messages.
    """

    applies = True

    def __init__(self, root: Path = Path("/"), timeout: float = CALL_TIMEOUT, model: str = "Jetson") -> None:
        self._root = root
        self._timeout = timeout
        self._model = model
        self._calls = LimitedCalls("the jtop service")
        self._connection: Any = None
        self._requested_at = 0.0

    def describe(self) -> str:
        """Return the board and how it is accessed."""
        return f"{self._model}, through the jtop service"

    def list_modes(self) -> ModeTable:
        """Return the service's modes, with the ids of the board's own table if it is readable.

        Raises:
            PowerError: the service does not answer or has no modes.
        """
        names, default = self._ask(_models, "list the power modes")
        try:
            table = read_table(self._root)
        except PowerError:
            table = ModeTable()
        # The service numbers its modes 0, 1, ..., which is wrong for a table with gaps in its ids.
        if table.modes and {mode.name for mode in table.modes} == set(names):
            return table
        return ModeTable(tuple(Mode(index, name) for index, name in enumerate(names)), default)

    def current_mode(self) -> Mode:
        """Return the mode that the service reads from the board.

        Raises:
            PowerError: the service does not answer.
        """
        return self._ask(_current, "read the power mode")

    def set_mode(self, mode: Mode) -> None:
        """Request a mode from the service, without force. Only reading it back shows whether it was set.

        Raises:
            PowerError: the service does not answer or does not know the mode.
        """
        self._ask(lambda jetson: _nvpmodel(jetson).set_nvpmodel_id(mode.id, force=False), f"set {mode}")
        self._requested_at = time.monotonic()

    def refusal(self, mode: Mode) -> str:
        """Return why the service will not set a requested mode; "" while it is working on it.

        The service sends no answer to a request. It marks modes that need a reboot, because they power other parts of
        the GPU than the current mode, and modes that nvpmodel failed to set.
        """
        if time.monotonic() - self._requested_at < REFUSAL_DELAY:
            return ""
        running, possible = self._ask(lambda jetson: _progress(jetson, mode), "read the power mode")
        if running or possible:
            return ""
        return (
            f"the jtop service cannot set {mode} while the board runs (it needs a reboot, which espnet_ros never does, "
            f"or nvpmodel failed: journalctl -u jtop); run 'sudo nvpmodel -m {mode.id}' and reboot, or choose another "
            "mode"
        )

    def jetson_clocks(self) -> Optional[bool]:
        """Return whether the clocks are locked at their maxima; None if the board has no jetson_clocks."""
        return self._ask(_clocks_enabled, "read jetson_clocks")

    def set_jetson_clocks(self, enabled: bool) -> None:
        """Lock the clocks at the mode's maxima, or let them scale.

        Raises:
            PowerError: the service does not answer, or the board has no jetson_clocks.
        """
        doing = "switch jetson_clocks " + ("on" if enabled else "off")
        self._ask(lambda jetson: _set_clocks(jetson, enabled), doing)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # If the library cannot close the connection, nothing else can be done.
            with contextlib.suppress(Exception):
                self._calls.run(connection.close, self._timeout, "close the connection")

    def _ask(self, function: Callable[[Any], T], doing: str) -> T:
        try:
            return self._calls.run(lambda: function(self._fresh()), self._timeout, doing)
        except PowerError:
            self.close()
            raise
        except Exception as error:  # the library raises its own and the system's errors
            self.close()
            raise PowerError(f"cannot {doing}: {one_line(error)}{self._hint(error)}") from error

    def _fresh(self) -> Any:
        """Return the connection, once it has new values from the service."""
        if self._connection is None:
            connection = importlib.import_module("jtop").jtop()
            connection.start()
            self._connection = connection
        if not self._connection.ok():
            raise PowerError("the connection to the jtop service ended; is it running (systemctl status jtop)?")
        return self._connection

    def _hint(self, error: Exception) -> str:
        text = str(error).lower()
        if isinstance(error, ImportError):
            return "; jetson-stats is needed: sudo pip3 install -U jetson-stats, then reboot"
        if isinstance(error, PermissionError) or "can't access" in text:
            return "; add this user to the group jtop (sudo usermod -aG jtop $USER) and log in again"
        if not (self._root / SOCKET).exists() or "not active" in text or "lost connection" in text:
            return "; start the service: sudo systemctl start jtop"
        return ""


def _nvpmodel(jetson: Any) -> Any:
    if jetson.nvpmodel is None:
        raise PowerError("the jtop service has no power modes on this board; nvpmodel is not installed or fails")
    return jetson.nvpmodel


def _models(jetson: Any) -> Any:
    nvpmodel = _nvpmodel(jetson)
    return list(nvpmodel.models), (nvpmodel.get_default() or {}).get("id")


def _current(jetson: Any) -> Mode:
    nvpmodel = _nvpmodel(jetson)
    return Mode(int(nvpmodel.id), str(nvpmodel.name))


def _progress(jetson: Any, mode: Mode) -> Any:
    nvpmodel = _nvpmodel(jetson)
    status = list(nvpmodel.status)
    return nvpmodel.is_running(), status[mode.id] if mode.id < len(status) else True


def _clocks_enabled(jetson: Any) -> Optional[bool]:
    return None if jetson.jetson_clocks is None else bool(jetson.jetson_clocks.get_enable())


def _set_clocks(jetson: Any, enabled: bool) -> None:
    clocks = jetson.jetson_clocks
    if clocks is None:
        raise PowerError("the board has no jetson_clocks")
    if bool(clocks.get_enable()) is not enabled:
        clocks.set_enable(enabled)
