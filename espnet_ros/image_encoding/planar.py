"""YUV encodings whose brightness and colour lie in separate planes: NV12, NV21, NV24, I420 and YV12.

Layouts: https://www.kernel.org/doc/html/latest/userspace-api/media/v4l/pixfmt-yuv-planar.html. sensor_msgs names the
first three; camera drivers publish the 4:2:0 planar ones under the names of V4L2, GStreamer and FFmpeg.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

import cv2
import numpy as np

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding.layouts import Conversion, by_code


class PlanarLayout(NamedTuple):
    """The planes after the first one, which has a byte of brightness for each pixel.

    Attributes:
        planes: number of colour planes.
        rows_per_row: rows of pixels that share a row of a colour plane.
        bytes_per_pair: bytes in a row of a colour plane for two pixels.
        to_bgr: converts all planes, joined to (rows, W) uint8, to (H, W, 3) uint8 BGR.
    """

    planes: int
    rows_per_row: int
    bytes_per_pair: int
    to_bgr: Conversion


def _nv24_to_bgr(joined: np.ndarray) -> np.ndarray:
    """Convert NV24, which OpenCV does not know, as UYVY of twice the width, in which each pixel has its own colour."""
    height, width = joined.shape[0] // 3, joined.shape[1]
    chroma = joined[height:].reshape(height, width, 2)  # (2H, W) -> (H, W, UV)
    uyvy = np.empty((height, width, 4), np.uint8)
    uyvy[:, :, 0::2] = chroma
    uyvy[:, :, 1::2] = joined[:height, :, None]
    twice = cv2.cvtColor(uyvy.reshape(height, 2 * width, 2), cv2.COLOR_YUV2BGR_UYVY)  # (H, W, UYVY) -> (H, 2W, 2)
    return np.ascontiguousarray(twice[:, ::2])


_I420 = PlanarLayout(2, 2, 1, by_code(cv2.COLOR_YUV2BGR_I420))
_YV12 = PlanarLayout(2, 2, 1, by_code(cv2.COLOR_YUV2BGR_YV12))
PLANAR: Dict[str, PlanarLayout] = {
    "nv12": PlanarLayout(1, 2, 2, by_code(cv2.COLOR_YUV2BGR_NV12)),
    "nv21": PlanarLayout(1, 2, 2, by_code(cv2.COLOR_YUV2BGR_NV21)),
    "nv24": PlanarLayout(1, 1, 4, _nv24_to_bgr),
    "i420": _I420,
    "yuv420": _I420,
    "yuv420p": _I420,
    "yu12": _I420,
    "iyuv": _I420,
    "yv12": _YV12,
}
"""Encodings in planes, by name in lower case."""


def decode_planar(message: Any, layout: PlanarLayout) -> np.ndarray:
    """Convert a message in planes to (H, W, 3) uint8 BGR.

    Raises:
        ImageError: width or height is odd where pixels share colours, or step and data do not fit them.
    """
    height, width = message.height, message.width
    is_shared = layout.rows_per_row > 1
    if is_shared and (height % 2 or width % 2):
        raise ImageError(
            "size", f"a {message.encoding} image's height and width must be even, are {height} and {width}"
        )
    data = np.frombuffer(memoryview(message.data), np.uint8)
    rows = layout.planes * height // layout.rows_per_row
    chroma_row = width * layout.bytes_per_pair // 2
    packed = height * width + rows * chroma_row
    step = _brightness_step(message, packed)
    chroma_step = step * layout.bytes_per_pair // 2
    needed = height * step + (rows - 1) * chroma_step + chroma_row
    if len(data) < needed:
        raise ImageError(
            "data",
            f"the data of a {message.encoding} image of {height}x{width} pixels must have at least {needed} bytes "
            f"(step {step}), have {len(data)}",
        )
    if step == width:
        return layout.to_bgr(data[:packed].reshape(-1, width))  # bytes of all planes -> (rows, W)
    planes: List[np.ndarray] = [
        np.ndarray((height, width), np.uint8, data, 0, (step, 1)),
        np.ndarray((rows, chroma_row), np.uint8, data, height * step, (chroma_step, 1)),
    ]
    return layout.to_bgr(np.concatenate([plane.ravel() for plane in planes]).reshape(-1, width))


def _brightness_step(message: Any, packed: int) -> int:
    """Return the bytes from one row of brightness to the next.

    Drivers disagree on ``step``: that number (camera_ros), the bytes of all planes divided by the height (depthai), or
    0. The data tell them apart: with one of the other two they have exactly ``packed`` bytes, the size without padding.
    """
    height, width, step = message.height, message.width, message.step
    if len(message.data) == packed and (step == 0 or step * height == packed):
        return int(width)
    if step < width:
        raise ImageError(
            "step",
            f"the step of a {message.encoding} image must be at least {width} for {width} pixels, or 0 for {packed} "
            f"bytes of data, is {step} with {len(message.data)}",
        )
    return int(step)
