"""A power mode that is given at the start: switched while the node configures, or a reason why not."""

import importlib.util
import math

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from fake_board.jtop import Service
from fake_board.tx2 import Tx2
from powered import OK, Images, Powered, board_environment


@pytest.fixture(scope="module")
def powered(start_node, make_robot, tmp_path_factory, engine_cache):
    tx2 = Tx2(tmp_path_factory.mktemp("tx2"))
    parameters = {"autostart": False, "power_mode": "max_q", "telemetry": False, "engine_cache": engine_cache}
    node = start_node(parameters, "start", environment=board_environment(tx2))
    return Powered(node, make_robot("start"), tx2)


@pytest.fixture(autouse=True)
def unconfigured(powered):
    """Each test finds the node unconfigured, and the board in its boot mode."""
    if powered.robot.state() == "inactive":
        assert powered.robot.change_state("cleanup")
    powered.tx2.steer("rights")
    powered.tx2.set_by_hand(3)
    usual = {"power_mode": "max_q", "alpha": 8, "max_rate": 0.0, "threads": 0, "precision": "auto"}
    size = {"input_height": 48, "input_width": 64}
    assert powered.robot.set_together(backend="fake", weights="cityscapes", **size, **usual) == ""


def test_the_board_is_switched_before_the_first_engine_is_built(powered):
    first = len(powered.robot.statuses.messages)
    assert powered.robot.change_state("configure")
    powered.wait_for_mode("max_q", "MAXQ")
    assert (powered.tx2.mode(), powered.tx2.gpu_hz()) == (1, 850000000)
    assert powered.robot.get("alpha", "max_rate", "threads") == [3, 5.0, 2]
    powered.robot.wait_for_status(lambda s: s.alpha == 3, "an engine")
    assert {s.alpha for s in powered.robot.statuses.messages[first:] if s.backend} <= {0, 3}


def test_what_the_board_refuses_fails_configure_with_the_reason_and_another_try_works(powered):
    powered.tx2.release("rights")
    assert not powered.robot.change_state("configure")
    assert powered.robot.state() == "unconfigured"
    status = powered.robot.status()
    assert "MAXQ (1) cannot be set, nvpmodel has no rights" in status.message
    assert "add this user to the group jtop" in status.message
    assert "cannot configure: MAXQ (1) cannot be set" in powered.node.log
    assert powered.robot.get("power_mode", "alpha", "max_rate", "threads") == ["max_q", 8, 0.0, 0]
    assert powered.tx2.mode() == 3
    powered.tx2.steer("rights")
    assert powered.robot.change_state("configure")
    powered.wait_for_mode("max_q", "MAXQ")


def test_a_name_that_the_board_does_not_have_fails_configure_with_what_there_is(powered):
    assert powered.robot.set(power_mode="warp") == ""  # nothing is known of the board yet
    assert not powered.robot.change_state("configure")
    assert "there is no power mode 'warp'; profiles: max_q, " in powered.robot.status().message


def test_an_engine_that_cannot_be_built_puts_the_board_back(powered):
    pytest.importorskip("llvmlite", reason="needs llvmlite, whose engine has no fp16")
    assert powered.robot.set_together(power_mode="tx2_max_q", backend="native", weights="street") == ""
    before = powered.values()
    assert not powered.robot.change_state("configure")
    assert "precision 'fp16' is not supported by backend 'native'" in powered.robot.status().message
    assert (powered.tx2.mode(), powered.tx2.calls().count("-m 3") >= 2) == (3, True)
    assert powered.values() == before
    assert powered.robot.set(backend="fake") == ""
    assert powered.robot.change_state("configure")
    powered.wait_for_mode("tx2_max_q", "MAXQ")


def test_the_board_stays_in_its_mode_when_the_node_lets_go_of_it(powered):
    assert powered.robot.change_state("configure")
    powered.wait_for_mode("max_q", "MAXQ")
    assert powered.robot.change_state("cleanup")
    status = powered.wait(lambda s: s.power_mode == "", "no power mode")
    assert (status.mode, status.board) == ("", "no board power modes: the node is not configured")
    assert powered.tx2.mode() == 1


def test_a_service_that_is_absent_at_the_start_fails_configure_and_is_used_when_it_is_there(
    start_node, make_robot, tmp_path_factory
):
    tx2 = Tx2(tmp_path_factory.mktemp("tx2"))
    tx2.listens()
    service = Service(tx2)
    service.state = "absent"
    parameters = {"autostart": False, "power_mode": "max_q", "telemetry": False}
    node = start_node(parameters, "absent", environment=board_environment(tx2, with_service=True))
    powered = Powered(node, make_robot("absent"), tx2)
    assert not powered.robot.change_state("configure")
    message = powered.robot.status().message
    assert message.startswith("power_mode 'max_q': cannot list the power modes: The jtop.service is not active.")
    assert message.endswith("start the service: sudo systemctl start jtop")

    assert powered.robot.set(power_mode="") == ""
    assert powered.robot.change_state("configure")
    assert powered.robot.set(power_mode="max_q") == message  # at once, as the board's modes are not known
    assert powered.next_status().trouble == ""  # nobody wants a mode
    service.state = "running"
    powered.wait(lambda s: s.mode == "MAXP_CORE_ARM", "the service is asked again")
    assert powered.robot.set(power_mode="max_q") == ""
    powered.wait_for_mode("max_q", "MAXQ")


def test_off_a_jetson_a_profile_sets_the_node_and_the_board_part_says_that_it_does_not_apply(
    start_node, make_robot, tmp_path_factory
):
    empty = str(tmp_path_factory.mktemp("root"))
    node = start_node({}, "pc", environment={"ESPNET_HOST_ROOT": empty})
    powered = Powered(node, make_robot("pc")).wait_for_active()
    with Images(powered):
        assert powered.robot.set(power_mode="max_q") == ""
        status = powered.wait_for_mode("max_q", "")
    assert powered.robot.get("power_mode", "alpha", "max_rate", "threads") == ["max_q", 3, 5.0, 2]
    assert status.board == "no board power modes: this is not a Jetson (its device tree names no nvidia,tegra)"
    assert powered.diagnostic(OK).hardware_id == status.board
    said = powered.robot.set(power_mode="MAXQ")
    assert said.startswith("there is no power mode 'MAXQ'; profiles: max_q, ")
    assert said.endswith("modes of the board: none")
    assert powered.robot.get("power_mode") == "max_q"
    assert powered.robot.set(power_mode="") == ""
    powered.wait_for_mode("", "")

    if importlib.util.find_spec("pynvml") is not None:
        pytest.skip("this machine may have an NVIDIA graphics card, which tells its watts")
    status = powered.wait(lambda s: s.source, "a source")
    assert (status.source, status.stalled, status.covers, status.hottest) == ("none", False, "", "")
    unknown = (status.watts_total, status.temperature, status.gpu_load, status.gpu_clock, status.joules_per_frame)
    assert all(math.isnan(value) for value in unknown)
    assert len(status.refusals) == 4
    assert status.throttled == status.UNKNOWN
    assert powered.diagnostic(OK).message == "no telemetry source"
