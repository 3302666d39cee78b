"""Decodes sensor_msgs/CompressedImage."""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np

from espnet_ros.errors import ImageError, one_line
from espnet_ros.image_encoding import jpeg
from espnet_ros.image_encoding.layouts import LAYOUTS, ColorImage, to_8_bit
from espnet_ros.image_encoding.pillow import UNREADABLE, read_size
from espnet_ros.image_encoding.raw import require_mosaic_size

MAX_PIXELS = 100_000_000
"""A header can claim more than the memory of the machine in a few bytes."""
_PNG_START, _PNG_END, _PNG_SIZE_AT = b"\x89PNG\r\n\x1a\n", b"IEND", 16
_WEBP = re.compile(rb"RIFF....WEBP", re.DOTALL)
_OTHER_STARTS = (b"II*\x00", b"MM\x00*", b"BM")  # TIFF in either byte order, BMP
_VIDEO_STARTS = (b"\x00\x00\x00\x01", b"\x00\x00\x01", b"OggS")  # H.264 and H.265; Theora
_VIDEO_NAMES = {"h264", "h265", "hevc", "avc", "avc1", "x264", "libx264", "x265", "libx265", "theora", "ffmpeg", "av1"}
_VIDEO_NAMES |= {"vp8", "vp9", "mpeg1", "mpeg2", "mpeg4", "video"}
_DEPTH_NAMES = {"compresseddepth", "rvl"}


class _Format(NamedTuple):
    """What the format of a message says.

    Attributes:
        words: its words in lower case.
        stored: encoding of the pixels in the file, in lower case; "" if the format does not say.
    """

    words: frozenset[str]
    stored: str


def decode_compressed(message: Any) -> ColorImage:
    """Decode a compressed image message without applying the rotation in its EXIF data; see ``decode``.

    A Bayer mosaic in the file is demosaiced, and red and blue are exchanged if the file has them in each other's place.

    Raises:
        ImageError: the file is damaged, incomplete or too large, or is no picture; ``kind`` is ``compressed``.
    """
    data = bytes(message.data)
    named = _parse_format(str(message.format))
    if named.words & _DEPTH_NAMES:
        raise ImageError(
            "compressed",
            f"a compressed image must be a camera's picture, is depth ('{message.format}'); "
            "subscribe to the colour image",
        )
    structure: Optional[jpeg.JpegFile] = None
    if data.startswith(jpeg.START):
        structure = jpeg.read_jpeg(data)
        data = data[: structure.end]
        _require_size(structure.height, structure.width)
    else:
        _check_other(data, message.format, named)
    pixels = _decode_file(data, message.format, is_mosaic=_is_bayer(named.stored))
    if structure is not None:
        jpeg.require_whole_picture(data, structure, pixels)
    return _as_color(pixels, named.stored)


def _parse_format(text: str) -> _Format:
    """Split a format of compressed_image_transport, ``RAW; CODEC compressed STORED``, or one with the codec alone.

    Without STORED, the pixels were stored as they were: https://github.com/ros-perception/image_transport_plugins.
    """
    lower = text.lower()
    raw, _, rest = lower.partition(";")
    _, is_transport, stored = rest.partition("compressed")
    raw, stored = raw.strip(), stored.strip()
    if not is_transport:
        stored = raw if _is_bayer(raw) else ""
    return _Format(frozenset(re.findall(r"[a-z0-9]+", lower)), stored or (raw if is_transport else ""))


def _check_other(data: bytes, file_format: str, named: _Format) -> None:
    """Check size and completeness of a file other than JPEG."""
    if data.startswith(_PNG_START):
        if _PNG_END not in data:
            raise ImageError(
                "compressed", f"a compressed image must be complete, has no end marker in {len(data)} bytes"
            )
        if len(data) >= _PNG_SIZE_AT + 8:
            width, height = struct.unpack_from(">II", data, _PNG_SIZE_AT)
            _require_size(height, width)
    elif _WEBP.match(data) or data.startswith(_OTHER_STARTS):
        try:
            size = read_size(data)
        except UNREADABLE as error:
            raise ImageError(
                "compressed", f"a compressed image must be readable, is damaged: {one_line(error)}"
            ) from error
        _require_size(*size)
    elif named.words & _VIDEO_NAMES or data.startswith(_VIDEO_STARTS):
        raise ImageError(
            "compressed",
            f"a compressed image must be a single picture, is video ('{file_format}'); decode it first, for example "
            "with the node republish of image_transport, and subscribe to the raw image",
        )
    else:
        raise ImageError(
            "compressed",
            f"a compressed image must be JPEG, PNG, WebP, TIFF or BMP, is '{file_format}' and starts with {data[:8]!r}",
        )


def _require_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise ImageError(
            "compressed",
            f"a compressed image must have at most {MAX_PIXELS} pixels, has {height * width} ({height}x{width})",
        )


def _decode_file(data: bytes, file_format: str, is_mosaic: bool) -> np.ndarray:
    """Return (H, W, 3), or for a mosaic perhaps (H, W), uint8 or uint16."""
    color = cv2.IMREAD_UNCHANGED if is_mosaic else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), color | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(
            "compressed", f"OpenCV cannot decode {len(data)} bytes of '{file_format}': {one_line(error)}"
        ) from error
    if pixels is None:
        raise ImageError("compressed", f"OpenCV cannot decode {len(data)} bytes of '{file_format}'")
    pixels = np.asarray(pixels)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError("compressed", f"a compressed image must have 8 or 16 bits per channel, has {pixels.dtype}")
    return pixels


def _is_bayer(encoding: str) -> bool:
    return encoding in LAYOUTS and LAYOUTS[encoding].is_bayer


def _as_color(pixels: np.ndarray, stored: str) -> ColorImage:
    """Convert decoded pixels to 8-bit colours."""
    if _is_bayer(stored) and pixels.ndim == 2:
        require_mosaic_size(pixels, stored)
        return ColorImage(LAYOUTS[stored].to_bgr(pixels), "bgr")
    pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)) if pixels.ndim == 2 else pixels[:, :, :3]
    # OpenCV writes the first channel as blue. A transport that hands it red there stores the two in each other's place.
    order = "rgb" if stored.startswith("rgb") else "bgr"
    return ColorImage(pixels if pixels.dtype == np.uint8 else to_8_bit(np.ascontiguousarray(pixels)), order)
