"""The parameter ``power_mode``: validated, applied, and then confirmed or undone.

1. `ModeControl.validate` checks a change before it is stored. It has no side effects.
2. `ModeControl.update` turns what was stored into events of the state machine: the board switches first, in a thread of
   its own, then the profile's parameters are set and the engine follows.
3. When the new engine is in use the change is confirmed; if it cannot be built, all of the change is undone.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple

from espnet_ros.board.board_switcher import BoardSwitcher
from espnet_ros.board.host import host_root
from espnet_ros.board.jetson import NoBoard, find_board
from espnet_ros.board.nvpmodel import Mode
from espnet_ros.board.profile_file import known_profiles
from espnet_ros.board.profiles import PowerProfile, board_mode, find_profile
from espnet_ros.config import NodeConfig, split_list
from espnet_ros.errors import PowerError
from espnet_ros.runtime.mode_state_machine import Event, ModeChange, ModeStateMachine, State
from espnet_ros.runtime.parameter_store import ParameterStore

_CLOSE_TIMEOUT = 2.0  # s


class ModeControl:
    """Owns the board and the state machine of its power mode.

    All methods are called in one thread. Only `configure` and `undo_configure` wait for the board.

    Args:
        parameters: the node's parameters.
        changed: called in another thread when `update` has something to do.
    """

    def __init__(self, parameters: ParameterStore, changed: Callable[[], None]) -> None:
        self._parameters = parameters
        self._changed = changed
        self._profiles: Dict[str, PowerProfile] = {}
        self._is_configured = False
        self._use_board(BoardSwitcher(NoBoard("the node is not configured"), changed))

    def _use_board(self, switcher: BoardSwitcher) -> None:
        self._switcher = switcher
        self._machine = ModeStateMachine(self._parameters, switcher)

    # Status

    @property
    def name(self) -> str:
        """The power mode in effect, as ``power_mode`` spells it; "" for none."""
        return self._machine.name

    @property
    def state(self) -> State:
        """The state of the newest change."""
        return self._machine.state

    @property
    def is_switching(self) -> bool:
        """Whether the board is switching, in either direction."""
        return self._machine.is_switching

    @property
    def board_mode(self) -> str:
        """Name of the board mode that was read last; "" if there is none."""
        return "" if self._switcher.mode is None else self._switcher.mode.name

    @property
    def board(self) -> str:
        """The board and how it is accessed, or why there is none."""
        return self._switcher.board.describe()

    @property
    def problem(self) -> str:
        """Why the last change failed, or what is wrong with the board's mode; "" if nothing is."""
        machine, mode = self._machine, self._switcher.mode
        if machine.refusal or not machine.name:  # without a power mode, the board's mode does not matter
            return machine.refusal
        expected = machine.expected
        if mode is not None and expected is not None and mode.id != expected.id and not machine.is_switching:
            return f"the board is in {mode}, although {expected} was set: another program has changed it"
        return self._switcher.problem

    def list_board_modes(self, texts: str) -> Tuple[str, ...]:
        """Return the names of the board modes that a list of modes and profiles refers to; empty off a Jetson.

        Raises:
            PowerError: the board has no such mode, or its modes are unknown.
        """
        if not self._switcher.board.applies:
            return ()
        modes = [self._find(text)[1] for text in split_list(texts)]
        return tuple(dict.fromkeys(mode.name for mode in modes if mode is not None))

    # Lifecycle

    def configure(self, config: NodeConfig) -> None:
        """Find the board and, if ``power_mode`` names a mode, switch to it and set the profile's parameters.

        Raises:
            PowerError: the profile file or the name is invalid, or the board refused; nothing has changed then.
        """
        self.close()
        self._profiles = known_profiles(config.power_profiles)
        switcher = BoardSwitcher(find_board(host_root()), self._changed)
        if switcher.board.applies:
            switcher.poll()
        self._use_board(switcher)
        self._is_configured = True
        change = self._plan({"power_mode": config.power_mode})
        if change.name:
            completed = None if change.mode is None else switcher.switch_now(change.mode, change.jetson_clocks)
            self._machine.begin_in(change, completed)

    def undo_configure(self) -> None:
        """Restore board and parameters after the rest of the configuration failed."""
        change = self._machine.unconfirmed
        if change is not None:
            self._parameters.set(change.before)
            self._switcher.undo_now(change.completed)

    def start(self) -> None:
        """Start polling the board."""
        self._switcher.start()

    def close(self) -> None:
        """Release the board. It stays in its mode."""
        self._switcher.close(_CLOSE_TIMEOUT)
        self._is_configured = False
        self._use_board(BoardSwitcher(NoBoard("the node is not configured"), self._changed))

    # Validate, apply, confirm or undo

    def validate(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check a change of parameters that is not stored yet. Has no side effects.

        The board is unknown before `configure`, which then checks the name itself.

        Args:
            changes: new values by parameter name.

        Returns:
            The parameters that the new power mode would set besides ``changes``.

        Raises:
            PowerError: there is no such power mode, or the board's modes are unknown.
        """
        if "power_mode" not in changes or not self._is_configured:
            return {}
        return self._plan(changes).values

    def update(self, changes: Iterable[Mapping[str, Any]] = (), engine_error: str = "") -> None:
        """Process what has happened since the last call.

        Args:
            changes: parameters that the user has stored: one mapping per set, oldest first. What is set together with
                ``power_mode`` or later wins over the profile.
            engine_error: why the engine of the stored parameters cannot be built; "" if nothing failed.
        """
        if not self._is_configured:
            return
        request = self._read_request(changes)
        if engine_error:
            self._machine.handle(Event.ENGINE_FAILED, engine_error)
        if request is not None:
            self._machine.handle(Event.REQUESTED if request.name else Event.WITHDRAWN, request)
        result = self._switcher.take_result()
        if result is not None and result.completed is not None:
            self._machine.handle(Event.BOARD_SWITCHED, result.completed)
        elif result is not None:
            self._machine.handle(Event.BOARD_REFUSED, result.error)
        if not self._machine.has_request and self._parameters.read().power_mode != self.name:
            self._parameters.set({"power_mode": self.name})

    def engine_ready(self) -> None:
        """Confirm the change: the engine in use matches the stored parameters."""
        self._machine.handle(Event.ENGINE_READY)

    def request_board_mode(self, name: str) -> None:
        """Switch to a board mode by its name in the board's table, without changing other parameters.

        Raises:
            PowerError: the board has no such mode.
        """
        mode = self._switcher.table.find(name)
        if mode is None:
            raise PowerError(f"the board has no power mode '{name}', it has {self._switcher.table}")
        self._machine.handle(Event.REQUESTED, ModeChange(mode.name, mode))

    def _read_request(self, changes: Iterable[Mapping[str, Any]]) -> Optional[ModeChange]:
        """Return the newest request. Parameters that the user has set stay as set, whatever else is in progress."""
        request: Optional[ModeChange] = None
        for values in changes:
            request = request and request.without(values)
            self._machine.keep(values)
            if "power_mode" in values:
                request = self._plan(values)
        return request

    def _plan(self, values: Mapping[str, Any]) -> ModeChange:
        """Plan the change to ``values["power_mode"]``. The other values win over the profile."""
        name = values["power_mode"]
        if not name:
            return ModeChange("")
        profile, mode = self._find(name)
        return ModeChange(name, mode, profile.jetson_clocks, profile.parameters()).without(values)

    def _find(self, name: str) -> Tuple[PowerProfile, Optional[Mode]]:
        """Return a profile and its board mode; None for the mode if the board is left alone."""
        board, table = self._switcher.board, self._switcher.table
        try:
            profile = find_profile(name, self._profiles, table)
            return profile, board_mode(profile, table) if board.applies else None
        except PowerError as error:
            if board.applies and not table.modes:
                raise PowerError(f"power_mode '{name}': {self._switcher.problem}") from error
            raise
