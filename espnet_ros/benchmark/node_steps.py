"""The node's own functions around the segmenter, and a publisher with a subscriber in another process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from array import array
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional

import cv2
import numpy as np

from espnet_ros.benchmark.frame import NodeSteps
from espnet_ros.errors import NodeError

ENCODINGS = ("rgb8", "bgr8", "jpeg")
_TOPIC = "espnet_benchmark/label_image"
_READER_TIMEOUT = 60.0  # s
_POLL = 0.05  # s


@contextmanager
def node_steps() -> Iterator[NodeSteps]:
    """Provide the steps of the node around the segmenter. Labels are published if rclpy is installed.

    Raises:
        NodeError: the messages are not installed, or the subscriber does not start in time.
    """
    if not _is_installed("sensor_msgs"):
        raise NodeError("timing a frame needs the ROS 2 messages: Python module 'sensor_msgs' is not installed")
    from espnet_ros.ros.conversions import image_from_msg, image_to_msg

    def build(header: Any, labels: np.ndarray) -> Any:
        return image_to_msg(header, labels, "mono8")

    with _publisher() as publish:
        yield NodeSteps(image_from_msg, build, publish)


def camera_message(image: np.ndarray, encoding: str) -> Any:
    """Return the message of a camera.

    Args:
        image: (H, W, 3) uint8 BGR.
        encoding: one of ``ENCODINGS``; ``jpeg`` gives a CompressedImage.
    """
    from sensor_msgs.msg import CompressedImage
    from std_msgs.msg import Header

    from espnet_ros.ros.conversions import image_to_msg

    if encoding == "jpeg":
        message = CompressedImage(format="bgr8; jpeg compressed bgr8")
        message.data = array("B", cv2.imencode(".jpg", image)[1].tobytes())
        return message
    pixels = image if encoding == "bgr8" else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return image_to_msg(Header(), pixels, encoding)


@contextmanager
def _publisher() -> Iterator[Optional[Callable[[Any], None]]]:
    """Provide a function that publishes label images as the node does; None without rclpy."""
    if not _is_installed("rclpy"):
        yield None
        return
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image

    from espnet_ros.ros.log_folder import log_arguments
    from espnet_ros.ros.publishers import IMAGE_QOS

    context = rclpy.Context()
    rclpy.init(args=log_arguments(), context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node("espnet_benchmark", context=context)
        publisher = node.create_publisher(Image, _TOPIC, IMAGE_QOS)
        with _reader():
            _wait_for_reader(publisher)
            yield publisher.publish
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)


def _wait_for_reader(publisher: Any) -> None:
    deadline = time.monotonic() + _READER_TIMEOUT
    while publisher.get_subscription_count() == 0:
        if time.monotonic() > deadline:
            raise NodeError(f"{_TOPIC} has no subscriber: it did not start within {_READER_TIMEOUT:.0f} s")
        time.sleep(_POLL)


@contextmanager
def _reader() -> Iterator[None]:
    """Run a process that subscribes to the topic until its standard input closes, also if this process dies."""
    process = subprocess.Popen(
        [sys.executable, "-m", "espnet_ros.benchmark.label_reader", _TOPIC], stdin=subprocess.PIPE
    )
    try:
        yield
    finally:
        process.communicate()


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
