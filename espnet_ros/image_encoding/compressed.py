"""Decodes sensor_msgs/CompressedImage."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np

from espnet_ros.errors import ImageError, one_line
from espnet_ros.image_encoding import jpeg
from espnet_ros.image_encoding.layouts import LAYOUTS, ColorImage, to_8_bit
from espnet_ros.image_encoding.pillow import UNREADABLE, read_size
from espnet_ros.image_encoding.raw import require_mosaic_size

MAX_PIXELS = 64_000_000
"""A header can claim more than the memory of the machine in a few bytes."""
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = struct.Struct(">4sIIBB3xI")  # IHDR, width, height, bits, colour type, checksum; at byte 12
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MAX_DEFLATE_RATIO = 1032  # https://www.zlib.net/zlib_tech.html
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
    elif data.startswith(_PNG_START):
        data = _read_png(data)
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
    """Check the size of a file other than JPEG and PNG; say what it is if it is no picture."""
    if _WEBP.match(data) or data.startswith(_OTHER_STARTS):
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


def _read_png(data: bytes) -> bytes:
    """Return a PNG file without what follows its end.

    OpenCV allocates what a chunk's length claims, so the lengths are checked; libpng checks the rest of the content.

    Raises:
        ImageError: a chunk is cut off, the header is damaged, or the file is too short for the size that it claims.
    """
    position = len(_PNG_START)
    kind = b""
    while kind != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        position += 12 + length
        if position > len(data):
            raise ImageError(
                "compressed", f"a compressed image must be complete, has no end marker in {len(data)} bytes"
            )
    header = data[12 : 12 + _PNG_HEADER.size].ljust(_PNG_HEADER.size)
    kind, width, height, bits, color_type, checksum = _PNG_HEADER.unpack(header)
    if kind != b"IHDR" or checksum != zlib.crc32(data[12:29]):
        raise ImageError("compressed", "a compressed image must be readable, has a damaged PNG header")
    _require_size(height, width)
    if height * width * bits * _PNG_CHANNELS.get(color_type, 1) // 8 > _MAX_DEFLATE_RATIO * len(data):
        raise ImageError(
            "compressed", f"a compressed image must be complete, has {len(data)} bytes for {height}x{width} pixels"
        )
    return data[:position]


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
