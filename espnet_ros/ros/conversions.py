"""Conversion of image messages to arrays and back."""

from __future__ import annotations

from array import array
from typing import Union

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from espnet_ros.image_encoding import ColorImage, decode

__all__ = ["ColorImage", "image_from_msg", "image_to_msg"]


def image_from_msg(message: Union[Image, CompressedImage]) -> ColorImage:
    """Return the pixels of a camera message; see ``decode``.

    Raises:
        ImageError: the message breaks a rule; its ``kind`` is ``encoding``, ``size``, ``step``, ``data`` or
            ``compressed``.
    """
    return decode(message)


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
