"""Nodes in processes of their own for the measurements, and a camera that feeds them."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PERIOD = 1 / 15  # s, between two images of the camera
TRIES = 3
"""The best of these counts: another program takes the processor for longer than a period now and then."""
FAKE = {"backend": "fake", "weights": "cityscapes", "input_height": 48, "input_width": 64}
"""Parameters of a node that needs no file."""


class RunningNode(NamedTuple):
    """A configured node that is not active yet, the robot that talks to it, and its answers."""

    process: Any
    robot: Any
    labels: Any


def reason_without_ros() -> str:
    """Why no node can be measured; "" if one can."""
    try:
        import rclpy  # noqa: F401
        from robot import NodeProcess  # noqa: F401
    except ImportError as error:
        return f"needs ROS 2: {error}"
    return ""


@contextmanager
def running_node(namespace, parameters, environment=None, program=("-m", "espnet_ros.ros.node")):
    """Start a node, and end it with the block.

    Args:
        namespace: of the node and the robot.
        parameters: ROS parameters.
        environment: variables besides those of this process.
        program: what Python runs.
    """
    from robot import NodeProcess, Robot

    with tempfile.TemporaryDirectory() as folder:
        parameters = {"autostart": False, "image_timeout": 5.0, "diagnostics_period": 0.2, **parameters}
        node = NodeProcess(Path(folder) / "log.txt", parameters, namespace, environment, program)
        robot = Robot(namespace)
        try:
            labels = robot.listen("label_image")
            assert robot.change_state("configure"), node.log
            yield RunningNode(node, robot, labels)
        finally:
            robot.close()
            node.end()


@contextmanager
def camera(publisher, size, period=PERIOD):
    """Send even images of a size until the block ends, and give it the list of their stamps."""
    from robot import make_image

    sent, is_ending = [], threading.Event()

    def publish():
        image = make_image(height=size.height, width=size.width)
        start = time.monotonic()
        while not is_ending.wait(max(0.0, start + len(sent) * period - time.monotonic())):
            image.header.stamp = make_image().header.stamp
            sent.append(image.header.stamp.nanosec)
            publisher.publish(image)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield sent
    finally:
        is_ending.set()
        thread.join()


def publish_all(publisher, messages, period):
    """Publish messages, a period apart, each with a stamp of its own.

    Returns:
        when each was published (``time.monotonic``), by nanoseconds of its stamp.
    """
    from robot import make_image

    published = {}
    start = time.monotonic()
    for index, message in enumerate(messages):
        time.sleep(max(0.0, start + index * period - time.monotonic()))
        message.header.stamp = make_image().header.stamp
        published[message.header.stamp.nanosec] = time.monotonic()
        publisher.publish(message)
    return published


def latencies(labels, published):
    """Seconds from each published image to its answer, in the order of the answers."""
    answers = ((message.header.stamp.nanosec, at) for message, at in zip(labels.messages, labels.times))
    return [at - published[stamp] for stamp, at in answers if stamp in published]


def use_own_domain():
    """Keep the nodes apart from any others on the machine. Returns the lock to hold on to."""
    import ros_domain

    os.environ.pop("ROS_DOMAIN_ID", None)
    return ros_domain.use_own_domain()
