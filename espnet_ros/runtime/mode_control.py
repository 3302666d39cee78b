"""The parameter ``power_mode`` made true: first the board's mode, then what the node does in it, or nothing of both."""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from espnet_ros.board.board_switcher import BoardSwitcher
from espnet_ros.board.host import host_root
from espnet_ros.board.jetson import NoBoard, Switched, find_board, switch_back
from espnet_ros.board.nvpmodel import Mode
from espnet_ros.board.profile_file import known_profiles
from espnet_ros.board.profiles import PowerProfile, board_mode, find_profile
from espnet_ros.config import NodeConfig, split_list
from espnet_ros.errors import PowerError

_CLOSE_TIMEOUT = 2.0  # s
_logger = logging.getLogger(__name__)


class ModeChange(NamedTuple):
    """A change of the power mode.

    Attributes:
        name: what ``power_mode`` becomes.
        before: the node's parameters until then.
        mode: the board's mode; None where the board is left alone.
        jetson_clocks: see `PowerProfile`.
        values: the node's parameters that change with it.
        done: what happened on the board; None where nothing has.
    """

    name: str
    before: NodeConfig
    mode: Optional[Mode] = None
    jetson_clocks: Optional[bool] = None
    values: Mapping[str, Any] = {}
    done: Optional[Switched] = None


