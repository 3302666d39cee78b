"""The thread that switches the board, against a TX2 at its borders: nvpmodel, and the jtop service."""

import threading
import time

import pytest

from espnet_ros.board.board_switcher import BoardSwitcher
from espnet_ros.board.jetson import NoBoard, NvpmodelBoard, Switched
from espnet_ros.board.jetson_stats import JetsonStatsBoard
from espnet_ros.board.nvpmodel import Mode, Nvpmodel

pytestmark = pytest.mark.process

MAXN, MAXQ, MAXP_ALL, MAXP_ARM = Mode(0, "MAXN"), Mode(1, "MAXQ"), Mode(2, "MAXP_CORE_ALL"), Mode(3, "MAXP_CORE_ARM")
REBOOT_REFUSED = "MAXP_CORE_ALL (2) cannot be set while the board runs: nvpmodel asks for a reboot"


def by_program(tx2, timeout=10.0):
    return NvpmodelBoard(Nvpmodel(tx2.nvpmodel, timeout), str(tx2.programs / "jetson_clocks"), tx2.root)


class Watched(BoardSwitcher):
    """A switcher that has looked and started, and what came of it."""

    def __init__(self, board, watch_period=0.05):
        self.told = threading.Event()
        self.at_news = lambda: None
        super().__init__(board, self._take_news, watch_period)
        self.look()
        self.start()

    def _take_news(self):
        """Runs in the switcher's thread, which meanwhile begins nothing else."""
        at_news, self.at_news = self.at_news, lambda: None
        at_news()
        self.told.set()

    def result(self):
        """The end of the newest request."""
        return wait_for(self.take_result)

    def finish(self, mode, jetson_clocks=None):
        self.request(mode, jetson_clocks)
        return self.result()


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.002)


def stop_in_the_middle(tx2, switcher, mode):
    """Ask for a mode and wait until nvpmodel has set it, but not yet read it back."""
    tx2.hold_back()
    switcher.request(mode, None)
    wait_for(lambda: tx2.mode() == mode.id)


def go_on(tx2):
    tx2.release("slow")


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
    switcher.request(MAXQ, None)
    assert switcher.is_switching
    result = switcher.result()
    assert (result.done, result.error) == (Switched(MAXP_ARM, MAXQ), "")
    assert (tx2.mode(), tx2.gpu_hz(), tx2.cores_online()) == (1, 850000000, "00111")
    assert (switcher.mode, switcher.is_switching, switcher.intrusion) == (MAXQ, False, "")
    assert switcher.told.is_set()
    assert switcher.take_result() is None


def test_a_switch_is_undone(switcher, tx2):
    done = switcher.finish(MAXQ).done
    switcher.request_undo(done)
    assert switcher.result().done == Switched(MAXQ, MAXP_ARM)
    assert (tx2.mode(), switcher.mode, switcher.intrusion) == (3, MAXP_ARM, "")


def test_an_undo_leaves_what_somebody_else_has_set(fast, tx2):
    done = fast.finish(MAXQ).done
    tx2.set_by_hand(0)
    fast.request_undo(done)
    assert fast.result().done.now == MAXN
    assert (tx2.mode(), fast.intrusion) == (0, "")


def test_an_undo_lets_go_the_clocks_that_the_switch_held(fast, tx2):
    done = fast.finish(MAXN, jetson_clocks=True).done
    assert tx2.clocks() == "held"
    fast.request_undo(done)
    assert fast.result().error == ""
    assert (tx2.mode(), tx2.clocks()) == (3, "scaling")


def test_clocks_that_are_held_twice_are_let_go_at_once(fast, tx2):
    fast.finish(MAXN, jetson_clocks=True)
    fast.finish(MAXN, jetson_clocks=True)
    fast.finish(MAXQ, jetson_clocks=False)
    assert (tx2.mode(), tx2.clocks()) == (1, "scaling")


def test_a_mode_that_needs_a_reboot_is_refused_and_nothing_changes(switcher, tx2):
    tx2.steer("reboot", "2")
    result = switcher.finish(MAXP_ALL)
    assert result.done is None
    assert "reboot" in result.error and "sudo nvpmodel -m 2" in result.error
    assert result.error.endswith("The board stays in MAXP_CORE_ARM (3)")
    assert (tx2.mode(), tx2.was_rebooted(), switcher.mode, switcher.intrusion) == (3, False, MAXP_ARM, "")


def test_without_rights_a_mode_is_refused_with_a_hint(fast, tx2):
    tx2.release("rights")
    assert "install jetson-stats and add this user to the group jtop" in fast.finish(MAXQ).error
    assert tx2.mode() == 3


