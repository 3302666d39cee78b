"""Camera messages to arrays and back.

``rgb8`` and ``bgr8`` are looked at where they lie in the message, padding included. Everything else goes through
cv_bridge where that is installed, and through OpenCV otherwise.
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
    """Pixels of a camera message.

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
    """Whether cv_bridge can be imported. It exists in apt installs of ROS alone."""
    try:
        import cv_bridge  # noqa: F401
    except ImportError:
        return False
    return True


def image_to_msg(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    """An array as a message.

    Args:
        header: stamp and frame of the image that the array came from.
        pixels: (H, W) or (H, W, 3) uint8.
        encoding: ``mono8``, ``rgb8`` or ``bgr8``, to match the shape.
    """
    message = Image()
    message.header = header
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = pixels[0].size
    # Anything but array.array is checked byte by byte on its way into a message.
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data)
    message.data = data
    return message


def _convert_by_cv_bridge(raw: np.ndarray, layout: Layout) -> np.ndarray:
    """cv_bridge gets a message without padding, in the machine's byte order: not every release takes others."""
    from cv_bridge import CvBridge, CvBridgeError

    message = image_to_msg(Header(), np.ascontiguousarray(raw).view(np.uint8).reshape(raw.shape[0], -1), layout.name)
    message.width = raw.shape[1]
    message.is_bigendian = int(sys.byteorder == "big")
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding="bgr8"))
    except CvBridgeError as error:
        raise ImageError("size", f"cv_bridge cannot convert {raw.shape} {layout.name} to bgr8: {error}") from error