class ModeControl:
    """Carries out changes of the power mode. All methods are called in one thread; only `configure` waits.

    A change goes to the board first, in a thread of its own. When the board has said that it is in the new mode, the
    profile's parameters are set, and the engine follows. Whatever fails undoes the rest.

    Args:
        set_parameters: makes the node's parameters say what was decided.
        changed: told, maybe in another thread, that `advance` has something to do.
    """

    def __init__(self, set_parameters: Callable[[Mapping[str, Any]], None], changed: Callable[[], None]) -> None:
        self._set_parameters = set_parameters
        self._changed = changed
        self._profiles: Dict[str, PowerProfile] = {}
        self._switcher = BoardSwitcher(NoBoard("the node is not configured"), changed)
        self._is_configured = False
        self._requested: Optional[ModeChange] = None
        self._on_board: Optional[ModeChange] = None
        self._in_engine: Optional[ModeChange] = None
        self.name = ""
        """The power mode in use, as ``power_mode`` calls it."""
        self.refusal = ""
        """Why the last change did not happen; "" when it did."""

    # How it is

    @property
    def is_switching(self) -> bool:
        """Whether the board is being switched or switched back, or about to be."""
        return self._requested is not None or self._on_board is not None or self._switcher.is_switching

    @property
    def board_mode(self) -> str:
        """Name of the mode that the board was in when it was read last; "" where there is none."""
        return "" if self._switcher.mode is None else self._switcher.mode.name

    @property
    def board(self) -> str:
        """The board and the way it is reached, or why there is none."""
        return self._switcher.board.describe()

    @property
    def trouble(self) -> str:
        """What a person should know of the mode; "" where all is as it was asked for."""
        # What the board does, or that it does not answer, is nobody's trouble as long as nobody wants a mode of it.
        return self.refusal or ((self._switcher.intrusion or self._switcher.trouble) if self.name else "")

    def list_board_modes(self, texts: str) -> Tuple[str, ...]:
        """Names of the board's modes that a list of modes and profiles stands for; none off a Jetson.

        Raises:
            PowerError: the board has no such mode, or cannot be asked.
        """
        if not self._is_configured or not self._switcher.board.applies:
            return ()
        modes = [self._find(text)[1] for text in split_list(texts)]
        return tuple(dict.fromkeys(mode.name for mode in modes if mode is not None))

    # Changes

    def configure(self, config: NodeConfig) -> None:
        """Find the board and, where ``power_mode`` names a mode, switch it and set the profile's parameters.

        Raises:
            PowerError: a file of profiles, the name, or what the board said; nothing has changed then.
        """
        self.close()
        profiles = known_profiles(config.power_profiles)
        switcher = BoardSwitcher(find_board(host_root()), self._changed)
        if switcher.board.applies:
            switcher.look()
        self._profiles, self._switcher, self._is_configured = profiles, switcher, True
        change = self.plan(config, {"power_mode": config.power_mode})
        if change is None or not change.name:
            return
        if change.mode is not None:
            change = change._replace(done=switcher.switch_now(change.mode, change.jetson_clocks))
        self._take_effect(change)

    def undo_configure(self) -> None:
        """Leave board and parameters as they were found; for when the rest of the configuration failed."""
        change, self._in_engine = self._in_engine, None
        if change is None:
            return
        self._set_parameters({name: getattr(change.before, name) for name in change.values})
        if change.done is not None:
            try:
                switch_back(self._switcher.board, change.done)
            except PowerError as error:
                _logger.error("the board was not switched back: %s", error)

    def start(self) -> None:
        """Begin to watch the board."""
        self._switcher.start()

    def close(self) -> None:
        """Let go of the board. It stays in its mode."""
        self._switcher.close(_CLOSE_TIMEOUT)
        self._switcher = BoardSwitcher(NoBoard("the node is not configured"), self._changed)
        self._requested = self._on_board = self._in_engine = None
        self._is_configured = False
        self.name = self.refusal = ""

    def plan(self, config: NodeConfig, changes: Mapping[str, Any]) -> Optional[ModeChange]:
        """What a change of parameters means for the power mode; None where it says nothing of it.

        Parameters that are given beside ``power_mode`` win over its profile. Before the node is configured nothing is
        known of the board, so the name is looked at then.

        Args:
            config: the parameters before.
            changes: by name.

        Raises:
            PowerError: there is no such power mode, or the board cannot be asked for its modes.
        """
        if "power_mode" not in changes or not self._is_configured:
            return None
        name = changes["power_mode"]
        if not name:
            return ModeChange("", config)
        profile, mode = self._find(name)
        values = {key: value for key, value in profile.parameters().items() if key not in changes}
        return ModeChange(name, config, mode, profile.jetson_clocks, values)

    def plan_board_mode(self, config: NodeConfig, name: str) -> ModeChange:
        """A change to a mode of the board, by its name in the board's table, that leaves the parameters alone.

        Raises:
            PowerError: the board has no such mode.
        """
        mode = self._switcher.table.find(name)
        if mode is None:
            raise PowerError(f"the board has no power mode '{name}', it has {self._switcher.table}")
        return ModeChange(mode.name, config, mode)

    def accept(self, change: Optional[ModeChange], changes: Mapping[str, Any]) -> None:
        """Carry out a planned change when `advance` is called next. What else a person sets meanwhile stays as set."""
        if change is not None:
            self._requested = change
            self._changed()
            return
        self._requested = _without(self._requested, changes)
        self._on_board = _without(self._on_board, changes)
        self._in_engine = _without(self._in_engine, changes)

    def advance(self) -> None:
        """Do what is to be done: begin the change that was accepted, go on with the one that the board has made."""
        requested, self._requested = self._requested, None
        if requested is not None:
            self._begin(requested)
        result = self._switcher.take_result()
        if result is None:
            return
        change, self._on_board = self._on_board, None
        if change is not None and result.done is not None:
            self._take_effect(change._replace(done=result.done))
        elif change is not None:
            self._refuse(change.name, result.error)
        elif result.done is None:
            self.refusal = f"the board was not switched back: {result.error}"
            _logger.error("%s", self.refusal)

    def note_engine_in_use(self) -> None:
        """The engine is as the parameters say."""
        self._in_engine = None

    def undo(self, reason: str) -> None:
        """The engine of the newest change cannot be built: undo it, the engine's own parameters excepted."""
        change, self._in_engine = self._in_engine, None
        if change is None:
            return
        undone: Dict[str, Any] = {"max_rate": change.before.max_rate} if "max_rate" in change.values else {}
        self._set_parameters(undone)
        self.name = change.before.power_mode
        if change.done is not None and self._on_board is None:
            self._switcher.request_undo(change.done)
        elif change.done is not None:
            self._switcher.supersede(change.done)
        # A newer change that fails too goes back behind this one.
        undone["power_mode"] = self.name
        self._requested = _after(self._requested, undone)
        self._on_board = _after(self._on_board, undone)
        self._refuse(change.name, reason)

    def _find(self, name: str) -> Tuple[PowerProfile, Optional[Mode]]:
        board, table = self._switcher.board, self._switcher.table
        try:
            profile = find_profile(name, self._profiles, table)
            if not board.applies:
                return profile, None
            return profile, board_mode(profile, table)
        except PowerError as error:
            if board.applies and not table.modes:
                raise PowerError(f"power_mode '{name}': {self._switcher.trouble}") from error
            raise

    def _begin(self, change: ModeChange) -> None:
        self.refusal = ""
        self._on_board = None
        change = change._replace(before=change.before.changed({"power_mode": self.name}))
        if not change.name:
            self.name = ""
            self._switcher.withdraw()
        elif change.mode is None:
            self._switcher.withdraw()
            self._take_effect(change)
        else:
            self._on_board = change
            self._switcher.request(change.mode, change.jetson_clocks)

    def _take_effect(self, change: ModeChange) -> None:
        self.name, self.refusal = change.name, ""
        where = self.board if change.mode is None else str(change.mode)
        values = ", ".join(f"{name} {value}" for name, value in change.values.items()) or "parameters stay"
        _logger.info("power mode '%s': %s; %s", change.name, where, values)
        self._in_engine = change
        self._set_parameters({"power_mode": change.name, **change.values})

    def _refuse(self, name: str, reason: str) -> None:
        self.refusal = f"power_mode stays '{self.name}', not '{name}': {reason}"
        _logger.error("%s", self.refusal)
        self._set_parameters({"power_mode": self.name})


def _without(change: Optional[ModeChange], names: Mapping[str, Any]) -> Optional[ModeChange]:
    """The same change, which leaves these parameters alone."""
    if change is None:
        return None
    return change._replace(values={name: value for name, value in change.values.items() if name not in names})


def _after(change: Optional[ModeChange], values: Mapping[str, Any]) -> Optional[ModeChange]:
    """The same change, with other parameters before it."""
    return None if change is None else change._replace(before=change.before.changed(values))
