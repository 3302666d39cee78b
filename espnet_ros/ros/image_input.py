"""The camera's images: the node's subscription, what is missing in it, and why nothing comes."""

from __future__ import annotations

from typing import Callable, Dict, List, Union

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from espnet_ros.headers import clean_frame, stamp_nanoseconds
from espnet_ros.ros.publishers import CAMERA_QOS
from espnet_ros.runtime.image_gaps import ImageGaps
from espnet_ros.runtime.image_silence import COMPRESSED_IMAGE, IMAGE, explain_silence

_INPUTS = {"raw": (Image, IMAGE, "image"), "compressed": (CompressedImage, COMPRESSED_IMAGE, "image/compressed")}
"""By image_transport: the message, the name of its type, and the topic before remapping."""


def image_topic(node: Node, transport: str) -> str:
    """Return the full name of the topic that the images come on.

    Args:
        node: the node.
        transport: the parameter image_transport.
    """
    return str(node.resolve_topic_name(_INPUTS[transport][-1]))


class ImageInput:
    """Subscribes to the camera's images.

    Args:
        node: the node.
        transport: the parameter image_transport.
        offer: gets each image. Its frame is written as tf2 knows it.
    """

    def __init__(self, node: Node, transport: str, offer: Callable[[Union[Image, CompressedImage]], None]) -> None:
        self._node = node
        self._offer = offer
        self._gaps = ImageGaps()
        self._was_silent = False
        self._topic = image_topic(node, transport)
        message_type, self._type_name, topic = _INPUTS[transport]
        self._subscription = node.create_subscription(message_type, topic, self._on_image, CAMERA_QOS)

    def missing_share(self) -> float:
        """Return the share of the camera's images that do not arrive, from 0 to 1; 0 if it is unknown."""
        return self._gaps.missing_share()

    def explain_silence(self, silence: float, timeout: float) -> str:
        """Return why no image comes; "" if one has come lately. Log it once for each silence.

        Args:
            silence: seconds without an image.
            timeout: seconds after which it counts.
        """
        if silence <= timeout:
            self._was_silent = False
            return ""
        reason = explain_silence(self._topic, self._type_name, self._published_by_others())
        if not self._was_silent:
            self._node.get_logger().warning(f"no image on {self._topic} for {silence:.1f} s: {reason}")
        self._was_silent = True
        return reason

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _on_image(self, message: Union[Image, CompressedImage]) -> None:
        message.header.frame_id = clean_frame(message.header.frame_id)
        self._gaps.add(stamp_nanoseconds(message.header))
        self._offer(message)

    def _published_by_others(self) -> Dict[str, List[str]]:
        node = self._node
        own = (node.get_name(), node.get_namespace())
        return {
            topic: [
                publisher.topic_type
                for publisher in node.get_publishers_info_by_topic(topic)
                if (publisher.node_name, publisher.node_namespace) != own
            ]
            for topic, types in node.get_topic_names_and_types()
            if topic == self._topic or IMAGE in types or COMPRESSED_IMAGE in types
        }
