"""Finds incomplete JPEG files, which decoders complete with grey instead of refusing them.

The structure is that of ITU-T T.81, annex B. Only markers are read here; decoding is left to OpenCV and Pillow.
"""

from __future__ import annotations

import re
import struct
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding.pillow import UNREADABLE, read_reduced

START = b"\xff\xd8"
_END, _SCAN, _RESTART_INTERVAL = 0xD9, 0xDA, 0xDD
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_FIRST_ARITHMETIC = 0xC9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_COEFFICIENTS = 64  # per block
_FILLER = bytes((37 * index * index + 91 * index + 13) % 255 for index in range(512))
"""Scan data without markers that no encoder writes to fill a picture evenly."""
_SMALL_FILE = 16 * 1024
"""Bytes: decoding a file of this size again costs less than a millisecond."""
_DIVISOR = 4  # at an eighth, the scans of a progressive file that refine it would not show
_MAX_PIXELS_PER_BYTE = 1000
"""A block has at least one bit, and no sampling spreads the blocks over more than 512 pixels a byte."""
_GREY, _GREY_TOLERANCE = 128, 8
"""What decoders paint where data are missing."""


class _Frame(NamedTuple):
    marker: int
    height: int
    width: int
    sampling: Dict[int, Tuple[int, int]]  # (horizontal, vertical) by component


class JpegFile(NamedTuple):
    """Structure of a JPEG file with all its scans.

    Attributes:
        height: of the picture.
        width: of the picture.
        components: number of components: 1 for grey, 3 for colour, 4 for CMYK.
        scans: number of scans; a baseline file usually has one, a progressive one several.
        scan_end: index of the first byte after the last scan.
        end: index of the first byte after the end marker.
        is_arithmetic: whether the scans are arithmetic-coded.
    """

    height: int
    width: int
    components: int
    scans: int
    scan_end: int
    end: int
    is_arithmetic: bool


def read_jpeg(data: bytes) -> JpegFile:
    """Read the markers of a JPEG file. Bytes after its end are allowed.

    Raises:
        ImageError: the file is cut off, lacks scans or restart intervals, or does not have 8 bits per sample.
    """
    frame: Optional[_Frame] = None
    missing: Dict[Tuple[int, int], int] = {}  # bits that a coefficient of a component still lacks
    interval = scans = scan_end = 0
    position = len(START)
    while True:
        marker, position = _next_marker(data, position)
        if marker == _END:
            break
        if marker in _WITHOUT_LENGTH:
            continue
        segment = _segment(data, position)
        position += 2 + len(segment)
        if marker in _FRAMES:
            frame = _read_frame(marker, segment)
            missing = {(name, index): 1 for name in frame.sampling for index in range(_COEFFICIENTS)}
        elif marker == _RESTART_INTERVAL and len(segment) >= 2:
            (interval,) = struct.unpack_from(">H", segment)
        elif marker == _SCAN and frame is not None:
            names = _read_scan(segment, missing)
            found = _AFTER_SCAN.search(data, position)
            if found is None:
                raise _incomplete(f"no end marker in {len(data)} bytes")
            if interval:
                restarts = len(_RESTART.findall(data, position, found.start()))
                _require_restarts(frame, names, interval, restarts)
            position = scan_end = found.start()
            while data[scan_end - 1] == 0xFF:  # fill bytes before the marker
                scan_end -= 1
            scans += 1
    if frame is None or not scans:
        raise _incomplete("no picture before its end marker")
    if any(missing.values()):
        raise _incomplete(f"not all of its scans, only {scans}")
    is_arithmetic = frame.marker >= _FIRST_ARITHMETIC
    if not is_arithmetic and frame.height * frame.width > _MAX_PIXELS_PER_BYTE * position:
        raise _incomplete(f"{position} bytes for {frame.height}x{frame.width} pixels")
    return JpegFile(frame.height, frame.width, len(frame.sampling), scans, scan_end, position, is_arithmetic)


