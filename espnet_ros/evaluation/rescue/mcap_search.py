"""Finds the next record of a damaged mcap file that has no index to say where it is."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO, Callable, Optional

_BLOCK = 1 << 20  # bytes
# Type of a message or a chunk, and a length below 4 GiB.
_STARTS = {kind: re.compile(bytes([kind]) + rb"(?=[\x00-\xff]{4}\x00\x00\x00\x00)") for kind in (5, 6)}
_LOOK_AHEAD = 32  # bytes: type, length and the fields in front of the time
_TIME_OFFSETS = {5: 9 + 6, 6: 9}  # of a message: its time of recording; of a chunk: its first time
_NEAR_NS = 3600 * 10**9


def find_record(
    file: BinaryIO, position: int, kind: int, near_ns: int, is_record: Callable[[int], bool]
) -> Optional[int]:
    """Return where the next record of a type begins.

    Args:
        file: the mcap file.
        position: byte from which to search.
        kind: its type, 5 for a message or 6 for a chunk.
        near_ns: time of the last message before the damage; the record's time must lie within an hour of it.
        is_record: whether a record, followed by another, is possible at a byte.

    Returns:
        Its first byte; None if there is none.

    Raises:
        OSError: the file cannot be read.
    """
    while True:
        file.seek(position)
        block = file.read(_BLOCK + _LOOK_AHEAD)
        for found in _STARTS[kind].finditer(block, 0, _BLOCK + 9):
            offset = found.start() + _TIME_OFFSETS[kind]
            if offset + 8 > len(block):
                break
            (time_ns,) = struct.unpack_from("<Q", block, offset)
            if abs(time_ns - near_ns) < _NEAR_NS and is_record(position + found.start()):
                return position + found.start()
        if len(block) < _BLOCK + _LOOK_AHEAD:
            return None
        position += _BLOCK
