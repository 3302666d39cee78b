"""Decodes image messages from rclpy or from a bag reader. Uses only the messages' fields, so it needs no ROS."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from espnet_ros.errors import ImageError

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"


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
        name: name of the encoding in cv_bridge.
        channels: values per pixel.
        dtype: dtype of the values.
        to_bgr: converts (H, W) or (H, W, channels) to (H, W, 3) uint8 BGR.
    """

    name: str
    channels: int
    dtype: Any
    to_bgr: Callable[[np.ndarray], np.ndarray]


def _by_code(code: int) -> Callable[[np.ndarray], np.ndarray]:
    def convert(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.cvtColor(pixels, code))

    return convert


def _mono16_to_bgr(pixels: np.ndarray) -> np.ndarray:
    """Scale 0..65535 to 0..255 and round, like cv_bridge."""
    return np.asarray(cv2.cvtColor(cv2.convertScaleAbs(pixels, alpha=255.0 / 65535.0), cv2.COLOR_GRAY2BGR))


_MONO8 = Layout("mono8", 1, np.uint8, _by_code(cv2.COLOR_GRAY2BGR))
_UYVY = Layout("yuv422", 2, np.uint8, _by_code(cv2.COLOR_YUV2BGR_UYVY))
_YUYV = Layout("yuv422_yuy2", 2, np.uint8, _by_code(cv2.COLOR_YUV2BGR_YUY2))
_ZERO_COPY: Dict[str, str] = {"bgr8": "bgr", "rgb8": "rgb", "8UC3": "bgr"}
# ROS names a Bayer pattern after its first two rows, OpenCV after the second and third pixels of its second row.
_LAYOUTS: Dict[str, Layout] = {
    "rgba8": Layout("rgba8", 4, np.uint8, _by_code(cv2.COLOR_RGBA2BGR)),
    "bgra8": Layout("bgra8", 4, np.uint8, _by_code(cv2.COLOR_BGRA2BGR)),
    "8UC4": Layout("bgra8", 4, np.uint8, _by_code(cv2.COLOR_BGRA2BGR)),
    "mono8": _MONO8,
    "8UC1": _MONO8,
    "mono16": Layout("mono16", 1, np.uint16, _mono16_to_bgr),
    "16UC1": Layout("mono16", 1, np.uint16, _mono16_to_bgr),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "bayer_rggb8": Layout("bayer_rggb8", 1, np.uint8, _by_code(cv2.COLOR_BayerBG2BGR)),
    "bayer_bggr8": Layout("bayer_bggr8", 1, np.uint8, _by_code(cv2.COLOR_BayerRG2BGR)),
    "bayer_gbrg8": Layout("bayer_gbrg8", 1, np.uint8, _by_code(cv2.COLOR_BayerGR2BGR)),
    "bayer_grbg8": Layout("bayer_grbg8", 1, np.uint8, _by_code(cv2.COLOR_BayerGB2BGR)),
}


def decode(message: Any) -> ColorImage:
    """Decode a raw or compressed image message.

    ``rgb8`` and ``bgr8`` are not copied: the result is a view of the message's memory. OpenCV converts other encodings.

    Args:
        message: a sensor_msgs/Image or sensor_msgs/CompressedImage, or an object with the same fields.

    Raises:
        ImageError: the message breaks a rule. ``kind`` is ``encoding``, ``size``, ``step``, ``data`` or ``compressed``.
    """
    if is_compressed(message):
        return _decompress(message)
    raw, layout = view_raw(message)
    if layout is None:
        return ColorImage(raw, _ZERO_COPY[message.encoding])
    return ColorImage(layout.to_bgr(np.ascontiguousarray(raw)), "bgr")


def decode_ids(message: Any) -> np.ndarray:
    """Decode a message with one byte per pixel (mono8 or 8UC1), such as a label image, to (H, W) uint8.

    Raises:
        ImageError: the message has another encoding or breaks a rule.
    """
    if message.encoding not in ("mono8", "8UC1"):
        raise ImageError("encoding", f"a label image's encoding must be mono8 or 8UC1, is '{message.encoding}'")
    return _view(message, 1, np.uint8)


def is_compressed(message: Any) -> bool:
    """Return whether a message is a sensor_msgs/CompressedImage."""
    return not hasattr(message, "encoding")


def view_raw(message: Any) -> Tuple[np.ndarray, Optional[Layout]]:
    """Return a view of a raw image message's memory, and its layout; None for RGB and BGR, which need no conversion.

    Raises:
        ImageError: the message breaks a rule.
    """
    if message.encoding in _ZERO_COPY:
        return _view(message, 3, np.uint8), None
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        known = ", ".join([*_ZERO_COPY, *_LAYOUTS])
        raise ImageError("encoding", f"image encoding must be one of {known}; is '{message.encoding}'")
    raw = _view(message, layout.channels, layout.dtype)
    if layout.channels == 2 and message.width % 2:
        raise ImageError("size", f"a {message.encoding} image's width must be even, is {message.width}")
    if layout.name.startswith("bayer") and min(message.height, message.width) < 2:
        raise ImageError(
            "size", f"a {message.encoding} image must be at least 2x2, is {message.height}x{message.width}"
        )
    return raw, layout


def _view(message: Any, channels: int, dtype: Any) -> np.ndarray:
    """Return the message's memory as (H, W) or (H, W, channels); copies it only to change the byte order."""
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0:
        raise ImageError("size", f"image height and width must be above 0, are {height} and {width}")
    itemsize = np.dtype(dtype).itemsize
    row = width * channels * itemsize
    if step < row:
        raise ImageError(
            "step", f"image step must be at least {row} for {width} pixels of {message.encoding}, is {step}"
        )
    needed = step * (height - 1) + row
    if len(message.data) < needed:
        raise ImageError(
            "data",
            f"image data must have at least {needed} bytes (step {step}, height {height}), have {len(message.data)}",
        )
    swapped = bool(message.is_bigendian) == (sys.byteorder == "little")
    stored = np.dtype(dtype).newbyteorder("S") if itemsize > 1 and swapped else np.dtype(dtype)
    shape: Tuple[int, ...] = (height, width) if channels == 1 else (height, width, channels)
    strides = (step, channels * itemsize, itemsize)[: len(shape)]
    pixels = np.ndarray(shape, stored, buffer=memoryview(message.data), strides=strides)
    return pixels.astype(dtype) if stored != np.dtype(dtype) else pixels


def _decompress(message: Any) -> ColorImage:
    """Decode JPEG or PNG without applying the rotation in its EXIF data.

    cv_bridge makes the same OpenCV call, but rotates the image.
    """
    data = bytes(message.data)
    if data.startswith(_JPEG_START):
        # a thumbnail in the EXIF data has an end marker too
        is_whole = data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    elif data.startswith(_PNG_START):
        is_whole = _PNG_END in data
    else:
        raise ImageError(
            "compressed", f"a compressed image must be JPEG or PNG, is '{message.format}' and starts with {data[:8]!r}"
        )
    # OpenCV silently fills missing parts with grey
    if not is_whole:
        raise ImageError("compressed", f"a compressed image must be complete, has no end marker in {len(data)} bytes")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(
            "compressed", f"OpenCV cannot decode {len(data)} bytes of {message.format}: {error}"
        ) from error
    if pixels is None:
        raise ImageError("compressed", f"OpenCV cannot decode {len(data)} bytes of '{message.format}'")
    return ColorImage(np.asarray(pixels), "bgr")
