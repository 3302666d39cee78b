"""Changes of the power mode, step by step, on a TX2 with nvpmodel; what happens when they come across each other."""

import sys

import pytest
from fake_board.tx2 import Tx2
from mode_node import Node
from waiting import wait_until

from espnet_ros.board import board_switcher
from espnet_ros.config import NodeConfig
from espnet_ros.errors import PowerError


@pytest.fixture
def tx2(tmp_path, monkeypatch):
    tx2 = Tx2(tmp_path)
    monkeypatch.setitem(sys.modules, "jtop", None)
    monkeypatch.setenv("ESPNET_HOST_ROOT", str(tx2.root))
    monkeypatch.setenv("PATH", str(tx2.programs))
    monkeypatch.setattr(board_switcher, "WATCH_PERIOD", 0.2)
    return tx2


@pytest.fixture
def node(tx2):
    node = Node()
    node.modes.configure(node.read())
    node.modes.start()
    yield node
    node.modes.close()


def wait_for(condition):
    wait_until(condition, "what the test waits for")


def switch_halfway(node, tx2, name, mode_id):
    """Request a mode and wait until nvpmodel has set it, but not yet read it back."""
    tx2.hold_back()
    node.request(name)
    wait_for(lambda: tx2.mode() == mode_id)


def switch_unnoticed(node, name):
    """Request a mode and wait until the board is in it, which the node has not looked at yet."""
    node.request(name)
    node.wait_for_board()


def test_before_it_is_configured_nothing_is_planned():
    assert Node().modes.validate({"power_mode": "warp"}) == {}


def test_the_profile_is_set_when_the_board_is_in_its_mode_and_not_before(node, tx2):
    tx2.hold_back()
    node.user_sets(power_mode="max_q")
    node.update()
    wait_for(lambda: tx2.mode() == 1)
    node.update()
    assert (node.modes.name, node.get("alpha")) == ("", [8])
    tx2.release("slow")
    node.settle()
    assert (node.modes.name, node.modes.board_mode) == ("max_q", "MAXQ")
    assert node.get("power_mode", "alpha", "max_rate", "threads") == ["max_q", 3, 5.0, 2]


def test_an_engine_that_fails_undoes_board_rate_and_name(node, tx2):
    node.user_sets(max_rate=9.0)
    node.user_sets(power_mode="max_q")
    node.settle()
    node.engine_fails()
    node.settle()
    assert (
        node.modes.problem
        == "power_mode stays '', not 'max_q': no such engine. The board is in MAXP_CORE_ARM (3) again"
    )
    assert (node.get("power_mode", "max_rate"), node.modes.name, tx2.mode()) == (["", 9.0], "", 3)


def test_a_rate_that_was_set_meanwhile_stays_when_the_engine_fails(node, tx2):
    node.user_sets(power_mode="max_q")
    node.settle()
    node.user_sets(max_rate=2.0)
    node.engine_fails()
    node.settle()
    assert (node.get("power_mode", "max_rate"), tx2.mode()) == (["", 2.0], 3)


def test_a_parameter_that_was_set_meanwhile_takes_no_other_out_of_the_undo(node, tx2):
    node.user_sets(power_mode="max_q")
    node.settle()
    node.user_sets(power_mode="MAXN")
    node.settle()
    node.user_sets(overlay_opacity=0.3)
    node.engine_fails()
    node.settle()
    assert (node.get("power_mode", "max_rate", "overlay_opacity"), tx2.mode()) == (["", 0.0, 0.3], 3)


def test_an_engine_that_is_in_use_is_not_undone_by_a_later_failure(node, tx2):
    node.user_sets(power_mode="max_q")
    node.settle()
    node.modes.engine_ready()
    node.update("another engine failed")
    node.settle()
    assert (node.modes.name, node.modes.problem, tx2.mode()) == ("max_q", "", 1)


def test_a_newer_mode_goes_on_when_the_engine_of_the_one_before_fails(node, tx2):
    node.user_sets(power_mode="max_q")
    node.settle()
    tx2.hold_back()
    node.user_sets(power_mode="max_n")
    node.update()
    wait_for(lambda: tx2.mode() == 0)
    node.engine_fails()
    tx2.release("slow")
    node.settle()
    assert (node.modes.name, node.modes.problem, tx2.mode(), tx2.clocks()) == ("max_n", "", 0, "held")
    node.engine_fails()  # that of the newer mode too
    node.settle()
    assert (node.get("power_mode", "max_rate"), tx2.mode(), tx2.clocks()) == (["", 0.0], 3, "scaling")


def test_a_newer_mode_that_is_refused_leaves_nothing_of_the_one_before_whose_engine_failed(node, tx2):
    node.user_sets(power_mode="max_q")
    node.settle()
    tx2.steer("reboot", "2")
    node.user_sets(power_mode="MAXP_CORE_ALL")
    node.engine_fails()
    node.settle()
    # The newer one took the place of the undo, which has to happen all the same.
    assert (node.get("power_mode", "max_rate"), tx2.mode()) == (["", 0.0], 3)
    assert node.modes.problem.startswith("power_mode stays '', not 'MAXP_CORE_ALL': ")


