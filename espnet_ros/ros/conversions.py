"""Conversion of image messages to arrays and back.

``rgb8`` and ``bgr8`` are used without a copy, even with padded rows. Other encodings are converted by cv_bridge if
it is installed, else by OpenCV.
"""

from __future__ import annotations

import sys
from array import array
from functools import lru_cache
from typing import Union

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding import ColorImage, Layout, decode, is_compressed, view_raw

__all__ = ["ColorImage", "has_cv_bridge", "image_from_msg", "image_to_msg"]


def image_from_msg(message: Union[Image, CompressedImage]) -> ColorImage:
    """Return the pixels of a camera message.

    Raises:
        ImageError: the message breaks a rule; its ``kind`` is ``encoding``, ``size``, ``step``, ``data`` or
            ``compressed``.
    """
    if not is_compressed(message) and has_cv_bridge():
        raw, layout = view_raw(message)
        if layout is not None:
            return ColorImage(_convert_by_cv_bridge(raw, layout), "bgr")
    return decode(message)


@lru_cache(maxsize=None)
def has_cv_bridge() -> bool:
    """Return whether cv_bridge can be imported. Only apt installations of ROS have it."""
    try:
        import cv_bridge  # noqa: F401
    except ImportError:
        return False
    return True


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
    """Convert with cv_bridge. Not every release accepts padded rows or foreign byte order, so both are removed."""
    from cv_bridge import CvBridge, CvBridgeError

    message = image_to_msg(Header(), np.ascontiguousarray(raw).view(np.uint8).reshape(raw.shape[0], -1), layout.name)
    message.width = raw.shape[1]
    message.is_bigendian = int(sys.byteorder == "big")
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding="bgr8"))
    except CvBridgeError as error:
        raise ImageError("size", f"cv_bridge cannot convert {raw.shape} {layout.name} to bgr8: {error}") from error