def test_a_service_that_dies_in_the_middle_is_told_and_comes_back(tx2, service, watch):
    switcher = watch(JetsonStatsBoard(tx2.root))
    service.dies_on_set = True
    error = switcher.finish(MAXQ).error
    assert "Lost connection with jtop server; start the service: sudo systemctl start jtop" in error
    assert "start the service" in switcher.trouble
    service.dies_on_set, service.state = False, "running"
    assert switcher.finish(MAXQ).done.now == MAXQ
    assert (switcher.trouble, service.forced) == ("", False)


def test_the_newest_request_wins_and_those_that_have_not_begun_are_not_carried_out(fast, tx2):
    stop_in_the_middle(tx2, fast, MAXQ)
    fast.request(MAXN, None)
    fast.request(MAXP_ALL, None)
    go_on(tx2)
    assert fast.result().done.now == MAXP_ALL
    assert (tx2.mode(), tx2.calls().count("-m 0")) == (2, 0)


def test_a_superseded_mode_does_not_stay_when_the_newer_one_is_refused(fast, tx2):
    tx2.steer("reboot", "2")
    stop_in_the_middle(tx2, fast, MAXQ)
    fast.request(MAXP_ALL, None)
    go_on(tx2)
    result = fast.result()
    assert result.done is None
    assert result.error.startswith(REBOOT_REFUSED)
    assert result.error.endswith("The board stays in MAXQ (1). The board was put into MAXP_CORE_ARM (3) again")
    assert (tx2.mode(), fast.mode, fast.intrusion) == (3, MAXP_ARM, "")


def test_a_mode_whose_result_nobody_has_taken_does_not_stay_when_the_newer_one_is_refused(fast, tx2):
    tx2.steer("reboot", "2")
    fast.request(MAXQ, None)
    wait_for(fast.told.is_set)
    assert "put into MAXP_CORE_ARM (3) again" in fast.finish(MAXP_ALL).error
    assert tx2.mode() == 3


def test_a_refused_mode_leaves_the_mode_that_somebody_else_set_over_a_superseded_one(fast, tx2):
    tx2.steer("reboot", "2")
    fast.request(MAXQ, None)
    wait_for(fast.told.is_set)
    tx2.set_by_hand(0)
    assert fast.finish(MAXP_ALL).error.endswith("The board was put into MAXN (0) again")
    assert tx2.mode() == 0


def test_a_superseded_mode_is_no_way_back(fast, tx2):
    stop_in_the_middle(tx2, fast, MAXQ)
    fast.request(MAXN, None)
    go_on(tx2)
    done = fast.result().done
    assert done == Switched(MAXP_ARM, MAXN)
    fast.request_undo(done)
    assert fast.result().error == ""
    assert tx2.mode() == 3


def test_an_undo_that_a_newer_request_came_before_happens_when_that_is_refused(fast, tx2):
    tx2.steer("reboot", "2")

    def undo_and_go_on():
        fast.request_undo(fast.take_result().done)
        fast.request(MAXP_ALL, None)

    fast.at_news = undo_and_go_on
    fast.request(MAXQ, None)
    wait_for(fast.told.is_set)
    assert fast.result().error.startswith(REBOOT_REFUSED)
    assert tx2.mode() == 3


def test_what_an_undo_has_undone_stays_undone_when_a_newer_mode_is_refused(fast, tx2):
    tx2.steer("reboot", "2")
    done = fast.finish(MAXQ).done
    fast.told.clear()
    fast.request_undo(done)
    wait_for(fast.told.is_set)
    assert fast.finish(MAXP_ALL).error.endswith("The board stays in MAXP_CORE_ARM (3)")
    assert tx2.mode() == 3


def test_a_withdrawn_mode_is_undone_and_any_mode_is_right_from_then_on(fast, tx2):
    stop_in_the_middle(tx2, fast, MAXQ)
    fast.withdraw()
    go_on(tx2)
    assert fast.result().error == ""
    assert tx2.mode() == 3
    tx2.set_by_hand(0)
    wait_for(lambda: fast.mode == MAXN)
    assert fast.intrusion == ""


def test_a_withdrawn_mode_that_has_not_begun_is_not_set(fast, tx2):

    def request_and_withdraw():
        fast.request(MAXQ, None)
        fast.withdraw()

    fast.at_news = request_and_withdraw
    tx2.set_by_hand(0)
    wait_for(fast.told.is_set)
    assert fast.result().error == ""
    assert tx2.calls().count("-m 1") == 0


