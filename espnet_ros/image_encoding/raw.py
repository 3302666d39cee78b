"""Decodes sensor_msgs/Image."""

from __future__ import annotations

import sys
from typing import Any, Callable, Optional, Tuple

import numpy as np

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding.layouts import LAYOUTS, ZERO_COPY, ColorImage, Layout
from espnet_ros.image_encoding.planar import PLANAR, decode_planar

_SMALLEST_MOSAIC = 3
"""Pixels: OpenCV leaves smaller mosaics black."""


Converter = Callable[[np.ndarray, Layout], np.ndarray]


def decode_raw(message: Any, converter: Optional[Converter] = None) -> ColorImage:
    """Decode a raw image message; see ``decode``.

    Args:
        message: a sensor_msgs/Image, or an object with the same fields.
        converter: converts contiguous (H, W) or (H, W, channels) pixels to (H, W, 3) uint8 BGR, in place of OpenCV.

    Raises:
        ImageError: the message breaks a rule. ``kind`` is ``encoding``, ``size``, ``step`` or ``data``.
    """
    encoding = message.encoding.strip().lower()
    if encoding in ZERO_COPY:
        return ColorImage(_view(message, 3, np.uint8), ZERO_COPY[encoding])
    if encoding in PLANAR:
        _require_pixels(message)
        return ColorImage(decode_planar(message, PLANAR[encoding]), "bgr")
    layout = LAYOUTS.get(encoding)
    if layout is None:
        known = ", ".join([*ZERO_COPY, *LAYOUTS, *PLANAR])
        raise ImageError("encoding", f"image encoding must be one of {known}; is '{message.encoding}'")
    raw = _view(message, layout.channels, layout.dtype)
    if layout.channels == 2 and message.width % 2:
        raise ImageError("size", f"a {message.encoding} image's width must be even, is {message.width}")
    if layout.is_bayer:
        require_mosaic_size(raw, message.encoding)
    raw = np.ascontiguousarray(raw)
    return ColorImage(layout.to_bgr(raw) if converter is None else converter(raw, layout), "bgr")


def decode_ids(message: Any) -> np.ndarray:
    """Decode a message with one byte per pixel (mono8 or 8UC1), such as a label image, to (H, W) uint8.

    Raises:
        ImageError: the message has another encoding or breaks a rule.
    """
    if message.encoding.strip().lower() not in ("mono8", "8uc1"):
        raise ImageError("encoding", f"a label image's encoding must be mono8 or 8UC1, is '{message.encoding}'")
    return _view(message, 1, np.uint8)


def require_mosaic_size(mosaic: np.ndarray, encoding: str) -> None:
    """Check that a Bayer mosaic is large enough to interpolate.

    Raises:
        ImageError: it is not; ``kind`` is ``size``.
    """
    if min(mosaic.shape) < _SMALLEST_MOSAIC:
        height, width = mosaic.shape
        smallest = f"{_SMALLEST_MOSAIC}x{_SMALLEST_MOSAIC}"
        raise ImageError("size", f"a {encoding} image must be at least {smallest}, is {height}x{width}")


def _require_pixels(message: Any) -> None:
    if message.height < 1 or message.width < 1:
        raise ImageError("size", f"image height and width must be above 0, are {message.height} and {message.width}")


def _view(message: Any, channels: int, dtype: Any) -> np.ndarray:
    """Return the message's memory as (H, W) or (H, W, channels); copies it only to change the byte order."""
    _require_pixels(message)
    height, width, step = message.height, message.width, message.step
    itemsize = np.dtype(dtype).itemsize
    row = width * channels * itemsize
    if step == 0 and len(message.data) == height * row:
        step = row  # some drivers leave it out
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
