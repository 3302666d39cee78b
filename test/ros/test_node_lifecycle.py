import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus
from robot import make_image
from waiting import wait_until

from espnet_ros.msg import EngineStatus

FAILING_ENGINE = """
import sys

from espnet_ros.engines.fake import FakeEngine
from espnet_ros.errors import EngineError
from espnet_ros.ros.node import main

infer = FakeEngine.infer

def infer_or_fail(self, pixels, with_confidence=False):
    if pixels[0, 0, 0] == 13:
        raise EngineError("the device is on fire")
    if pixels[0, 0, 0] == 14:
        raise ZeroDivisionError("a mistake of ours")
    return infer(self, pixels, with_confidence)

FakeEngine.infer = infer_or_fail
sys.exit(main())
"""


@pytest.fixture(scope="module")
def node(start_node):
    return start_node({"autostart": False})


@pytest.fixture(scope="module")
def robot(node, make_robot):
    return make_robot()


def test_a_node_without_autostart_waits_for_its_manager(robot):
    assert robot.state() == "unconfigured"
    assert robot.status().state == EngineStatus.NONE


@pytest.mark.parametrize("transition", ["activate", "deactivate", "cleanup", "no_such_transition"])
def test_an_illegal_transition_is_refused_and_survived(node, robot, transition):
    assert not robot.change_state(transition)
    assert robot.state() == "unconfigured"
    assert node.is_alive()
    assert "Traceback" not in node.log


def test_an_unknown_transition_id_is_survived(node, robot):
    assert not robot.change_state_by_id(250)
    assert robot.state() == "unconfigured"
    assert node.is_alive()


def test_the_node_goes_round_its_states_twice(robot):
    for _ in range(2):
        assert robot.change_state("configure")
        assert robot.state() == "inactive"
        robot.wait_for_status(lambda s: s.state == EngineStatus.ACTIVE, "an engine")
        labels = robot.listen("label_image")
        assert robot.change_state("activate")
        robot.ask(make_image(), [labels])
        assert not robot.change_state("configure")
        assert robot.change_state("deactivate")
        assert robot.change_state("activate")
        robot.ask(make_image(), [labels])
        robot.unlisten(labels)
        assert robot.change_state("deactivate")
        assert robot.change_state("cleanup")
        assert robot.state() == "unconfigured"
        robot.wait_for_status(lambda s: s.state == EngineStatus.NONE, "no engine")


def test_an_inactive_node_does_not_listen_to_its_camera(robot):
    assert robot.change_state("configure")
    wait_until(lambda: robot.cameras["image"].get_subscription_count() == 0, "nobody hears the camera")
    assert robot.change_state("cleanup")


def test_counts_begin_anew_with_each_activation(robot):
    assert robot.change_state("configure")
    labels = robot.listen("label_image")
    assert robot.change_state("activate")
    robot.ask(make_image(), [labels])
    robot.wait_for_status(lambda s: s.answered > 0, "an answer counted")
    assert robot.change_state("deactivate")
    assert robot.change_state("activate")
    robot.wait_for_status(lambda s: s.received == 0, "counts of 0")
    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")


def test_a_parameter_set_before_configuring_is_used(robot):
    assert robot.set(alpha=5) == ""
    assert robot.change_state("configure")
    assert robot.status().alpha == 5 or robot.wait_for_status(lambda s: s.alpha == 5, "alpha 5")
    assert robot.change_state("cleanup")


def test_a_failed_configuration_gives_its_reason_and_can_be_tried_again(node, robot, tmp_path):
    table = tmp_path / "table.yaml"
    table.write_text(Path("config/cityscapes.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert robot.set(classes=str(table)) == ""
    table.unlink()
    assert not robot.change_state("configure")
    assert robot.state() == "unconfigured"
    assert f"cannot configure: class table '{table}'" in node.log
    robot.wait_for_status(lambda s: s.state == EngineStatus.FAILED and str(table) in s.message, "the reason")
    wait_until(lambda: robot.diagnostic("engine")[0].level == DiagnosticStatus.ERROR, "an error on /diagnostics")
    assert robot.set(classes="auto") == ""
    assert robot.change_state("configure")
    assert robot.change_state("cleanup")


def test_shutdown_ends_the_life_but_not_the_process(node, robot):
    assert robot.change_state("shutdown")
    assert robot.state() == "finalized"
    assert node.is_alive()
    assert node.end(signal.SIGINT) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("autostart", [False, True])
def test_a_signal_ends_the_node_cleanly(start_node, make_robot, number, autostart):
    namespace = f"ended_{number.name.lower()}_{autostart}".lower()
    node = start_node({"autostart": autostart}, namespace)
    robot = make_robot(namespace)
    if autostart:
        labels = robot.listen("label_image")
        robot.ask(make_image(), [labels])
        robot.cameras["image"].publish(make_image())
    else:
        assert robot.state() == "unconfigured"
    assert node.end(number) == 0
    for trouble in ("Traceback", "Error", "error", "terminate"):
        assert trouble not in node.log, node.log


def test_autostart_that_cannot_configure_leaves_the_node_up_and_says_why(start_node, make_robot):
    node = start_node({"weights": "kitti"}, "lost")
    robot = make_robot("lost")
    wait_until(lambda: "autostart: configure failed" in node.log, "a word about it")
    assert robot.state() == "unconfigured"
    assert "weights 'kitti': neither a file" in node.log
    status = robot.wait_for_status(lambda s: s.state == EngineStatus.FAILED, "the failure")
    assert "kitti" in status.message
    assert robot.set(weights="camvid") == ""
    assert robot.change_state("configure")
    assert node.end(signal.SIGTERM) == 0


def test_a_failing_engine_is_counted_warned_about_and_survived(start_node, make_robot):
    node = start_node(namespace="fire", program=("-c", FAILING_ENGINE))
    robot = make_robot("fire")
    labels = robot.listen("label_image")
    robot.ask(make_image(), [labels])
    for brightness, failures in ((13, 1), (14, 2), (13, 3)):
        robot.cameras["image"].publish(make_image(brightness))
        robot.wait_for_status(lambda s: s.failed >= failures, "a failure counted")  # noqa: B023
    assert node.log.count("image failed:") == 1  # at most one warning in 5 s
    assert "the device is on fire" in node.log
    assert any(
        status.level == DiagnosticStatus.ERROR and "ZeroDivisionError: a mistake of ours" in status.message
        for message in robot.diagnostics.messages
        for status in message.status
    )
    robot.ask(make_image(), [labels])
    assert node.end() == 0


def test_no_engine_but_torch_loads_torch(start_node, make_robot):
    node = start_node(namespace="light")
    robot = make_robot("light")
    wait_until(lambda: robot.state() == "active", "the node is active")
    assert not node.has_loaded("libtorch")
