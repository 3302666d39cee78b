"""Encodings whose pixels lie one after the other.

The names are those of sensor_msgs/image_encodings.hpp, in lower case. YUV is converted with OpenCV's matrix, BT.601 in
limited range (Y 16..235), as in cv_bridge. 16-bit values are scaled from 0..65535 to 0..255.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple

import cv2
import numpy as np

Conversion = Callable[[np.ndarray], np.ndarray]


class ColorImage(NamedTuple):
    """An image in the format of the segmenter.

    Attributes:
        pixels: (H, W, 3) uint8. The array can share memory with its message, and its rows can be padded.
        channel_order: ``bgr`` or ``rgb``.
    """

    pixels: np.ndarray
    channel_order: str


class Layout(NamedTuple):
    """Memory layout of an encoding.

    Attributes:
        name: name of the encoding in sensor_msgs/image_encodings.hpp, which cv_bridge knows.
        channels: values per pixel.
        dtype: dtype of the values.
        to_bgr: converts (H, W) or (H, W, channels) to (H, W, 3) uint8 BGR.
        is_bayer: whether the values are a Bayer mosaic.
    """

    name: str
    channels: int
    dtype: Any
    to_bgr: Conversion
    is_bayer: bool = False


def to_8_bit(values: np.ndarray) -> np.ndarray:
    """Scale uint16 from 0..65535 to 0..255 and round, like cv_bridge."""
    return np.asarray(cv2.convertScaleAbs(values, alpha=255.0 / 65535.0))


def by_code(code: int) -> Conversion:
    """Return a conversion by ``cv2.cvtColor``; 16-bit values are scaled to 8 bits after it."""

    def convert(pixels: np.ndarray) -> np.ndarray:
        converted = np.asarray(cv2.cvtColor(pixels, code))
        return converted if converted.dtype == np.uint8 else to_8_bit(converted)

    return convert


def _of_both_depths(name: str, channels: int, code: int, is_bayer: bool = False) -> Dict[str, Layout]:
    convert = by_code(code)
    return {
        f"{name}8": Layout(f"{name}8", channels, np.uint8, convert, is_bayer),
        f"{name}16": Layout(f"{name}16", channels, np.uint16, convert, is_bayer),
    }


ZERO_COPY: Dict[str, str] = {"bgr8": "bgr", "rgb8": "rgb", "8uc3": "bgr"}
"""Channel order of the encodings that need no conversion."""

_UYVY = Layout("yuv422", 2, np.uint8, by_code(cv2.COLOR_YUV2BGR_UYVY))
_YUYV = Layout("yuv422_yuy2", 2, np.uint8, by_code(cv2.COLOR_YUV2BGR_YUY2))
_NAMED: Dict[str, Layout] = {
    **_of_both_depths("rgba", 4, cv2.COLOR_RGBA2BGR),
    **_of_both_depths("bgra", 4, cv2.COLOR_BGRA2BGR),
    **_of_both_depths("mono", 1, cv2.COLOR_GRAY2BGR),
    "rgb16": Layout("rgb16", 3, np.uint16, by_code(cv2.COLOR_RGB2BGR)),
    "bgr16": Layout("bgr16", 3, np.uint16, to_8_bit),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    # ROS names a Bayer pattern after its first two rows, OpenCV after the second and third pixels of its second row.
    **_of_both_depths("bayer_rggb", 1, cv2.COLOR_BayerBG2BGR, is_bayer=True),
    **_of_both_depths("bayer_bggr", 1, cv2.COLOR_BayerRG2BGR, is_bayer=True),
    **_of_both_depths("bayer_gbrg", 1, cv2.COLOR_BayerGR2BGR, is_bayer=True),
    **_of_both_depths("bayer_grbg", 1, cv2.COLOR_BayerGB2BGR, is_bayer=True),
}
LAYOUTS: Dict[str, Layout] = {
    **_NAMED,
    # OpenCV's order of the channels, blue first
    "8uc1": _NAMED["mono8"],
    "8uc4": _NAMED["bgra8"],
    "16uc1": _NAMED["mono16"],
    "16uc3": _NAMED["bgr16"],
    "16uc4": _NAMED["bgra16"],
}
"""Encodings with converted pixels, by name in lower case."""
