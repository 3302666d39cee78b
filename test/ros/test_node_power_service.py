"""Power modes of the node where the jtop service sets them, while images flow."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from fake_board.jtop import Service
from fake_board.tx2 import Tx2
from powered import ANSWERS_DURING_A_HANG, WARN, Images, Powered, board_environment
from waiting import wait_until


@pytest.fixture(scope="module")
def tx2(tmp_path_factory):
    board = Tx2(tmp_path_factory.mktemp("tx2"))
    board.listens()
    return board


@pytest.fixture(scope="module")
def service(tx2):
    """Steers the service that the node's process meets."""
    return Service(tx2)


@pytest.fixture(scope="module")
def powered(start_node, make_robot, tx2):
    environment = board_environment(tx2, with_service=True)
    node = start_node({"telemetry_period": 0.2}, "service", environment=environment)
    return Powered(node, make_robot("service"), tx2).wait_for_active()


@pytest.fixture(autouse=True)
def usual(powered, service):
    """Each test finds the service at work and the board in its boot mode."""
    service.state, service.dies_on_set, service.masks = "running", False, {}
    powered.reset()
    yield
    assert not service.forced


def test_a_profile_is_set_through_the_service_and_its_clocks_too(powered, service):
    with Images(powered):
        assert powered.robot.set(power_mode="max_n") == ""
        status = powered.wait_for_mode("max_n", "MAXN")
    assert (powered.tx2.mode(), service.clocks) == (0, True)
    assert status.board == "quill, through the jtop service"
    assert powered.robot.set(power_mode="max_q") == ""
    powered.wait_for_mode("max_q", "MAXQ")
    assert (powered.tx2.mode(), service.clocks) == (1, False)
    assert powered.robot.get("alpha", "max_rate", "threads") == [3, 5.0, 2]


def test_a_mode_that_needs_a_reboot_is_refused_and_nothing_is_half_applied(powered, service):
    service.masks = {1: "another part of the GPU"}
    before = powered.values()
    with Images(powered):
        assert powered.robot.set(power_mode="max_q") == ""
        status = powered.wait_for_refusal("max_q")
    assert "the jtop service cannot set MAXQ (1) while the board runs (it needs a reboot" in status.trouble
    assert "run 'sudo nvpmodel -m 1' and reboot, or choose another mode" in status.trouble
    assert powered.diagnostic(WARN).message == status.trouble
    assert (powered.values(), powered.tx2.mode()) == (before, 3)


@pytest.mark.parametrize(
    ("state", "reason", "hint"),
    [
        ("absent", "cannot read the power mode: Lost connection", "start the service: sudo systemctl start jtop"),
        ("hangs", "the jtop service did not answer within 8 s", "cannot read the power mode"),
    ],
)
def test_a_service_that_is_gone_is_told_with_a_hint_and_is_used_when_it_is_back(powered, service, state, reason, hint):
    before = powered.values()
    with Images(powered) as images:
        service.state = state
        assert powered.robot.set(power_mode="max_q") == ""
        status = powered.wait_for_refusal("max_q")
    assert state != "hangs" or images.answers > ANSWERS_DURING_A_HANG
    assert reason in status.trouble and hint in status.trouble
    assert powered.diagnostic(WARN).message.startswith("power_mode stays")
    assert (powered.values(), powered.tx2.mode()) == (before, 3)
    service.state = "running"

    def is_switched():
        """Ask again while the call that hung has not ended."""
        assert powered.robot.set(power_mode="max_q") == ""
        powered.next_status()
        status = powered.wait(lambda s: not s.switching and (s.mode == "MAXQ" or "not 'max_q'" in s.trouble), "an end")
        return status.mode == "MAXQ"

    wait_until(is_switched, "the service switches again")


def test_a_service_that_dies_in_the_middle_leaves_board_and_node_as_they_were(powered, service):
    before = powered.values()
    service.dies_on_set = True
    with Images(powered):
        assert powered.robot.set(power_mode="max_q") == ""
        status = powered.wait_for_refusal("max_q")
    assert "Lost connection with jtop server; start the service" in status.trouble
    assert (powered.values(), powered.tx2.mode()) == (before, 3)


def test_watts_come_through_the_service_until_it_is_gone(start_node, make_robot, tx2, service):
    service.milliwatts = 5300
    node = start_node({"telemetry_period": 0.2}, "watts", environment=board_environment(tx2, with_service=True))
    powered = Powered(node, make_robot("watts"), tx2).wait_for_active()
    status = powered.wait(lambda s: s.source == "jetson-stats" and s.watts_total > 0, "watts")
    assert status.watts_total == pytest.approx(5.3)
    assert (status.covers, status.hottest, status.temperature) == ("module (VDD_IN)", "GPU", pytest.approx(43.5))
    service.state = "absent"
    status = powered.wait(lambda s: s.source == "none", "no source")
    assert any("jetson-stats: the service has stopped: Lost connection" in refusal for refusal in status.refusals)
    assert status.watts_total != status.watts_total
    assert "Lost connection with jtop server" in powered.diagnostic(WARN).message
