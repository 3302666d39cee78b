import os
import sys
import threading
import time

import pytest
from waiting import TIMEOUT

from espnet_ros.board import jetson_stats
from espnet_ros.board.jetson import NoBoard, NvpmodelBoard, find_board, switch, switch_back
from espnet_ros.board.jetson_calls import LimitedCalls
from espnet_ros.board.jetson_stats import JetsonStatsBoard
from espnet_ros.board.nvpmodel import Mode, Nvpmodel
from espnet_ros.errors import PowerError

pytestmark = pytest.mark.process

MAXN, MAXQ, MAXP_ARM = Mode(0, "MAXN"), Mode(1, "MAXQ"), Mode(3, "MAXP_CORE_ARM")


@pytest.fixture(params=["service", "program"])
def board(request, tx2):
    """The same board by both ways."""
    if request.param == "service":
        request.getfixturevalue("service")
        found = JetsonStatsBoard(tx2.root)
    else:
        found = NvpmodelBoard(Nvpmodel(tx2.nvpmodel), str(tx2.programs / "jetson_clocks"), tx2.root)
    yield found
    found.close()


def _refused(board, mode, **options):
    with pytest.raises(PowerError) as refused:
        switch(board, mode, **options)
    return str(refused.value)


def _set_maxn_once_maxq_is_on_its_way(tx2):
    """While a switch to MAXQ waits, the board goes from the mode before to MAXN."""
    deadline = time.monotonic() + TIMEOUT
    while tx2.mode() != 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    tx2.steer("mode", "0")
    tx2.steer("mode_before", "0")


def test_the_modes_are_listed(board):
    table = board.list_modes()
    assert [mode.name for mode in table.modes] == ["MAXN", "MAXQ", "MAXP_CORE_ALL", "MAXP_CORE_ARM", "MAXP_CORE_DENVER"]
    assert table.default == 3


def test_a_mode_is_set_and_read_back_from_the_board(board, tx2):
    done = switch(board, MAXQ)
    assert (done.before, done.now) == (MAXP_ARM, MAXQ)
    assert (tx2.mode(), tx2.gpu_hz(), tx2.cores_online()) == (1, 850000000, "00111")
    assert board.current_mode() == MAXQ


def test_a_mode_that_is_set_already_is_not_set_again(board, tx2):
    switch(board, MAXP_ARM)
    assert tx2.calls().count("-m 3") == 1


def test_the_switch_waits_until_the_mode_reads_back(board, tx2):
    tx2.steer("slow", "0.8")
    start = time.monotonic()
    assert switch(board, MAXQ).now == MAXQ
    assert time.monotonic() - start >= 0.8


def test_a_mode_that_never_reads_back_is_put_back(board, tx2):
    tx2.steer("slow", "3600")
    said = _refused(board, MAXQ, timeout=2.0)
    assert "MAXQ (1) was requested, but after 2 s the board is still in MAXP_CORE_ARM (3)" in said


def test_a_refused_mode_leaves_the_old_one(board, tx2, monkeypatch):
    monkeypatch.setattr(jetson_stats, "REFUSAL_DELAY", 0.5)
    tx2.steer("reboot", "1")
    said = _refused(board, MAXQ)
    assert "reboot" in said
    assert "sudo nvpmodel -m 1" in said
    assert said.endswith("The board stays in MAXP_CORE_ARM (3)")
    assert (tx2.mode(), tx2.was_rebooted()) == (3, False)


def test_a_mode_that_somebody_else_sets_is_seen(board, tx2):
    switch(board, MAXQ)
    tx2.set_by_hand(0)
    assert board.current_mode() == MAXN


def test_a_mode_that_somebody_else_sets_during_the_switch_is_left_alone(board, tx2):
    tx2.steer("slow", "3600")
    thread = threading.Thread(target=_set_maxn_once_maxq_is_on_its_way, args=(tx2,))
    thread.start()
    said = _refused(board, MAXQ, timeout=20.0)
    thread.join()
    assert "the board is in MAXN (0): another program sets modes, too. The board was left in MAXN (0)" in said
    assert tx2.mode() == 0


