"""Pixels of image messages, raw and compressed, from rclpy or from a bag reader. Uses only the messages' fields.

``layouts.py`` and ``planar.py`` hold the encodings, ``raw.py`` reads sensor_msgs/Image, ``compressed.py`` reads
sensor_msgs/CompressedImage, ``jpeg.py`` finds incomplete JPEG files, ``pillow.py`` reads a file's header.
May import only errors. Start with ``messages.py``.
"""

from espnet_ros.image_encoding.layouts import ColorImage
from espnet_ros.image_encoding.messages import decode
from espnet_ros.image_encoding.raw import decode_ids

__all__ = ["ColorImage", "decode", "decode_ids"]
