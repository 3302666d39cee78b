"""Conversion of image messages to arrays and back.

``rgb8`` and ``bgr8`` are used without a copy, even with padded rows. cv_bridge converts the other encodings that it
knows, if it is installed; OpenCV converts the rest.
"""

from __future__ import annotations

import sys
from array import array
from functools import lru_cache
from typing import Union

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from espnet_ros.errors import ImageError, one_line
from espnet_ros.image_encoding import ColorImage, decode
from espnet_ros.image_encoding.layouts import Layout

__all__ = ["ColorImage", "has_cv_bridge", "image_from_msg", "image_to_msg"]


def image_from_msg(message: Union[Image, CompressedImage]) -> ColorImage:
    """Return the pixels of a camera message; see ``decode``.

    Raises:
        ImageError: the message breaks a rule; its ``kind`` is ``encoding``, ``size``, ``step``, ``data`` or
            ``compressed``.
    """
    return decode(message, _convert_by_cv_bridge if has_cv_bridge() else None)


@lru_cache(maxsize=None)
def has_cv_bridge() -> bool:
    """Return whether cv_bridge is installed and works. A build for numpy 1, for example, fails with numpy 2."""
    try:
        from cv_bridge import CvBridge

        pixel = image_to_msg(Header(), np.zeros((1, 1), np.uint8), "mono8")
        return bool(CvBridge().imgmsg_to_cv2(pixel, desired_encoding="bgr8").shape == (1, 1, 3))
    except Exception:  # a library that does not fit raises errors of any type
        return False


def image_to_msg(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    """Convert an array to a message.

    Args:
        header: header of the image the array was computed from.
        pixels: (H, W) or (H, W, 3) uint8.
        encoding: ``mono8``, ``rgb8`` or ``bgr8``, matching the shape.
    """
    message = Image()
    message.header = header
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = pixels[0].size
    # rclpy checks any other type than array.array byte by byte.
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data)
    message.data = data
    return message


def _convert_by_cv_bridge(raw: np.ndarray, layout: Layout) -> np.ndarray:
    """Convert with cv_bridge. ``raw`` has no padded rows or foreign byte order, which not every release accepts."""
    from cv_bridge import CvBridge, CvBridgeError

    message = image_to_msg(Header(), raw.view(np.uint8).reshape(raw.shape[0], -1), layout.name)
    message.width = raw.shape[1]
    message.is_bigendian = int(sys.byteorder == "big")
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding="bgr8"))
    except CvBridgeError as error:
        raise ImageError(
            "size", f"cv_bridge cannot convert {raw.shape} {layout.name} to bgr8: {one_line(error)}"
        ) from error
