"""Decodes an image message of either type."""

from __future__ import annotations

from typing import Any, Optional

from espnet_ros.image_encoding.compressed import decode_compressed
from espnet_ros.image_encoding.layouts import ColorImage
from espnet_ros.image_encoding.raw import Converter, decode_raw


def decode(message: Any, converter: Optional[Converter] = None) -> ColorImage:
    """Decode a raw or compressed image message.

    ``rgb8`` and ``bgr8`` are not copied: the result is a view of the message's memory. OpenCV converts other encodings.

    Args:
        message: a sensor_msgs/Image or sensor_msgs/CompressedImage, or an object with the same fields.
        converter: see ``decode_raw``.

    Raises:
        ImageError: the message breaks a rule. ``kind`` is ``encoding``, ``size``, ``step``, ``data`` or ``compressed``.
    """
    is_raw = hasattr(message, "encoding")
    return decode_raw(message, converter) if is_raw else decode_compressed(message)
