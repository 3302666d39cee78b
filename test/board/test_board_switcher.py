"""The thread that switches the board, against a TX2 at its borders: nvpmodel, and the jtop service."""

import threading

import pytest
from waiting import wait_until

from espnet_ros.board.board_switcher import BoardSwitcher
from espnet_ros.board.jetson import CompletedSwitch, NoBoard, NvpmodelBoard
from espnet_ros.board.jetson_stats import JetsonStatsBoard
from espnet_ros.board.nvpmodel import Mode, Nvpmodel

pytestmark = pytest.mark.process

MAXN, MAXQ, MAXP_ALL, MAXP_ARM = Mode(0, "MAXN"), Mode(1, "MAXQ"), Mode(2, "MAXP_CORE_ALL"), Mode(3, "MAXP_CORE_ARM")


def by_program(tx2, timeout=10.0):
    return NvpmodelBoard(Nvpmodel(tx2.nvpmodel, timeout), str(tx2.programs / "jetson_clocks"), tx2.root)


class Watched(BoardSwitcher):
    """A switcher that has polled and started, and what came of it."""

    def __init__(self, board, watch_period=0.05):
        self.told = threading.Event()
        super().__init__(board, self.told.set, watch_period)
        self.poll()
        self.start()

    def result(self):
        """The end of the newest operation."""
        return wait_for(self.take_result)

    def finish(self, mode, jetson_clocks=None):
        self.switch(mode, jetson_clocks)
        return self.result()

    def finish_undo(self, completed):
        self.undo(completed)
        return self.result()


def wait_for(condition):
    return wait_until(condition, "what the switcher must do")


@pytest.fixture
def watch():
    """Makes switchers, and sees to it that none leaves its thread behind."""
    made = []

    def make(board, **arguments):
        made.append(Watched(board, **arguments))
        return made[-1]

    yield make
    for switcher in made:
        switcher.close(30.0)
        assert not switcher.is_running


@pytest.fixture(params=["service", "program"])
def switcher(request, tx2, watch):
    """The same board by both ways."""
    if request.param == "service":
        request.getfixturevalue("service")
        return watch(JetsonStatsBoard(tx2.root))
    return watch(by_program(tx2))


@pytest.fixture
def fast(tx2, watch):
    """By the program, which answers at once."""
    return watch(by_program(tx2))


def test_a_mode_is_set_read_back_and_told(switcher, tx2):
    assert switcher.mode == MAXP_ARM
    result = switcher.finish(MAXQ)
    assert (result.completed, result.error) == (CompletedSwitch(MAXP_ARM, MAXQ), "")
    assert (tx2.mode(), tx2.gpu_hz(), tx2.cores_online()) == (1, 850000000, "00111")
    assert switcher.mode == MAXQ
    wait_for(switcher.told.is_set)
    assert switcher.take_result() is None


def test_a_switch_is_undone(switcher, tx2):
    completed = switcher.finish(MAXQ).completed
    assert switcher.finish_undo(completed).completed == CompletedSwitch(MAXQ, MAXP_ARM)
    assert (tx2.mode(), switcher.mode) == (3, MAXP_ARM)


def test_an_undo_leaves_what_somebody_else_has_set(fast, tx2):
    completed = fast.finish(MAXQ).completed
    tx2.set_by_hand(0)
    assert fast.finish_undo(completed).completed.now == MAXN
    assert (tx2.mode(), fast.mode) == (0, MAXN)


def test_an_undo_lets_go_the_clocks_that_the_switch_held(fast, tx2):
    completed = fast.finish(MAXN, jetson_clocks=True).completed
    assert tx2.clocks() == "held"
    assert fast.finish_undo(completed).error == ""
    assert (tx2.mode(), tx2.clocks()) == (3, "scaling")


