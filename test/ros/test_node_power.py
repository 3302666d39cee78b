"""Power modes of the node on a TX2 with nvpmodel, at the board's real borders, while images flow."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from built_engines import build_ahead
from fake_board.tx2 import Tx2
from powered import ANSWERS_DURING_A_HANG, OK, WARN, Images, Powered, board_environment
from waiting import wait_until

from espnet_ros.msg import EngineStatus

PROFILES = """
profiles:
  patrol: {board_modes: [MAXP_CORE_ALL], alpha: 5, max_rate: 12, threads: 1}
  alpha_alone: {alpha: 5}
  half: {board_modes: [MAXQ], alpha: 3, precision: fp16, max_rate: 5.0}
"""


@pytest.fixture(scope="module")
def powered(start_node, make_robot, tmp_path_factory, engine_cache):
    folder = tmp_path_factory.mktemp("tx2")
    tx2 = Tx2(folder)
    profiles = folder / "profiles.yaml"
    profiles.write_text(PROFILES)
    parameters = {"power_profiles": str(profiles), "telemetry": False, "engine_cache": engine_cache}
    node = start_node(parameters, "power", environment=board_environment(tx2))
    return Powered(node, make_robot("power"), tx2).wait_for_active()


@pytest.fixture(autouse=True)
def usual(powered):
    """Each test finds the board in its boot mode, by the node's own hand."""
    powered.reset()


def test_a_profile_switches_board_and_node_while_images_flow(powered):
    with Images(powered):
        assert powered.robot.set(power_mode="max_q") == ""
        status = powered.wait_for_mode("max_q", "MAXQ")
        powered.robot.wait_for_status(lambda s: s.alpha == 3 and s.state == EngineStatus.ACTIVE, "alpha 3")
    assert powered.robot.get("power_mode", "alpha", "max_rate", "threads") == ["max_q", 3, 5.0, 2]
    assert (powered.tx2.mode(), powered.tx2.gpu_hz(), powered.tx2.cores_online()) == (1, 850000000, "00111")
    assert status.board == f"quill, through {powered.tx2.nvpmodel}"
    assert powered.diagnostic(OK).hardware_id == status.board


@pytest.mark.parametrize(
    ("name", "mode", "mode_id"), [("MAXN", "MAXN", 0), ("maxq", "MAXQ", 1), ("2", "MAXP_CORE_ALL", 2)]
)
def test_a_mode_of_the_boards_own_table_switches_the_board_alone(powered, name, mode, mode_id):
    before = powered.values()
    assert powered.robot.set(power_mode=name) == ""
    powered.wait_for_mode(name, mode)
    assert powered.tx2.mode() == mode_id
    assert powered.values() == {**before, "power_mode": name}


def test_a_shipped_profile_sets_size_and_precision_too(powered):
    assert powered.robot.set(power_mode="tx2_max_q") == ""
    powered.wait_for_mode("tx2_max_q", "MAXQ")
    powered.robot.wait_for_status(lambda s: (s.alpha, s.input_height, s.input_width) == (3, 256, 512), "its network")
    names = ("alpha", "precision", "input_height", "input_width", "max_rate", "threads")
    assert powered.robot.get(*names) == [3, "fp16", 256, 512, 5.0, 2]


def test_a_profile_of_a_users_file_is_known(powered):
    assert powered.robot.set(power_mode="patrol") == ""
    powered.wait_for_mode("patrol", "MAXP_CORE_ALL")
    assert powered.robot.get("alpha", "max_rate", "threads") == [5, 12.0, 1]


def test_a_profile_without_a_board_mode_leaves_the_board_to_others(powered):
    assert powered.robot.set(power_mode="alpha_alone") == ""
    powered.wait_for_mode("alpha_alone", "MAXP_CORE_ARM")
    assert powered.robot.get("alpha") == 5
    powered.tx2.set_by_hand(0)
    powered.wait_for_mode("alpha_alone", "MAXN")


def test_an_unknown_name_is_refused_at_once_with_what_there_is(powered):
    before = powered.values()
    said = powered.robot.set(power_mode="warp")
    assert said.startswith("there is no power mode 'warp'; profiles: max_q, max_p, ")
    assert ", tx2_max_q, " in said and ", patrol, " in said
    assert said.endswith(
        "modes of the board: MAXN (0), MAXQ (1), MAXP_CORE_ALL (2), MAXP_CORE_ARM (3), MAXP_CORE_DENVER (4)"
    )
    assert powered.values() == before
    assert powered.tx2.mode() == 3


def test_a_profile_that_another_value_makes_impossible_is_refused_at_once(powered):
    before = powered.values()
    assert "alpha must be one of" in powered.robot.set_together(power_mode="max_q", alpha=4)
    assert powered.values() == before
    assert "-m 1" not in powered.tx2.calls()[-3:]


