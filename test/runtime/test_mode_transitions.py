"""Walks through each row of the table of transitions in docs/power.md, with a board that answers when told to."""

import threading
from pathlib import Path

import pytest
from mode_node import Node

from espnet_ros.board.nvpmodel import Mode, ModeTable
from espnet_ros.errors import PowerError
from espnet_ros.runtime import mode_control
from espnet_ros.runtime.mode_state_machine import ANY_OTHER, Event, ModeStateMachine, State

PAGE = Path(__file__).parents[2] / "docs/power.md"
OLD, NEW, NEWER, REFUSED = Mode(0, "OLD"), Mode(1, "NEW"), Mode(2, "NEWER"), Mode(3, "REFUSED")
PROFILES = """
profiles:
  alone: {alpha: 3}
  joined: {board_modes: [NEW], alpha: 3}
"""


class FakeBoard:
    """Refuses REFUSED and any mode in ``refused``; answers while ``may_answer`` is set."""

    applies = True

    def __init__(self):
        self.mode = OLD
        self.refused = {REFUSED}
        self.calls = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def describe(self):
        return "a fake board"

    def list_modes(self):
        return ModeTable((OLD, NEW, NEWER, REFUSED))

    def current_mode(self):
        return self.mode

    def set_mode(self, mode):
        self.calls.append(mode.name)
        assert self.may_answer.wait(30)
        if mode in self.refused:
            raise PowerError(f"{mode} is refused")
        self.mode = mode

    def refusal(self, mode):
        return ""

    def jetson_clocks(self):
        return None

    def close(self):
        pass


@pytest.fixture
def board():
    return FakeBoard()


@pytest.fixture
def node(board, tmp_path, monkeypatch):
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text(PROFILES)
    monkeypatch.setattr(mode_control, "find_board", lambda root: board)
    node = Node()
    node.set({"power_profiles": str(profiles)})
    node.modes.configure(node.read())
    node.modes.start()
    yield node
    board.may_answer.set()
    node.modes.close()


def read_rows():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = lines.index("| state | event | if | action | next state |") + 2
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            return rows
        state, event, condition, _, next_state = (cell.strip() for cell in line.strip("|").split("|"))
        rows.append((state, event, condition, next_state))
    raise AssertionError("the table has no end")


# How to get into each state


def get_idle(node, board):
    pass


def get_switching(node, board):
    board.may_answer.clear()
    node.request("joined")


def get_switching_to_refused(node, board):
    board.may_answer.clear()
    node.request("REFUSED")


def get_switching_over_superseded(node, board):
    get_switching(node, board)
    node.request("REFUSED")
    answer(node, board)
    assert board.mode == NEW


def get_cancelling(node, board):
    get_switching(node, board)
    node.request("")


def get_cancelling_refused(node, board):
    get_switching_to_refused(node, board)
    node.request("")


def get_cancelling_over_superseded(node, board):
    get_switching_over_superseded(node, board)
    node.request("")


def get_cancelling_for_newer(node, board):
    get_switching(node, board)
    node.request("NEWER")


def get_cancelling_refused_for_newer(node, board):
    get_switching_to_refused(node, board)
    node.request("NEWER")


def get_waiting(node, board):
    node.request("joined")
    answer(node, board)


def get_waiting_without_board(node, board):
    node.request("alone")


def get_undoing(node, board):
    get_waiting(node, board)
    board.may_answer.clear()
    node.engine_fails()


def get_undoing_for_newer(node, board):
    get_undoing(node, board)
    node.request("NEWER")


def get_undoing_over_failed(node, board):
    """The undo of a withdrawn switch, while the engine of the change before it fails."""
    get_waiting(node, board)
    node.request("NEWER")
    node.request("")
    answer(node, board)
    node.engine_fails()


def get_undoing_refused(node, board):
    get_waiting(node, board)
    board.refused.add(OLD)
    board.may_answer.clear()
    node.engine_fails()


def get_undoing_refused_for_newer(node, board):
    get_undoing_refused(node, board)
    node.request("NEWER")


def get_switching_while_engine_is_built(node, board):
    get_waiting(node, board)
    board.may_answer.clear()
    node.request("NEWER")


# Events


def answer(node, board):
    """Let the board finish one operation; the next one waits again."""
    node.has_news = False
    board.may_answer.set()
    node.wait_for_board()
    board.may_answer.clear()
    node.update()


def request(node, board):
    node.request("NEWER")


def request_profile_alone(node, board):
    node.request("alone")


def withdraw(node, board):
    node.request("")


def engine_ready(node, board):
    node.modes.engine_ready()


def engine_failed(node, board):
    node.engine_fails()