def require_whole_picture(data: bytes, jpeg: JpegFile, pixels: np.ndarray) -> None:
    """Check that the last scan was not cut off before an end marker.

    Decoders fill what is missing with grey. So if the picture ends in grey, or if that would not show (several scans,
    CMYK), or if the file is small, it is decoded again with more bytes in the last scan: they change the picture only
    if something was missing, since a decoder passes over what follows a complete scan.

    Args:
        data: the file.
        jpeg: its structure.
        pixels: (H, W) or (H, W, C) uint8, as decoded.

    Raises:
        ImageError: the scan was cut off.
    """
    is_grey = bool((np.abs(pixels[-1, -1].astype(int) - _GREY) <= _GREY_TOLERANCE).all())
    is_suspect = is_grey or jpeg.scans > 1 or jpeg.components > 3 or jpeg.end <= _SMALL_FILE
    if jpeg.is_arithmetic or not is_suspect:
        return
    filled = data[: jpeg.scan_end] + _FILLER + data[jpeg.scan_end : jpeg.end]
    try:
        reduced = read_reduced(data[: jpeg.end], _DIVISOR)
        is_whole = np.array_equal(reduced, read_reduced(filled, _DIVISOR))
    except UNREADABLE:
        return  # OpenCV read it, so it is left at that
    if not is_whole:
        raise _incomplete("a scan that ends before the picture")


def _next_marker(data: bytes, position: int) -> Tuple[int, int]:
    """Return the next marker's code and the index after it."""
    while True:
        start = data.find(b"\xff", position)
        if start < 0 or start + 1 >= len(data):
            raise _incomplete(f"no end marker in {len(data)} bytes")
        if data[start + 1] not in (0x00, 0xFF):
            return data[start + 1], start + 2
        position = start + 1


def _segment(data: bytes, position: int) -> bytes:
    """Return the content of a marker segment, without its length."""
    length = int.from_bytes(data[position : position + 2], "big")
    if length < 2 or position + length > len(data):
        raise _incomplete(f"a segment of {length} bytes at byte {position} of {len(data)}")
    return data[position + 2 : position + length]


def _read_frame(marker: int, segment: bytes) -> _Frame:
    if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
        raise _incomplete("a frame header that is too short")
    bits, height, width, count = struct.unpack_from(">BHHB", segment)
    if bits != 8:
        raise ImageError("compressed", f"a JPEG file must have 8 bits per sample, has {bits}")
    components = [segment[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    sampling = {name: (factors >> 4, factors & 15) for name, factors, _ in components}
    if not height or not width or not all(min(factors) for factors in sampling.values()):
        raise ImageError("compressed", f"a JPEG file's height and width must be above 0, are {height} and {width}")
    return _Frame(marker, height, width, sampling)


def _read_scan(segment: bytes, missing: Dict[Tuple[int, int], int]) -> List[int]:
    """Note which coefficients a scan completes; return its components."""
    count = segment[0] if segment else 0
    if len(segment) < 1 + 2 * count + 3:
        raise _incomplete("a scan header that is too short")
    names = [segment[1 + 2 * index] for index in range(count)]
    first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
    for name in names:
        for index in range(first, min(last, _COEFFICIENTS - 1) + 1):
            missing[name, index] = bits & 15
    return names


def _require_restarts(frame: _Frame, names: List[int], interval: int, restarts: int) -> None:
    """Check the number of restart markers in a scan."""
    known = [frame.sampling[name] for name in names if name in frame.sampling]
    if not known:
        return
    across, down = (max(factors[axis] for factors in frame.sampling.values()) for axis in (0, 1))
    unit_width, unit_height = 8 * across, 8 * down
    width, height = frame.width, frame.height
    if len(known) == 1:  # the scan has single blocks of this component
        width, height = _ceil(width * known[0][0], across), _ceil(height * known[0][1], down)
        unit_width = unit_height = 8
    expected = _ceil(_ceil(width, unit_width) * _ceil(height, unit_height), interval) - 1
    if restarts < expected:
        raise _incomplete(f"{restarts} restart markers in a scan of {expected + 1} intervals")


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)


def _incomplete(what: str) -> ImageError:
    return ImageError("compressed", f"a compressed image must be complete, has {what}")