@pytest.mark.parametrize(
    ("obstacle", "reason", "hint"),
    [
        ("reboot", "nvpmodel asks for a reboot, which espnet_ros never does", "run 'sudo nvpmodel -m 1', reboot"),
        ("rights", "MAXQ (1) cannot be set, nvpmodel has no rights", "add this user to the group jtop"),
        ("hang", "did not end within 10 s and was stopped", "The board is in MAXP_CORE_ARM (3) again"),
    ],
)
def test_what_the_board_refuses_is_told_with_a_hint_and_nothing_is_half_applied(powered, obstacle, reason, hint):
    if obstacle == "rights":
        powered.tx2.release("rights")
    else:
        powered.tx2.steer(obstacle, {"reboot": "1", "hang": "once"}[obstacle])
    before, state = powered.values(), (powered.tx2.mode(), powered.tx2.gpu_hz(), powered.tx2.cores_online())
    first = len(powered.robot.statuses.messages)
    with Images(powered) as images:
        assert powered.robot.set(power_mode="max_q") == ""
        status = powered.wait_for_refusal("max_q")
    assert obstacle != "hang" or images.answers > ANSWERS_DURING_A_HANG
    assert status.trouble.startswith("power_mode stays 'MAXP_CORE_ARM', not 'max_q': ")
    assert reason in status.trouble and hint in status.trouble
    assert powered.diagnostic(WARN).message == status.trouble
    assert (status.power_mode, status.mode) == ("MAXP_CORE_ARM", "MAXP_CORE_ARM")
    assert powered.values() == before
    assert (powered.tx2.mode(), powered.tx2.gpu_hz(), powered.tx2.cores_online()) == state
    assert not powered.tx2.was_rebooted()
    assert {s.alpha for s in powered.robot.statuses.messages[first:]} <= {8}


def test_a_refusal_is_told_until_the_next_change(powered):
    powered.tx2.steer("reboot", "1")
    assert powered.robot.set(power_mode="max_q") == ""
    powered.wait_for_refusal("max_q")
    assert powered.robot.set(power_mode="patrol") == ""
    powered.wait_for_mode("patrol", "MAXP_CORE_ALL")
    powered.diagnostic(OK)


def test_a_mode_that_something_else_sets_is_told_until_the_next_change(powered):
    assert powered.robot.set(power_mode="max_q") == ""
    powered.wait_for_mode("max_q", "MAXQ")
    powered.tx2.set_by_hand(0)
    status = powered.wait(lambda s: s.trouble, "the intrusion")
    assert status.trouble == "the board is in MAXN (0), although MAXQ (1) was set: another program has changed it"
    assert (status.power_mode, status.mode) == ("max_q", "MAXN")
    assert powered.diagnostic(WARN).message == status.trouble
    assert powered.robot.set(power_mode="max_q") == ""
    powered.wait_for_mode("max_q", "MAXQ")
    powered.diagnostic(OK)


def test_parameters_that_are_given_with_the_mode_win(powered):
    assert powered.robot.set_together(power_mode="max_q", alpha=5, max_rate=7.0) == ""
    powered.wait_for_mode("max_q", "MAXQ")
    assert powered.robot.get("alpha", "max_rate", "threads") == [5, 7.0, 2]


def test_parameters_that_are_given_while_the_board_switches_win(powered):
    powered.tx2.hold_back()
    assert powered.robot.set(power_mode="max_q") == ""
    powered.wait(lambda s: s.switching, "switching")
    assert powered.robot.set(alpha=5) == ""
    powered.tx2.release("slow")
    powered.wait_for_mode("max_q", "MAXQ")
    assert powered.robot.get("alpha", "max_rate", "threads") == [5, 5.0, 2]


def test_a_newer_mode_wins_over_one_that_is_being_switched(powered):
    first = len(powered.robot.statuses.messages)
    powered.tx2.hold_back()
    assert powered.robot.set(power_mode="max_q") == ""
    wait_until(lambda: powered.tx2.mode() == 1, "MAXQ, which does not read back yet")
    assert powered.robot.set(power_mode="max_n") == ""
    powered.tx2.release("slow")
    powered.wait_for_mode("max_n", "MAXN")
    assert (powered.tx2.mode(), powered.tx2.clocks()) == (0, "held")
    assert powered.robot.get("alpha", "max_rate", "threads") == [8, 0.0, 0]
    assert {s.alpha for s in powered.robot.statuses.messages[first:]} <= {8}


def test_an_empty_mode_takes_back_one_that_is_being_switched(powered):
    before = powered.values()
    powered.tx2.hold_back()
    assert powered.robot.set(power_mode="max_q") == ""
    wait_until(lambda: powered.tx2.mode() == 1, "MAXQ, which does not read back yet")
    assert powered.robot.set(power_mode="") == ""
    powered.tx2.release("slow")
    powered.wait_for_mode("", "MAXP_CORE_ARM")
    assert powered.tx2.mode() == 3
    assert powered.values() == {**before, "power_mode": ""}


def test_a_mode_whose_engine_cannot_be_built_is_undone_on_the_board_too(powered, engine_cache):
    pytest.importorskip("llvmlite", reason="needs llvmlite, whose engine has no fp16")
    network = {"backend": "native", "weights": "street", "precision": "fp32"}
    build_ahead(**network, input_height=48, input_width=64, engine_cache=engine_cache)
    assert powered.robot.set_together(**network) == ""
    powered.robot.wait_for_status(lambda s: s.backend == "native" and s.state == EngineStatus.ACTIVE, "a real engine")
    before = powered.values()
    with Images(powered):
        assert powered.robot.set(power_mode="half") == ""
        status = powered.wait_for_refusal("half")
    assert "precision 'fp16' is not supported by backend 'native'" in status.trouble
    assert (status.power_mode, status.mode) == ("MAXP_CORE_ARM", "MAXP_CORE_ARM")
    assert (powered.tx2.calls()[-10:].count("-m 1"), powered.tx2.mode()) == (1, 3)
    assert powered.values() == before
    assert powered.diagnostic(WARN).message == status.trouble


def test_nothing_was_ever_asked_of_nvpmodel_but_to_tell_and_to_set_a_mode(powered):
    assert {call.split()[0] for call in powered.tx2.calls()} == {"-q", "-m"}
    assert not powered.tx2.was_rebooted()
    assert "Traceback" not in powered.node.log