def test_clocks_that_are_held_twice_are_let_go_at_once(fast, tx2):
    fast.finish(MAXN, jetson_clocks=True)
    fast.finish(MAXN, jetson_clocks=True)
    fast.finish(MAXQ, jetson_clocks=False)
    assert (tx2.mode(), tx2.clocks()) == (1, "scaling")


def test_a_mode_that_needs_a_reboot_is_refused_and_nothing_changes(switcher, tx2):
    tx2.steer("reboot", "2")
    result = switcher.finish(MAXP_ALL)
    assert result.completed is None
    assert "reboot" in result.error and "sudo nvpmodel -m 2" in result.error
    assert result.error.endswith("The board stays in MAXP_CORE_ARM (3)")
    assert (tx2.mode(), tx2.was_rebooted(), switcher.mode) == (3, False, MAXP_ARM)


def test_without_rights_a_mode_is_refused_with_a_hint(fast, tx2):
    tx2.release("rights")
    assert "install jetson-stats and add this user to the group jtop" in fast.finish(MAXQ).error
    assert tx2.mode() == 3


def test_a_service_that_dies_in_the_middle_is_told_and_comes_back(tx2, service, watch):
    switcher = watch(JetsonStatsBoard(tx2.root))
    service.dies_on_set = True
    error = switcher.finish(MAXQ).error
    assert "Lost connection with jtop server; start the service: sudo systemctl start jtop" in error
    assert "start the service" in switcher.problem
    service.dies_on_set, service.state = False, "running"
    assert switcher.finish(MAXQ).completed.now == MAXQ
    assert (switcher.problem, service.forced) == ("", False)


def test_a_mode_that_something_else_sets_is_told(switcher, tx2):
    switcher.finish(MAXQ)
    wait_for(switcher.told.is_set)
    switcher.told.clear()
    tx2.set_by_hand(0)
    wait_for(switcher.told.is_set)
    assert switcher.mode == MAXN
    assert switcher.finish(MAXQ).completed == CompletedSwitch(MAXN, MAXQ)


def test_a_board_that_does_not_answer_at_first_is_asked_again_and_then_has_its_table(tx2, service, watch):
    service.state = "absent"
    switcher = watch(JetsonStatsBoard(tx2.root))
    assert switcher.table.modes == () and switcher.mode is None
    assert "start the service: sudo systemctl start jtop" in switcher.problem
    service.state = "running"
    wait_for(switcher.told.is_set)
    assert (len(switcher.table.modes), switcher.mode, switcher.problem) == (5, MAXP_ARM, "")


def test_a_board_that_stops_to_answer_is_told(fast, tx2):
    tx2.steer("deaf")
    wait_for(fast.told.is_set)
    assert "nvpmodel -q did not print a power mode" in fast.problem
    assert fast.mode == MAXP_ARM


def test_a_mode_is_switched_and_undone_in_the_same_thread_before_the_start(tx2):
    switcher = BoardSwitcher(by_program(tx2), lambda: None)
    completed = switcher.switch_now(MAXQ, None)
    assert (completed, switcher.mode) == (CompletedSwitch(MAXP_ARM, MAXQ), MAXQ)
    switcher.undo_now(completed)
    assert (tx2.mode(), switcher.mode) == (3, MAXP_ARM)


def test_the_end_is_not_held_up_by_a_switch_that_hangs_and_nobody_is_told_of_it(tx2):
    tx2.steer("hang")
    switcher = Watched(by_program(tx2, timeout=2.0), watch_period=30.0)
    switcher.switch(MAXQ, None)
    wait_for(lambda: "-m 1" in tx2.calls())
    switcher.close(0.1)
    assert switcher.is_running
    wait_for(lambda: not switcher.is_running)  # nvpmodel is stopped after 2 s, twice: it hangs on the way back too
    assert not switcher.told.is_set()


def test_off_a_jetson_nothing_is_started():
    switcher = BoardSwitcher(NoBoard("this is not a Jetson"), lambda: None)
    switcher.start()
    assert not switcher.is_running
    switcher.close(1.0)
