"""Fixtures that run the node in a process of its own."""

from __future__ import annotations

import pytest

FAKE = {
    "backend": "fake",
    "weights": "cityscapes",
    "input_height": 48,
    "input_width": 64,
    "autostart": True,
    "diagnostics_period": 0.2,
    "image_timeout": 1.0,
}
"""Parameters of a node that starts at once, and whose family has weights for everything but needs no file."""


@pytest.fixture(scope="module")
def start_node(tmp_path_factory):
    """Starts nodes, and ends them after the module's tests."""
    from robot import NodeProcess

    nodes = []

    def start(parameters=None, namespace="", **arguments):
        log = tmp_path_factory.mktemp("node") / "log.txt"
        nodes.append(NodeProcess(log, {**FAKE, **(parameters or {})}, namespace, **arguments))
        return nodes[-1]

    yield start
    for node in nodes:
        if node.is_alive():
            node.end()


@pytest.fixture(scope="module")
def make_robot():
    """Makes the other end of a node's topics and services."""
    from robot import Robot

    robots = []

    def make(namespace=""):
        robots.append(Robot(namespace))
        return robots[-1]

    yield make
    for robot in robots:
        robot.close()


@pytest.fixture(scope="module")
def node(start_node):
    """A node with the parameters of FAKE; modules that need others have a fixture of their own."""
    return start_node()


@pytest.fixture(scope="module")
def robot(node, make_robot):
    """The other end of that node, once it is active."""
    from waiting import wait_until

    robot = make_robot()
    wait_until(lambda: robot.state() == "active", "the node is active")
    return robot


@pytest.fixture(scope="module")
def label_images(robot):
    """What that node says on ``~/label_image``."""
    return robot.listen("label_image")