def test_a_withdrawn_mode_that_was_set_in_that_moment_is_undone(fast, tx2):
    fast.request(MAXQ, None)
    wait_for(fast.told.is_set)
    fast.withdraw()
    assert fast.result().error == ""
    assert tx2.mode() == 3


def test_a_mode_that_is_in_use_stays_when_it_is_withdrawn(fast, tx2):
    fast.finish(MAXQ)
    fast.withdraw()
    assert (tx2.mode(), fast.is_switching, fast.take_result()) == (1, False, None)


def test_a_switch_that_is_not_wanted_any_more_is_undone_with_the_newer_one(fast, tx2):
    first = fast.finish(MAXQ).done
    fast.told.clear()
    fast.request(MAXN, None)
    wait_for(fast.told.is_set)
    fast.supersede(first)
    assert fast.result().done == Switched(MAXP_ARM, MAXN)


def test_a_switch_that_is_not_wanted_any_more_is_undone_when_the_newer_one_is_refused(fast, tx2):
    tx2.steer("reboot", "2")
    first = fast.finish(MAXQ).done
    stop_in_the_middle(tx2, fast, MAXN)
    fast.request(MAXP_ALL, None)
    fast.supersede(first)
    go_on(tx2)
    assert fast.result().error.startswith(REBOOT_REFUSED)
    assert tx2.mode() == 3


def test_a_switch_that_is_not_wanted_any_more_is_undone_when_the_newer_one_was_refused(fast, tx2):
    tx2.steer("reboot", "2")
    first = fast.finish(MAXQ).done
    fast.told.clear()
    fast.request(MAXP_ALL, None)
    wait_for(fast.told.is_set)
    fast.supersede(first)
    result = fast.result()
    assert result.done is None and result.error.startswith(REBOOT_REFUSED)
    assert tx2.mode() == 3


def test_a_mode_that_something_else_sets_is_told_until_the_next_switch(switcher, tx2):
    switcher.finish(MAXQ)
    switcher.told.clear()
    tx2.set_by_hand(0)
    wait_for(lambda: switcher.intrusion)
    assert switcher.intrusion == "the board is in MAXN (0), although MAXQ (1) was set: something else has changed it"
    wait_for(switcher.told.is_set)
    assert switcher.finish(MAXQ).done == Switched(MAXN, MAXQ)
    assert switcher.intrusion == ""


def test_before_a_mode_was_asked_for_any_mode_is_right(fast, tx2):
    tx2.set_by_hand(0)
    wait_for(lambda: fast.mode == MAXN)
    assert fast.intrusion == ""


def test_a_board_that_does_not_answer_at_first_is_asked_again_and_then_has_its_table(tx2, service, watch):
    service.state = "absent"
    switcher = watch(JetsonStatsBoard(tx2.root))
    assert switcher.table.modes == () and switcher.mode is None
    assert "start the service: sudo systemctl start jtop" in switcher.trouble
    service.state = "running"
    wait_for(switcher.told.is_set)
    assert (len(switcher.table.modes), switcher.mode, switcher.trouble) == (5, MAXP_ARM, "")


def test_a_board_that_stops_to_answer_is_told(fast, tx2):
    tx2.steer("deaf")
    wait_for(fast.told.is_set)
    assert "nvpmodel -q did not print a power mode" in fast.trouble
    assert fast.mode == MAXP_ARM


def test_a_switch_now_is_expected_from_then_on(tx2):
    switcher = BoardSwitcher(by_program(tx2), lambda: None)
    assert switcher.switch_now(MAXQ, None) == Switched(MAXP_ARM, MAXQ)
    tx2.set_by_hand(0)
    switcher.look()
    assert "although MAXQ (1) was set" in switcher.intrusion


def test_the_end_is_not_held_up_by_a_switch_that_hangs_and_nobody_is_told_of_it(tx2):
    tx2.steer("hang")
    switcher = Watched(by_program(tx2, timeout=2.0), watch_period=30.0)
    switcher.request(MAXQ, None)
    wait_for(lambda: "-m 1" in tx2.calls())
    start = time.monotonic()
    switcher.close(0.1)
    assert time.monotonic() - start < 1.5
    assert switcher.is_running
    switcher.close(30.0)  # nvpmodel is stopped after 2 s, twice: it hangs on the way back too
    assert not switcher.is_running
    assert not switcher.told.is_set()


def test_off_a_jetson_nothing_is_started():
    switcher = BoardSwitcher(NoBoard("this is not a Jetson"), lambda: None)
    switcher.start()
    switcher.withdraw()
    assert (switcher.is_switching, switcher.intrusion, switcher.is_running) == (False, "", False)
    switcher.close(1.0)