def test_a_switch_can_be_undone(board, tx2):
    done = switch(board, MAXQ)
    switch_back(board, done)
    assert tx2.mode() == 3


def test_undoing_leaves_what_somebody_else_set_meanwhile(board, tx2):
    done = switch(board, MAXQ)
    tx2.set_by_hand(0)
    switch_back(board, done)
    assert tx2.mode() == 0


def test_an_answer_without_a_mode_changes_nothing(tx2):
    tx2.steer("deaf")
    assert "did not print a power mode" in _refused(NvpmodelBoard(Nvpmodel(tx2.nvpmodel), root=tx2.root), MAXQ)
    assert tx2.mode() == 3


def test_without_rights_nvpmodel_is_refused_with_a_hint(tx2):
    tx2.release("rights")
    said = _refused(NvpmodelBoard(Nvpmodel(tx2.nvpmodel), root=tx2.root), MAXQ)
    assert "group jtop" in said
    assert said.endswith("The board stays in MAXP_CORE_ARM (3)")


def test_what_an_interrupted_nvpmodel_set_by_half_is_set_back(tx2):
    tx2.set_by_hand(0)
    tx2.steer("hang", "once")
    said = _refused(NvpmodelBoard(Nvpmodel(tx2.nvpmodel, timeout=4.0), root=tx2.root), MAXQ)
    assert said.endswith("did not end within 4 s and was stopped. The board is in MAXN (0) again")
    assert (tx2.mode(), tx2.cores_online(), tx2.gpu_hz()) == (0, "11111", 1300500000)


def test_a_board_that_cannot_be_set_back_says_so(tx2):
    tx2.steer("hang")
    said = _refused(NvpmodelBoard(Nvpmodel(tx2.nvpmodel, timeout=3.0), root=tx2.root), MAXQ)
    assert "MAXP_CORE_ARM (3) could not be restored either" in said
    assert said.endswith("check the board with nvpmodel -q")


def test_jetson_clocks_are_held_and_let_go_by_the_program(tx2):
    board = NvpmodelBoard(Nvpmodel(tx2.nvpmodel), str(tx2.programs / "jetson_clocks"), tx2.root)
    switch(board, MAXN, jetson_clocks=True)
    assert (tx2.mode(), tx2.clocks(), board.jetson_clocks()) == (0, "held", True)
    switch(board, MAXQ, jetson_clocks=False)
    assert (tx2.mode(), tx2.clocks(), board.jetson_clocks()) == (1, "scaling", None)


def test_a_mode_whose_clocks_are_refused_is_put_back(tx2):
    board = NvpmodelBoard(Nvpmodel(tx2.nvpmodel), None, tx2.root)
    said = _refused(board, MAXN, jetson_clocks=True)
    assert said == "the board has no program jetson_clocks. The board is in MAXP_CORE_ARM (3) again"
    assert tx2.mode() == 3


def test_the_service_holds_the_clocks_and_an_undo_lets_them_go(tx2, service):
    board = JetsonStatsBoard(tx2.root)
    done = switch(board, MAXN, jetson_clocks=True)
    assert (service.clocks, done.clocks_before) == (True, False)
    switch_back(board, done)
    assert (service.clocks, tx2.mode()) == (False, 3)


def test_clocks_that_do_not_obey_are_refused_and_the_mode_is_put_back(tx2, service):
    service.clocks_obey = False
    said = _refused(JetsonStatsBoard(tx2.root), MAXN, jetson_clocks=True, timeout=4.0)
    assert said.startswith("jetson_clocks is not on 4 s after it was switched on. The board is in MAXP_CORE_ARM")
    assert tx2.mode() == 3


def test_a_mode_that_powers_another_part_of_the_gpu_is_refused_by_the_service(tx2, service):
    service.masks = {1: "2"}
    said = _refused(JetsonStatsBoard(tx2.root), MAXQ)
    assert said.startswith("the jtop service cannot set MAXQ (1) while the board runs (it needs a reboot")
    assert said.endswith("The board stays in MAXP_CORE_ARM (3)")
    assert "-m 1" not in tx2.calls()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("absent", "The jtop.service is not active.* start the service: sudo systemctl start jtop"),
        ("forbidden", "I can't access jtop.service.* add this user to the group jtop"),
    ],
)
def test_a_service_that_cannot_be_asked_says_why_and_what_helps(tx2, service, state, said):
    service.state = state
    with pytest.raises(PowerError, match="cannot read the power mode: " + said):
        switch(JetsonStatsBoard(tx2.root), MAXQ)
    assert tx2.mode() == 3


