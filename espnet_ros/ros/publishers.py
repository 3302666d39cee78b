"""Publishers of the label, confidence and overlay images, and of the class names."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from espnet_ros.classes import ClassTable
from espnet_ros.image_encoding import ColorImage
from espnet_ros.overlay import blend_overlay
from espnet_ros.ros.conversions import image_to_msg
from espnet_ros.types import Segmentation

# Reliable publishers also serve best-effort subscribers. The short queue makes a slow subscriber lose images instead of
# blocking the node.
IMAGE_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Wanted(NamedTuple):
    """Which outputs have a subscriber."""

    labels: bool
    confidence: bool
    overlay: bool


class ImagePublishers:
    """Publishes labels, confidence and overlay of each camera image."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._labels = node.create_publisher(Image, "~/label_image", IMAGE_QOS)
        self._confidence = node.create_publisher(Image, "~/confidence", IMAGE_QOS)
        self._overlay = node.create_publisher(Image, "~/overlay", IMAGE_QOS)

    def wanted(self) -> Wanted:
        """Return which outputs have a subscriber."""
        return Wanted(
            *(publisher.get_subscription_count() > 0 for publisher in (self._labels, self._confidence, self._overlay))
        )

    def publish(
        self, header: Header, image: ColorImage, segmentation: Segmentation, wanted: Wanted, opacity: float
    ) -> None:
        """Publish the wanted outputs, labels first.

        Args:
            header: header of the camera image; all outputs get it.
            image: the camera image.
            segmentation: labels, and confidence if wanted.
            wanted: the outputs to publish.
            opacity: opacity of the class colours in the overlay, 0 to 1.
        """
        if wanted.labels:
            self._labels.publish(image_to_msg(header, segmentation.labels, "mono8"))
        if wanted.confidence and segmentation.confidence is not None:
            self._confidence.publish(image_to_msg(header, segmentation.confidence, "mono8"))
        if wanted.overlay:
            colors = blend_overlay(image, segmentation.labels, segmentation.class_table, opacity)
            self._overlay.publish(image_to_msg(header, colors, "rgb8"))

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._labels, self._confidence, self._overlay):
            self._node.destroy_publisher(publisher)


class LabelInfoPublisher:
    """Publishes the class names on ``~/label_info`` if vision_msgs is installed."""

    def __init__(self, node: Node) -> None:
        self._publisher: Optional[Any] = None
        try:
            from vision_msgs.msg import LabelInfo, VisionClass
        except ImportError:
            return
        self._info_type, self._class_type = LabelInfo, VisionClass
        self._publisher = node.create_publisher(LabelInfo, "~/label_info", LATCHED_QOS)

    def publish(self, header: Header, class_table: ClassTable, min_confidence: float) -> None:
        """Publish the classes of the engine in use (latched)."""
        if self._publisher is None:
            return
        message = self._info_type()
        message.header = header
        message.class_map = [self._class_type(class_id=row.id, class_name=row.name) for row in class_table.classes]
        message.threshold = float(min_confidence)
        self._publisher.publish(message)