def test_a_mode_that_the_governor_chooses_is_switched_without_another_change(node, tx2):
    node.modes.request_board_mode("MAXN")
    assert node.modes.is_switching
    node.settle()
    assert (node.get("power_mode", "alpha"), tx2.mode()) == (["MAXN", 8], 0)


def test_a_mode_of_the_governor_that_the_board_lacks_is_refused(node):
    with pytest.raises(PowerError, match="the board has no power mode 'MODE_15W', it has MAXN"):
        node.modes.request_board_mode("MODE_15W")


def test_the_governors_list_may_name_modes_ids_and_profiles(node):
    assert node.modes.list_board_modes("max_q, 0, MAXN, max_p") == ("MAXQ", "MAXN", "MAXP_CORE_ARM")
    assert node.modes.list_board_modes("") == ()
    with pytest.raises(PowerError, match="there is no power mode 'warp'"):
        node.modes.list_board_modes("max_q, warp")


def test_an_empty_mode_leaves_the_board_and_its_changes_to_others(node, tx2):
    node.user_sets(power_mode="max_q")
    node.settle()
    node.user_sets(power_mode="")
    node.settle()
    assert (node.modes.name, tx2.mode(), node.get("alpha")) == ("", 1, [3])
    tx2.set_by_hand(0)
    wait_for(lambda: node.modes.board_mode == "MAXN")
    assert node.modes.problem == ""


def test_an_empty_mode_takes_back_one_that_is_being_switched(node, tx2):
    tx2.hold_back()
    node.user_sets(power_mode="max_q")
    node.update()
    wait_for(lambda: tx2.mode() == 1)
    node.user_sets(power_mode="")
    node.update()
    tx2.release("slow")
    node.settle()
    assert (node.modes.name, node.modes.problem, tx2.mode(), node.get("alpha")) == ("", "", 3, [8])


def test_parameters_that_are_given_with_the_mode_win(node):
    node.user_sets(power_mode="max_q", alpha=5)
    node.settle()
    assert node.get("power_mode", "alpha", "max_rate") == ["max_q", 5, 5.0]


def test_a_board_that_does_not_answer_is_nobodys_trouble_until_a_mode_is_wanted(tx2):
    tx2.steer("deaf")
    node = Node()
    node.modes.configure(node.read())
    assert node.modes.problem == ""
    with pytest.raises(PowerError, match="nvpmodel -q did not print a power mode"):
        node.modes.configure(NodeConfig(power_mode="max_q"))
    assert node.values == {}
    node.modes.close()


def test_a_validation_leaves_nothing_behind(node, tx2):
    assert node.modes.validate({"power_mode": "max_q", "threads": 1}) == {"alpha": 3, "max_rate": 5.0}
    node.update()
    assert (node.modes.is_switching, node.modes.name, node.values) == (False, "", {})
    assert tx2.calls().count("-m 1") == 0


def test_the_same_mode_is_applied_again_when_it_is_set_again(node, tx2):
    node.user_sets(power_mode="max_q")
    node.settle()
    node.modes.engine_ready()
    node.user_sets(alpha=8)
    tx2.set_by_hand(0)
    node.user_sets(power_mode="max_q")
    node.settle()
    assert (node.get("alpha"), tx2.mode()) == ([3], 1)


def test_of_two_sets_before_an_update_the_later_one_wins(node):
    node.user_sets(alpha=5, threads=1)
    node.user_sets(power_mode="max_q")
    node.user_sets(threads=3)
    node.settle()
    assert node.get("alpha", "threads") == [3, 3]


def test_what_is_set_with_a_newer_mode_is_not_undone_with_the_one_before(node):
    node.user_sets(power_mode="max_q")
    node.settle()
    node.user_sets(power_mode="max_p", max_rate=7.0)
    node.engine_fails()
    assert node.get("max_rate") == [7.0]


def test_an_engine_that_fails_undoes_all_modes_that_have_had_none(node, tx2):
    node.user_sets(power_mode="max_q")
    node.settle()
    node.user_sets(power_mode="max_n")
    node.settle()
    node.engine_fails()
    node.settle()
    assert (node.get("power_mode", "alpha", "max_rate", "threads"), tx2.mode()) == (["", 8, 0.0, 0], 3)
    assert tx2.clocks() == "scaling"


def test_the_newest_request_wins_and_those_that_have_not_begun_are_not_carried_out(node, tx2):
    switch_halfway(node, tx2, "MAXQ", 1)
    node.request("MAXN")
    node.request("MAXP_CORE_ALL")
    tx2.release("slow")
    node.settle()
    assert (node.modes.name, tx2.mode(), tx2.calls().count("-m 0")) == ("MAXP_CORE_ALL", 2, 0)


def test_a_superseded_mode_does_not_stay_when_the_newer_one_is_refused(node, tx2):
    tx2.steer("reboot", "2")
    switch_halfway(node, tx2, "MAXQ", 1)
    node.request("MAXP_CORE_ALL")
    tx2.release("slow")
    node.settle()
    assert node.modes.problem.startswith(
        "power_mode stays '', not 'MAXP_CORE_ALL': MAXP_CORE_ALL (2) cannot be set while the board runs: nvpmodel asks"
    )
    assert node.modes.problem.endswith("The board stays in MAXQ (1). The board is in MAXP_CORE_ARM (3) again")
    assert (tx2.mode(), node.modes.board_mode, node.get("power_mode")) == (3, "MAXP_CORE_ARM", [""])


