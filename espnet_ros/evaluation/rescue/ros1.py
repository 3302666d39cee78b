"""Reads damaged and unindexed bags of ROS 1, such as ``.bag.active``, chunk by chunk.

The format is described at https://wiki.ros.org/Bags/Format/2.0. A file is a sequence of records: length and fields of
a header, length and content of its data.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Tuple

from espnet_ros.evaluation.losses import Loss, Losses
from espnet_ros.evaluation.rescue.messages import DamageError, RecordedMessage, decompress

MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _BAG_HEADER, _CHUNK, _CHUNK_INFO, _CONNECTION = 2, 3, 5, 6, 7
_KNOWN = range(_MESSAGE, _CONNECTION + 1)
_MAX_HEADER = 1 << 20  # bytes


class _Record(NamedTuple):
    kind: int
    fields: Dict[bytes, bytes]
    start: int  # of the data
    end: int


def rescue_ros1(path: Path, losses: Losses, name: str) -> Iterator[RecordedMessage]:
    """Yield the readable messages of a ROS 1 bag, in the order of the file and of time within a chunk.

    Args:
        path: the file.
        losses: gets what cannot be read.
        name: name of the file for messages.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
        if start.startswith(MAGIC[:9]) and start != MAGIC:
            version = start[9:].split(b"\n")[0].decode("ascii", "replace")
            losses.add(Loss(name, f"a ROS 1 bag's format must be 2.0, is {version}", path.stat().st_size))
            return
        yield from _Rescue(file, path.stat().st_size, losses, name).messages()


