"""The node under Nav2's lifecycle manager, as far as the manager's stand-in goes."""

import signal

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("bond.msg", reason="needs the messages of the ROS package bond")

from bond.msg import Status
from nav2_manager import BondEnd, LifecycleManager
from robot import RELIABLE, Recorder, make_image
from waiting import wait_until

WITHOUT_BOND = """
import sys

sys.modules["bond"] = None  # as if it were not installed
from espnet_ros.ros.node import main

sys.exit(main())
"""


@pytest.fixture
def make_manager(make_robot):
    managers = []

    def make(namespace, **arguments):
        robot = make_robot(namespace)
        managers.append(LifecycleManager(robot.node, "espnet", **arguments))
        return robot, managers[-1]

    yield make
    for manager in managers:
        manager.close()


def hear_bonds(robot):
    """Record all messages of bonds in the robot's namespace."""
    recorder = Recorder()
    recorder.subscription = robot.node.create_subscription(Status, "bond", recorder, RELIABLE)
    return recorder


def test_the_manager_bonds_with_the_node_and_again_after_a_pause(start_node, make_manager):
    start_node({"autostart": False}, "paused")
    robot, manager = make_manager("paused")
    assert manager.startup(), manager.log
    first = manager.bond
    assert manager.pause()
    assert first.history == ["sister alive", "sister dead"], "the node itself ended the bond"
    assert manager.resume(), manager.log
    assert first.sisters.isdisjoint(manager.bond.sisters), "a new bond is another individual"
    labels = robot.listen("label_image")
    robot.ask(make_image(), [labels])
    assert not manager.check_bond()


def test_the_manager_sees_a_killed_node_and_brings_up_its_successor(start_node, make_manager):
    node = start_node({"autostart": False}, "killed")
    robot, manager = make_manager("killed")
    assert manager.startup(), manager.log
    bond = manager.bond
    wait_until(lambda: bond.beats > 1, "a second heartbeat, which starts the manager's timer")
    node.end(signal.SIGKILL)
    wait_until(lambda: bond.state == "dead", "the manager's bond is broken")
    assert bond.history == ["sister alive", "heartbeat timeout"]
    start_node({"autostart": False}, "killed")
    assert manager.check_bond()
    assert manager.reconnect(), manager.log
    robot.ask(make_image(), [robot.listen("label_image")])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_stopped_breaks_its_bond_itself(start_node, make_manager, number):
    namespace = f"left_{number.name.lower()}"
    node = start_node({"autostart": False}, namespace)
    _, manager = make_manager(namespace)
    assert manager.startup(), manager.log
    bond = manager.bond
    assert node.end(number) == 0
    wait_until(lambda: bond.state == "dead", "the manager's bond is broken")
    assert bond.history == ["sister alive", "sister dead"]


def test_the_node_stays_active_when_the_manager_leaves(start_node, make_robot):
    start_node(namespace="orphaned")
    robot = make_robot("orphaned")
    manager_end = BondEnd(robot.node, "espnet")
    wait_until(lambda: manager_end.state == "alive", "a bond with a node that started by itself")
    manager_end.breaks()
    manager_end.close()
    robot.ask(make_image(), [robot.listen("label_image")])
    assert robot.state() == "active"


def test_bonds_of_other_nodes_do_not_matter(start_node, make_manager):
    start_node({"autostart": False}, "neighbours")
    robot, manager = make_manager("neighbours")
    stranger = BondEnd(robot.node, "controller_server")
    assert manager.startup(), manager.log
    stranger.breaks()
    heard = hear_bonds(robot)
    wait_until(lambda: len([m for m in heard.messages if m.id == "espnet" and m.active]) > 5, "heartbeats")
    assert manager.bond.state == "alive"
    assert stranger.sisters == set(), "the node bonds under its own name only"
    stranger.close()


def test_a_heartbeat_of_0_is_no_bond_and_the_manager_can_do_without(start_node, make_manager):
    start_node({"autostart": False, "bond_heartbeat_period": 0}, "silent")
    robot, manager = make_manager("silent", bond_timeout=0.0)
    heard = hear_bonds(robot)
    assert manager.startup(), manager.log
    robot.ask(make_image(), [robot.listen("label_image")])
    assert heard.messages == []


def test_without_the_package_bond_the_node_runs_and_names_the_parameter(start_node, make_manager):
    node = start_node({"autostart": False}, "bare", program=("-c", WITHOUT_BOND))
    robot, manager = make_manager("bare", bond_timeout=0.0)
    assert manager.startup(), manager.log
    assert "the package bond is not installed; Nav2's lifecycle manager needs bond_timeout: 0.0" in node.log
    robot.ask(make_image(), [robot.listen("label_image")])
