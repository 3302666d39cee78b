"""The state machine of a power mode change. `ModeStateMachine.TRANSITIONS` is the table in docs/power.md."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional, Tuple

from espnet_ros.board.board_switcher import BoardSwitcher
from espnet_ros.board.jetson import CompletedSwitch, combine
from espnet_ros.board.nvpmodel import Mode
from espnet_ros.runtime.parameter_store import ParameterStore

_logger = logging.getLogger(__name__)


class State(Enum):
    """States of a power mode change, named as in docs/power.md."""

    IDLE = "idle"
    SWITCHING_BOARD = "switching board"
    CANCELLING = "cancelling"
    WAITING_FOR_ENGINE = "waiting for engine"
    UNDOING = "undoing"


ANY_OTHER = None
"""In the table of transitions: every state without a row of its own for the event."""


class Event(Enum):
    """Events of a power mode change, named as in docs/power.md."""

    REQUESTED = "requested"
    WITHDRAWN = "withdrawn"
    BOARD_SWITCHED = "board switched"
    BOARD_REFUSED = "board refused"
    ENGINE_READY = "engine ready"
    ENGINE_FAILED = "engine failed"


class ModeChange(NamedTuple):
    """A change of the power mode.

    Attributes:
        name: the new value of ``power_mode``; "" withdraws a change that is in progress.
        mode: the board mode to switch to; None leaves the board alone.
        jetson_clocks: see `PowerProfile`.
        values: node parameters to set once the board has switched.
        before: previous values of the parameters in ``values``. Set, like the three below, when the change takes
            effect, to undo it.
        name_before: the power mode that was in effect before.
        expected_before: the board mode that was expected before; None if any was fine.
        completed: the switch of the board; None if it was left alone.
    """

    name: str
    mode: Optional[Mode] = None
    jetson_clocks: Optional[bool] = None
    values: Mapping[str, Any] = {}
    before: Mapping[str, Any] = {}
    name_before: str = ""
    expected_before: Optional[Mode] = None
    completed: Optional[CompletedSwitch] = None

    def without(self, names: Iterable[str]) -> ModeChange:
        """Return this change without parameters that the user has set: they are neither overwritten nor restored."""
        dropped = set(names)
        return self._replace(
            values={name: value for name, value in self.values.items() if name not in dropped},
            before={name: value for name, value in self.before.items() if name not in dropped},
        )

    def after(self, earlier: Optional[ModeChange]) -> ModeChange:
        """Return this change so that undoing it undoes an earlier, unconfirmed change as well."""
        if earlier is None:
            return self
        return self._replace(
            before={**self.before, **earlier.before},
            name_before=earlier.name_before,
            expected_before=earlier.expected_before,
            completed=combine(earlier.completed, self.completed),
        )


class ModeStateMachine:
    """Switches the board, then sets the node's parameters, then waits for the engine. A failed step undoes all of them.

    Args:
        parameters: the node's parameters.
        switcher: the thread that switches the board.

    Attributes:
        state: the state of the newest change.
        name: the power mode in effect, as ``power_mode`` spells it.
        refusal: why the last change failed; "" if it did not.
        expected: the mode the board should be in; None if any is fine.
        unconfirmed: the change that is in effect, but whose engine is not in use yet.
    """

    def __init__(self, parameters: ParameterStore, switcher: BoardSwitcher) -> None:
        self.state = State.IDLE
        self.name = self.refusal = ""
        self.expected: Optional[Mode] = None
        self.unconfirmed: Optional[ModeChange] = None
        self._parameters = parameters
        self._switcher = switcher
        self._requested: Optional[ModeChange] = None  # the newest change that is not in effect yet
        self._leftover: Optional[CompletedSwitch] = None  # a switch of the board that is to be undone
        self._undoing: Optional[CompletedSwitch] = None  # a switch of the board that is being undone

    @property
    def is_switching(self) -> bool:
        """Whether the board is switching, in either direction."""
        return self.state not in (State.IDLE, State.WAITING_FOR_ENGINE)

    @property
    def has_request(self) -> bool:
        """Whether a change is requested that is not in effect yet."""
        return self._requested is not None

    def handle(self, event: Event, argument: Any = None) -> None:
        """Process an event.

        Args:
            event: what happened; ignored if the table has no row for it.
            argument: a `ModeChange` when requested or withdrawn, a `CompletedSwitch` when the board switched, and the
                reason when the board refused or the engine failed.
        """
        transition = self.TRANSITIONS.get((self.state, event)) or self.TRANSITIONS.get((ANY_OTHER, event))
        if transition is not None:
            self.state = transition(self, argument)

    def begin_in(self, change: ModeChange, completed: Optional[CompletedSwitch]) -> None:
        """Put a change into effect for which the board has switched already."""
        self._take_effect(change, completed)
        self.state = State.WAITING_FOR_ENGINE

    def keep(self, values: Mapping[str, Any]) -> None:
        """Leave parameters that the user has set alone, whatever becomes of the changes in progress."""
        self._requested = self._requested and self._requested.without(values)
        self.unconfirmed = self.unconfirmed and self.unconfirmed.without(values)

    # Transitions: each handles one event and returns the next state

    def _begin(self, change: ModeChange) -> State:
        self.refusal = ""
        if change.mode is None:
            self._take_effect(change)
            return self._next_state()
        self._requested = change
        self._switcher.switch(change.mode, change.jetson_clocks)
        return State.SWITCHING_BOARD

    def _apply(self, completed: CompletedSwitch) -> State:
        change, self._requested = self._requested, None
        switches, self._leftover = combine(self._leftover, completed), None
        assert change is not None
        self._take_effect(change, switches)
        return self._next_state()

    def _refuse(self, reason: str) -> State:
        change, self._requested = self._requested, None
        assert change is not None
        self._report_refusal(change.name, reason)
        return self._next_state()

    def _supersede(self, change: ModeChange) -> State:
        self._queue(change)
        return State.CANCELLING

    def _cancel(self, change: ModeChange) -> State:
        self._withdraw(change)
        return State.CANCELLING

    def _discard(self, completed: CompletedSwitch) -> State:
        self._leftover = combine(self._leftover, completed)
        return self._next_state()

    def _go_on(self, _reason: str) -> State:
        return self._next_state()

    def _confirm(self, _: None) -> State:
        self.unconfirmed = None
        return self._next_state()

    def _undo(self, reason: str) -> State:
        self._undo_earlier(reason)
        return self._next_state()

    def _finish_undo(self, completed: CompletedSwitch) -> State:
        undoing, self._undoing = self._undoing, None
        if self.expected is not None:
            self.expected = completed.now
        if self.refusal:  # another program may have set a mode in the meantime, which is kept
            again = " again" if undoing is not None and completed.now.id == undoing.before.id else ""
            self.refusal += f". The board is in {completed.now}{again}"
        return self._next_state()

    def _fail_undo(self, reason: str) -> State:
        undoing, self._undoing = self._undoing, None
        if self._requested is not None:
            self._leftover = combine(self._leftover, undoing)  # if the request is refused, this is tried again
        else:
            error = f"the board's previous power mode was not restored: {reason}"
            self.refusal = f"{self.refusal}; {error}" if self.refusal else error
            _logger.error("%s", error)
        return self._next_state()

    def _queue(self, change: ModeChange) -> State:
        self.refusal = ""
        self._requested = None if change.mode is None else change
        if change.mode is None:  # leaves the board alone, so it does not have to wait for it
            self._take_effect(change)
        return self.state

    def _withdraw(self, _change: ModeChange) -> State:
        self.name = self.refusal = ""
        self._requested = self.expected = None
        if self.unconfirmed is not None:
            self.unconfirmed = self.unconfirmed._replace(name_before="", expected_before=None)
        return self.state

    def _confirm_earlier(self, _: None) -> State:
        self.unconfirmed = None
        return self.state

    def _undo_earlier(self, reason: str) -> State:
        change, self.unconfirmed = self.unconfirmed, None
        if change is not None:
            self.name, self.expected = change.name_before, change.expected_before
            self._parameters.set(change.before)
            self._leftover = combine(change.completed, self._leftover)
            self._report_refusal(change.name, reason)
        return self.state

    TRANSITIONS: Mapping[Tuple[Optional[State], Event], Callable[[ModeStateMachine, Any], State]] = {
        (State.IDLE, Event.REQUESTED): _begin,
        (State.SWITCHING_BOARD, Event.BOARD_SWITCHED): _apply,
        (State.SWITCHING_BOARD, Event.BOARD_REFUSED): _refuse,
        (State.SWITCHING_BOARD, Event.REQUESTED): _supersede,
        (State.SWITCHING_BOARD, Event.WITHDRAWN): _cancel,
        (State.CANCELLING, Event.BOARD_SWITCHED): _discard,
        (State.CANCELLING, Event.BOARD_REFUSED): _go_on,
        (State.WAITING_FOR_ENGINE, Event.ENGINE_READY): _confirm,
        (State.WAITING_FOR_ENGINE, Event.ENGINE_FAILED): _undo,
        (State.WAITING_FOR_ENGINE, Event.REQUESTED): _begin,
        (State.UNDOING, Event.BOARD_SWITCHED): _finish_undo,
        (State.UNDOING, Event.BOARD_REFUSED): _fail_undo,
        (ANY_OTHER, Event.REQUESTED): _queue,
        (ANY_OTHER, Event.WITHDRAWN): _withdraw,
        (ANY_OTHER, Event.ENGINE_READY): _confirm_earlier,
        (ANY_OTHER, Event.ENGINE_FAILED): _undo_earlier,
    }

    # Shared by the transitions

    def _report_refusal(self, name: str, reason: str) -> None:
        """Log and keep why ``power_mode`` does not become ``name``."""
        self.refusal = f"power_mode stays '{self.name}', not '{name}': {reason}"
        _logger.error("%s", self.refusal)

    def _next_state(self) -> State:
        """Give the board its next operation, if there is one."""
        if self._requested is not None:
            return self._begin(self._requested)
        if self._leftover is not None:
            self._undoing, self._leftover = self._leftover, None
            self._switcher.undo(self._undoing)
            return State.UNDOING
        return State.IDLE if self.unconfirmed is None else State.WAITING_FOR_ENGINE

    def _take_effect(self, change: ModeChange, completed: Optional[CompletedSwitch] = None) -> None:
        """Set the profile's parameters. If it fails, an earlier change without an engine yet is undone with it."""
        stored = self._parameters.read()
        before = {name: getattr(stored, name) for name in change.values}
        undoable = change._replace(
            before=before, name_before=self.name, expected_before=self.expected, completed=completed
        )
        self.unconfirmed = undoable.after(self.unconfirmed)
        self.name, self.refusal, self.expected = change.name, "", change.mode
        where = self._switcher.board.describe() if change.mode is None else str(change.mode)
        values = ", ".join(f"{name} {value}" for name, value in change.values.items()) or "no parameters changed"
        _logger.info("power mode '%s': %s; %s", change.name, where, values)
        self._parameters.set({"power_mode": change.name, **change.values})