class _Rescue:
    def __init__(self, file: BinaryIO, size: int, losses: Losses, name: str) -> None:
        self._file = file
        self._size = size
        self._losses = losses
        self._name = name
        self._connections: Dict[int, Tuple[str, str]] = {}
        self._chunk_offsets: List[int] = []

    def messages(self) -> Iterator[RecordedMessage]:
        self._read_index()
        position = len(MAGIC)
        while position < self._size:
            try:
                record = self._record_at(position)
            except DamageError as damage:
                yield from self._cut_chunk(position)
                position = self._skip(position, str(damage))
                continue
            try:
                if record.kind == _CHUNK:
                    yield from self._chunk_messages(record, is_cut=False)
                elif record.kind == _CONNECTION:
                    self._connect(record.fields, self._read(record.start, record.end))
            except DamageError as damage:
                self._lose(position, f"a record is damaged: {damage}", record.end - position)
            position = record.end

    def _record_at(self, position: int, is_cut: bool = False) -> _Record:
        (length,) = self._length(position)
        start = position + 4
        if not 0 < length <= min(_MAX_HEADER, self._size - start):
            raise DamageError("a record's header has an impossible length")
        fields = _fields(self._read(start, start + length))
        kind = fields.get(b"op", b"\0")[0] if fields.get(b"op") else 0
        if kind not in _KNOWN:
            raise DamageError(f"a record's type must be {_KNOWN[0]} to {_KNOWN[-1]}, is {kind}")
        (data_length,) = self._length(start + length)
        start += length + 4
        end = start + data_length
        if end > self._size and not is_cut:
            raise DamageError("a record reaches beyond the end of the file")
        return _Record(kind, fields, start, min(end, self._size))

    def _length(self, position: int) -> Tuple[int]:
        content = self._read(position, position + 4)
        if len(content) < 4:
            raise DamageError("the file ends within a record")
        (length,) = struct.unpack("<I", content)
        return (length,)

    def _read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(max(0, min(end, self._size) - start))

    def _cut_chunk(self, position: int) -> Iterator[RecordedMessage]:
        """Yield the complete messages of a chunk that the file ends in."""
        if any(offset > position for offset in self._chunk_offsets):
            return  # the file goes on: the length is wrong, not the file cut
        try:
            record = self._record_at(position, is_cut=True)
            if record.kind == _CHUNK:
                yield from self._chunk_messages(record, is_cut=True)
        except DamageError:
            return

    def _chunk_messages(self, record: _Record, is_cut: bool) -> Iterator[RecordedMessage]:
        size = _uint32(record.fields, b"size")
        compression = record.fields.get(b"compression", b"").decode("ascii", "replace")
        content, is_complete = decompress(self._read(record.start, record.end), compression, size)
        if not is_cut and (not is_complete or len(content) != size):
            raise DamageError(f"must have {size} bytes when decompressed, has {len(content)}")
        found: List[RecordedMessage] = []
        try:
            self._parse(content, found)
        except DamageError:
            if not is_cut:
                raise
        finally:
            yield from sorted(found, key=lambda message: message.time_ns)

    def _parse(self, content: bytes, found: List[RecordedMessage]) -> None:
        """Append the messages of a chunk up to its end or to the first damage."""
        position = 0
        while position < len(content):
            header, start = _block(content, position)
            data, position = _block(content, start)
            if header is None or data is None:
                raise DamageError("a record in it reaches beyond its end")
            fields = _fields(header)
            kind = fields.get(b"op")
            if kind == bytes([_CONNECTION]):
                self._connect(fields, data)
            elif kind == bytes([_MESSAGE]):
                found.append(self._message(fields, data))

    def _message(self, fields: Dict[bytes, bytes], data: bytes) -> RecordedMessage:
        connection = self._connections.get(_uint32(fields, b"conn"))
        if connection is None:
            raise DamageError("the connection of a message is not defined")
        time = fields.get(b"time", b"")
        if len(time) != 8:
            raise DamageError("a message has no time")
        seconds, nanoseconds = struct.unpack("<II", time)
        return RecordedMessage(*connection, seconds * 10**9 + nanoseconds, data)

    def _connect(self, fields: Dict[bytes, bytes], data: bytes) -> None:
        kind = _fields(data).get(b"type", b"").decode("utf-8", "replace")
        package, _, name = kind.partition("/")
        topic = fields.get(b"topic", b"").decode("utf-8", "replace")
        self._connections.setdefault(_uint32(fields, b"conn"), (topic, f"{package}/msg/{name}"))

    def _read_index(self) -> None:
        """Read connections and positions of the chunks from the end of the file, if they are there."""
        try:
            header = self._record_at(len(MAGIC))
            if header.kind != _BAG_HEADER or len(header.fields.get(b"index_pos", b"")) != 8:
                return
            (position,) = struct.unpack("<Q", header.fields[b"index_pos"])
            while len(MAGIC) < position < self._size:
                record = self._record_at(position)
                if record.kind == _CONNECTION:
                    self._connect(record.fields, self._read(record.start, record.end))
                elif record.kind == _CHUNK_INFO and len(record.fields.get(b"chunk_pos", b"")) == 8:
                    self._chunk_offsets.append(struct.unpack("<Q", record.fields[b"chunk_pos"])[0])
                position = record.end
        except DamageError:
            pass
        self._chunk_offsets.sort()

    def _skip(self, position: int, reason: str) -> int:
        """Record a loss that begins at a position, and return where the next readable chunk begins."""
        for offset in self._chunk_offsets:
            if offset > position and self._is_chunk(offset):
                self._lose(position, reason, offset - position)
                return offset
        self._lose(position, reason, self._size - position)
        return self._size

    def _is_chunk(self, position: int) -> bool:
        try:
            return self._record_at(position).kind == _CHUNK
        except DamageError:
            return False

    def _lose(self, position: int, reason: str, length: int) -> None:
        self._losses.add(Loss(f"{self._name} at byte {position}", reason, length))


def _block(content: bytes, position: int) -> Tuple[Optional[bytes], int]:
    """Return the bytes that follow their length, and where they end; None if they are not all there."""
    if position + 4 > len(content):
        return None, len(content)
    (length,) = struct.unpack_from("<I", content, position)
    end = position + 4 + length
    return (content[position + 4 : end], end) if end <= len(content) else (None, len(content))


def _fields(header: bytes) -> Dict[bytes, bytes]:
    """Parse ``name=value`` fields, each preceded by its length."""
    fields: Dict[bytes, bytes] = {}
    position = 0
    while position < len(header):
        field, position = _block(header, position)
        name, separator, value = (field or b"").partition(b"=")
        if not separator:
            raise DamageError("a record's header is damaged")
        fields[name] = value
    return fields


def _uint32(fields: Dict[bytes, bytes], name: bytes) -> int:
    value = fields.get(name, b"")
    if len(value) != 4:
        raise DamageError(f"a record has no field '{name.decode()}'")
    return int(struct.unpack("<I", value)[0])