def test_a_mode_that_nobody_has_looked_at_does_not_stay_when_the_newer_one_is_refused(node, tx2):
    tx2.steer("reboot", "2")
    switch_unnoticed(node, "MAXQ")
    node.request("MAXP_CORE_ALL")
    node.settle()
    assert node.modes.problem.endswith("The board is in MAXP_CORE_ARM (3) again")
    assert tx2.mode() == 3


def test_a_refused_mode_leaves_the_mode_that_somebody_else_set_over_a_superseded_one(node, tx2):
    tx2.steer("reboot", "2")
    switch_unnoticed(node, "MAXQ")
    tx2.set_by_hand(0)
    node.request("MAXP_CORE_ALL")
    node.settle()
    assert node.modes.problem.endswith("The board is in MAXN (0)")
    assert tx2.mode() == 0


def test_a_superseded_mode_is_no_way_back(node, tx2):
    switch_halfway(node, tx2, "MAXQ", 1)
    node.request("MAXN")
    tx2.release("slow")
    node.settle()
    node.engine_fails()
    node.settle()
    assert (tx2.mode(), node.modes.name) == (3, "")


def test_what_an_undo_has_undone_stays_undone_when_a_newer_mode_is_refused(node, tx2):
    tx2.steer("reboot", "2")
    node.request("max_q")
    node.settle()
    node.engine_fails()
    node.wait_for_board()
    node.request("MAXP_CORE_ALL")
    node.settle()
    assert node.modes.problem.endswith("The board stays in MAXP_CORE_ARM (3)")
    assert tx2.mode() == 3


@pytest.mark.parametrize("refused_first", [False, True])
def test_a_failed_engine_leaves_nothing_of_its_mode_when_the_newer_one_is_refused(node, tx2, refused_first):
    tx2.steer("reboot", "2")
    node.request("max_q")
    node.settle()
    node.request("MAXP_CORE_ALL")
    if refused_first:
        node.wait_for_board()
    node.engine_fails()
    node.settle()
    assert (node.modes.name, node.get("power_mode"), tx2.mode()) == ("", [""], 3)
    assert "not 'MAXP_CORE_ALL': " in node.modes.problem


def test_a_withdrawn_mode_is_undone_and_any_mode_is_right_from_then_on(node, tx2):
    switch_halfway(node, tx2, "MAXQ", 1)
    node.request("")
    tx2.release("slow")
    node.settle()
    assert tx2.mode() == 3
    tx2.set_by_hand(0)
    wait_for(lambda: node.modes.board_mode == "MAXN")
    assert node.modes.problem == ""


def test_a_mode_that_is_withdrawn_before_it_has_begun_is_not_set(node, tx2):
    node.user_sets(power_mode="MAXQ")
    node.user_sets(power_mode="")
    node.settle()
    assert tx2.calls().count("-m 1") == 0


def test_a_mode_that_is_withdrawn_when_it_was_just_set_is_undone(node, tx2):
    switch_unnoticed(node, "MAXQ")
    node.request("")
    node.settle()
    assert (tx2.mode(), node.modes.name) == (3, "")


def test_a_withdrawn_mode_stays_withdrawn_when_its_engine_fails(node, tx2):
    node.request("MAXN")
    node.settle()
    node.modes.engine_ready()
    node.request("max_q")
    node.settle()
    node.request("")
    assert (tx2.mode(), node.get("power_mode", "alpha")) == (1, ["", 3])
    node.engine_fails()
    node.settle()
    assert (tx2.mode(), node.get("power_mode", "alpha"), node.modes.name) == (0, ["", 8], "")


def test_a_mode_that_something_else_sets_is_told_until_the_next_switch(node, tx2):
    node.request("MAXQ")
    node.settle()
    tx2.set_by_hand(0)
    wait_for(lambda: node.modes.problem)
    assert node.modes.problem == "the board is in MAXN (0), although MAXQ (1) was set: another program has changed it"
    node.request("MAXQ")
    node.settle()
    assert (node.modes.problem, tx2.mode()) == ("", 1)


def test_the_mode_of_the_start_is_watched_too(tx2):
    node = Node()
    node.set({"power_mode": "max_q"})
    node.modes.configure(node.read())
    node.modes.engine_ready()
    node.modes.start()
    tx2.set_by_hand(0)
    wait_for(lambda: "although MAXQ (1) was set" in node.modes.problem)
    node.modes.close()


def test_an_undo_that_fails_is_told(node, tx2):
    node.request("MAXQ")
    node.settle()
    tx2.release("rights")
    node.engine_fails("no memory")
    node.settle()
    assert node.modes.problem.startswith(
        "power_mode stays '', not 'MAXQ': no memory; the board's previous power mode was not restored: "
    )
    assert (tx2.mode(), node.modes.board_mode) == (1, "MAXQ")