def test_a_service_that_dies_in_the_middle_is_told_and_is_asked_again_when_it_is_back(tx2, service):
    board = JetsonStatsBoard(tx2.root)
    service.dies_on_set = True
    said = _refused(board, MAXQ)
    assert "Lost connection with jtop server; start the service" in said
    assert "MAXP_CORE_ARM (3) could not be restored either" in said
    service.dies_on_set, service.state = False, "running"
    assert switch(board, MAXQ).now == MAXQ


def test_a_service_that_hangs_holds_nobody_up(tx2, service):
    board = JetsonStatsBoard(tx2.root, timeout=0.5)
    service.state = "hangs"
    start = time.monotonic()
    with pytest.raises(PowerError, match="cannot read the power mode: the jtop service did not answer within 0.5 s"):
        board.current_mode()
    with pytest.raises(PowerError, match="still has not answered an earlier call"):
        board.current_mode()
    assert time.monotonic() - start < 60.0


def test_a_service_that_hung_is_asked_again_once_it_answers(tx2, service):
    board = JetsonStatsBoard(tx2.root, timeout=5.0)
    service.state = "hangs"
    with pytest.raises(PowerError, match="did not answer"):
        JetsonStatsBoard(tx2.root, timeout=0.3).current_mode()
    service.state = "running"
    assert board.current_mode() == MAXP_ARM


def test_a_mode_that_the_service_does_not_number_is_refused(tx2, service):
    said = _refused(JetsonStatsBoard(tx2.root), Mode(9, "NINE"))
    assert "NV Power Model ID 9 does not exists! Range [0, 4]" in said


def test_a_table_with_gaps_keeps_its_ids(tx2, service):
    path = tx2.root / "etc/nvpmodel.conf"
    path.write_text(path.read_text().replace("ID=4 NAME", "ID=7 NAME"))
    assert JetsonStatsBoard(tx2.root).list_modes().find("MAXP_CORE_DENVER").id == 7


def test_nothing_is_ever_forced_and_no_connection_stays(tx2, service):
    board = JetsonStatsBoard(tx2.root)
    switch(board, MAXQ)
    board.close()
    assert (service.forced, service.client_count, tx2.was_rebooted()) == (False, 0, False)


def test_off_a_jetson_there_is_no_board(tmp_path):
    board = find_board(tmp_path, path="")
    assert not board.applies
    assert board.list_modes().modes == ()
    with pytest.raises(PowerError, match="there is no power mode to read: this is not a Jetson"):
        switch(board, MAXQ)


def test_the_service_is_taken_where_it_listens(tx2, service):
    board = find_board(tx2.root, path=str(tx2.programs))
    assert board.describe() == "quill, through the jtop service"


@pytest.mark.parametrize(("uid", "kind"), [(0, NvpmodelBoard), (1000, JetsonStatsBoard)])
def test_without_the_service_root_takes_nvpmodel_and_others_are_told_of_the_service(
    tx2, service, monkeypatch, uid, kind
):
    tx2.listens(False)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert isinstance(find_board(tx2.root, path=str(tx2.programs)), kind)


def test_without_jetson_stats_nvpmodel_is_taken(tx2, monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", None)
    monkeypatch.setenv("PATH", str(tx2.programs))
    board = find_board(tx2.root)
    assert board.describe() == f"quill, through {tx2.nvpmodel}"
    assert board.current_mode() == MAXP_ARM


def test_a_jetson_with_neither_says_what_to_install(tx2, monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", None)
    board = find_board(tx2.root, path="")
    assert isinstance(board, NoBoard)
    assert "install one: sudo pip3 install -U jetson-stats" in board.describe()


def test_what_a_limited_call_raises_arrives():
    with pytest.raises(KeyError):
        LimitedCalls("a service").run(lambda: {}["x"], 5.0, "ask")