WITH, ALONE = "the mode has a board mode", "the profile leaves the board alone"
WAITS, NONE_WAITS = "a newer request waits", "no request waits"
LEFT, NOTHING_LEFT = "an earlier switch is left to undo", "nothing is left to undo"
SCENARIOS = {
    ("idle", "requested", WITH): (get_idle, request),
    ("idle", "requested", ALONE): (get_idle, request_profile_alone),
    ("switching board", "board switched", ""): (get_switching, answer),
    ("switching board", "board refused", NOTHING_LEFT): (get_switching_to_refused, answer),
    ("switching board", "board refused", LEFT): (get_switching_over_superseded, answer),
    ("switching board", "requested", WITH): (get_switching, request),
    ("switching board", "requested", ALONE): (get_switching, request_profile_alone),
    ("switching board", "withdrawn", ""): (get_switching, withdraw),
    ("cancelling", "board switched", WAITS): (get_cancelling_for_newer, answer),
    ("cancelling", "board switched", NONE_WAITS): (get_cancelling, answer),
    ("cancelling", "board refused", WAITS): (get_cancelling_refused_for_newer, answer),
    ("cancelling", "board refused", LEFT): (get_cancelling_over_superseded, answer),
    ("cancelling", "board refused", NOTHING_LEFT): (get_cancelling_refused, answer),
    ("waiting for engine", "engine ready", ""): (get_waiting, engine_ready),
    ("waiting for engine", "engine failed", "the board has switched"): (get_waiting, engine_failed),
    ("waiting for engine", "engine failed", "the board was left alone"): (get_waiting_without_board, engine_failed),
    ("waiting for engine", "requested", WITH): (get_waiting, request),
    ("waiting for engine", "requested", ALONE): (get_waiting, request_profile_alone),
    ("undoing", "board switched", NOTHING_LEFT): (get_undoing, answer),
    ("undoing", "board switched", LEFT): (get_undoing_over_failed, answer),
    ("undoing", "board switched", WAITS): (get_undoing_for_newer, answer),
    ("undoing", "board refused", WAITS): (get_undoing_refused_for_newer, answer),
    ("undoing", "board refused", NONE_WAITS): (get_undoing_refused, answer),
}
OTHERS = {
    "requested": [
        (get_cancelling, request), (get_undoing, request), (get_cancelling, request_profile_alone),
    ],
    "withdrawn": [(get_idle, withdraw), (get_cancelling, withdraw), (get_waiting, withdraw), (get_undoing, withdraw)],
    "engine ready": [(get, engine_ready) for get in (get_idle, get_switching_while_engine_is_built, get_undoing)],
    "engine failed": [(get, engine_failed) for get in (get_idle, get_switching_while_engine_is_built, get_undoing)],
}  # fmt: skip
STATES = {
    get: State(state) for (state, _, _), (get, _) in SCENARIOS.items()
}  # what each of the functions above gets into
STATES[get_switching_while_engine_is_built] = State.SWITCHING_BOARD


@pytest.mark.parametrize(
    ("state", "event", "condition", "next_state"), [row for row in read_rows() if row[0] != "any other"]
)
def test_a_row(node, board, state, event, condition, next_state):
    get, cause = SCENARIOS[state, event, condition]
    get(node, board)
    assert node.modes.state is State(state)
    cause(node, board)
    assert node.modes.state is State(next_state)


@pytest.mark.parametrize(("event", "get", "cause"), [(e, *pair) for e, pairs in OTHERS.items() for pair in pairs])
def test_a_row_for_any_other_state(node, board, event, get, cause):
    assert ("any other", event, "", "the same") in read_rows()
    get(node, board)
    assert node.modes.state is STATES[get]
    cause(node, board)
    assert node.modes.state is STATES[get]


def test_the_table_and_the_state_machine_have_the_same_rows():
    rows = read_rows()
    states = {state.value: state for state in State}
    assert set(SCENARIOS) == {row[:3] for row in rows if row[0] != "any other"}
    assert {(states.get(state, ANY_OTHER), Event(event)) for state, event, _, _ in rows} == set(
        ModeStateMachine.TRANSITIONS
    )


def test_a_row_is_what_the_page_says_step_by_step(node, board):
    """One change from the request to its undo, with what is seen from outside."""
    node.request("joined")
    node.settle()
    assert (node.modes.name, board.mode, node.get("alpha")) == ("joined", NEW, [3])
    node.request("REFUSED")
    node.settle()
    assert node.modes.state is State.WAITING_FOR_ENGINE  # the earlier change still waits for its engine
    assert (node.modes.name, board.mode, node.get("power_mode", "alpha")) == ("joined", NEW, ["joined", 3])
    node.engine_fails()
    node.settle()
    assert (node.modes.name, board.mode, node.get("power_mode", "alpha")) == ("", OLD, ["", 8])
    assert board.calls == ["NEW", "REFUSED", "OLD"]


def test_a_refused_undo_is_tried_again_back_to_the_mode_before_all(node, board):
    """Two switches are left: of a change whose engine failed, and of a withdrawn one, whose undo the board refuses."""
    get_undoing_over_failed(node, board)
    board.refused.add(NEW)
    node.request("REFUSED")
    answer(node, board)
    assert board.mode == NEWER
    board.may_answer.set()
    node.settle()
    assert (node.modes.state, board.mode) == (State.IDLE, OLD)
