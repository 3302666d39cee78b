"""Reads damaged mcap files: without their index, up to a cut, and around damaged chunks.

The format is described at https://mcap.dev/spec. A file is a sequence of records: one byte of type, eight bytes of
length, content. Chunks are records that contain records, compressed and with a checksum.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Dict, Generator, Iterator, List, NamedTuple, Optional, Tuple
from zlib import crc32

from espnet_ros.evaluation.losses import Loss, Losses, printable
from espnet_ros.evaluation.rescue.mcap_search import find_record
from espnet_ros.evaluation.rescue.messages import DamageError, RecordedMessage, decompress

MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _CHUNK_INDEX = 3, 4, 5, 6, 7, 8
_FOOTER, _DATA_END = 2, 15
_ENDS = (_FOOTER, _DATA_END)
_KNOWN, _FIRST_PRIVATE = range(1, 16), 128
_HEADER = struct.Struct("<BQ")
_FOOTER_LENGTH = 20
_MESSAGE_START = struct.Struct("<HIQQ")  # channel, sequence, time of recording, time of publishing
_CHUNK_START = struct.Struct("<QQQI")  # first and last time, size when decompressed, checksum
_MAX_CUT_CHUNK = 1 << 28  # bytes
_BLOCK = 1 << 20  # bytes
_NS = 1e9


class _Channel(NamedTuple):
    topic: str
    kind: str
    encoding: str


def rescue_mcap(path: Path, losses: Losses, name: str) -> Iterator[RecordedMessage]:
    """Yield the readable messages of an mcap file, in the order of the file and of time within a chunk.

    Args:
        path: the file.
        losses: gets what cannot be read.
        name: name of the file for messages.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        yield from _Rescue(file, path.stat().st_size, losses, name).messages()


class _Rescue:
    def __init__(self, file: BinaryIO, size: int, losses: Losses, name: str) -> None:
        self._file = file
        self._size = size
        self._losses = losses
        self._name = name
        self._schemas: Dict[int, str] = {}
        self._channels: Dict[int, _Channel] = {}
        self._chunk_offsets: List[int] = []
        self._lost_chunk: Optional[Loss] = None
        self._last_ns: Optional[int] = None
        self._unit = _MESSAGE  # what to search for after a damage: never a message in a chunk, past its checksum

    def messages(self) -> Iterator[RecordedMessage]:
        self._read_summary()
        position, has_ended = len(MAGIC), False
        while position < self._size and not has_ended:
            try:
                kind, length = self._record_at(position)
            except DamageError as damage:
                self._report_lost_chunk()
                length, is_whole = yield from self._chunk_of_wrong_length(position)
                position += length
                if not is_whole:
                    position = self._skip(position, str(damage))
                continue
            if kind == _CHUNK:
                yield from self._chunk(position, length)
            elif kind == _MESSAGE_INDEX:
                self._count_lost(position, length)
            elif kind in _ENDS:
                has_ended = True
            elif kind in (_SCHEMA, _CHANNEL, _MESSAGE):
                yield from self._plain_record(kind, position, length)
            position += _HEADER.size + length
        self._report_lost_chunk()
        if not has_ended and position == self._size:
            self._lose(self._size, "the file ends without an end mark: what was not yet written is missing", 0)

    def _record_at(self, position: int) -> Tuple[int, int]:
        """Return type and length of the record at a position, if that and the next record are possible there."""
        kind, length = self._header_at(position)
        end = position + _HEADER.size + length
        if end < self._size and kind not in _ENDS:
            try:
                self._header_at(end)
            except DamageError as damage:
                if self._read(end, 1)[0] not in _KNOWN:  # a known type: the file is cut within the next record
                    raise DamageError("no record follows this one: its length is wrong") from damage
        return kind, length

    def _header_at(self, position: int) -> Tuple[int, int]:
        header = self._read(position, _HEADER.size)
        if len(header) < _HEADER.size:
            raise DamageError("the file ends within a record")
        kind, length = _HEADER.unpack(header)
        if kind not in _KNOWN and kind < _FIRST_PRIVATE:
            raise DamageError(f"a record's type must be 1 to 15 or at least {_FIRST_PRIVATE}, is {kind}")
        if length > self._size - position - _HEADER.size:
            raise DamageError("a record reaches beyond the end of the file")
        return kind, length

    def _read(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(min(length, max(0, self._size - position)))

    def _plain_record(self, kind: int, position: int, length: int) -> Iterator[RecordedMessage]:
        try:
            yield from self._record(kind, self._read(position + _HEADER.size, length))
        except (DamageError, struct.error) as error:
            self._lose(position, f"a record is damaged: {error}", length)

    def _chunk(self, position: int, length: int) -> Iterator[RecordedMessage]:
        self._report_lost_chunk()
        content = self._read(position + _HEADER.size, length)
        try:
            yield from self._chunk_messages(content, can_be_cut=False)
        except (DamageError, struct.error) as error:
            self._lost_chunk = Loss(
                self._at(position), f"a chunk is damaged: {error}", length, 0, _chunk_seconds(content)
            )

    def _chunk_of_wrong_length(self, position: int) -> Generator[RecordedMessage, None, Tuple[int, bool]]:
        """Yield the messages of a chunk that the file ends in, or whose record has a wrong length.

        Returns:
            How many bytes the messages fill, if known, and whether they are all of the chunk.
        """
        if self._read(position, 1) != bytes([_CHUNK]):
            return 0, False
        content = self._read(position + _HEADER.size, _MAX_CUT_CHUNK)
        try:
            length, is_whole = yield from self._chunk_messages(content, can_be_cut=True)
        except (DamageError, struct.error):
            return 0, False
        return (_HEADER.size + length if length else 0), is_whole

    def _chunk_messages(self, content: bytes, can_be_cut: bool) -> Generator[RecordedMessage, None, Tuple[int, bool]]:
        """Yield the messages of a chunk; return how many bytes they fill, if known, and whether they are all."""
        self._unit = _CHUNK
        _, _, size, checksum = _CHUNK_START.unpack_from(content)
        compression, start = _text(content, _CHUNK_START.size)
        (stored,) = struct.unpack_from("<Q", content, start)
        start += 8
        is_cut = stored > len(content) - start
        if is_cut and not can_be_cut:
            raise DamageError(f"must hold {stored} bytes, holds {len(content) - start}")
        records, is_complete = decompress(content[start : start + stored], compression, size)
        if not is_cut:
            if not is_complete or len(records) != size:
                raise DamageError(f"must have {size} bytes when decompressed, has {len(records)}")
            if checksum and crc32(records) != checksum:
                raise DamageError("its checksum is wrong")
        found, parsed, damage = self._parse(records)
        yield from sorted(found, key=lambda message: message.time_ns)
        if damage is not None and not is_cut:
            raise damage
        if not is_cut:
            return start + stored, True
        return (0 if compression else start + parsed), False

    def _parse(self, records: bytes) -> Tuple[List[RecordedMessage], int, Optional[DamageError]]:
        """Return the messages of a chunk up to its end or to the first damage, where that is, and what it is."""
        found: List[RecordedMessage] = []
        position = 0
        try:
            while position < len(records):
                kind, length = _HEADER.unpack_from(records, position)
                start = position + _HEADER.size
                if kind not in _KNOWN and kind < _FIRST_PRIVATE:
                    raise DamageError(f"a record in it has the type {kind}")
                if length > len(records) - start:
                    raise DamageError("a record in it reaches beyond its end")
                found.extend(self._record(kind, records[start : start + length]))
                position = start + length
        except (DamageError, struct.error) as error:
            return found, position, DamageError(str(error))
        return found, position, None

    def _record(self, kind: int, content: bytes) -> Iterator[RecordedMessage]:
        if kind == _SCHEMA:
            (identifier,) = struct.unpack_from("<H", content)
            self._schemas[identifier] = _text(content, 2)[0]
        elif kind == _CHANNEL:
            identifier, schema = struct.unpack_from("<HH", content)
            topic, start = _text(content, 4)
            defined = _Channel(topic, self._schemas.get(schema, ""), _text(content, start)[0])
            if defined.encoding != "cdr" and defined.kind.endswith("Image") and identifier not in self._channels:
                reason = f"messages must be encoded as cdr, are '{defined.encoding}'"
                self._losses.add(Loss(f"{self._name}, {topic}", reason))
            self._channels[identifier] = defined
        elif kind == _MESSAGE:
            identifier, _, time_ns, _ = _MESSAGE_START.unpack_from(content)
            self._last_ns = time_ns
            channel = self._channels.get(identifier)
            if channel is None:
                raise DamageError(f"channel {identifier} of a message is not defined")
            if channel.encoding == "cdr":
                yield RecordedMessage(channel.topic, channel.kind, time_ns, content[_MESSAGE_START.size :])

    def _read_summary(self) -> None:
        """Read channels and positions of the chunks from the end of the file, if that is there."""
        start, end, is_sound = _summary(self._file, self._size)
        if not is_sound:
            return
        try:
            while start < end:
                kind, length = self._header_at(start)
                content = self._read(start + _HEADER.size, length)
                if kind in (_SCHEMA, _CHANNEL):
                    list(self._record(kind, content))
                elif kind == _CHUNK_INDEX:
                    self._chunk_offsets.append(struct.unpack_from("<Q", content, 16)[0])
                start += _HEADER.size + length
        except (DamageError, struct.error):
            pass
        self._chunk_offsets.sort()
        if self._chunk_offsets:
            self._unit = _CHUNK

    def _skip(self, position: int, reason: str) -> int:
        """Record a loss that begins at a position, and return where the next readable chunk or message begins."""
        found = next((offset for offset in self._chunk_offsets if offset > position and self._is_record(offset)), None)
        if found is None and self._last_ns is not None:
            found = find_record(self._file, position + 1, self._unit, self._last_ns, self._is_record)
        if found is not None:
            self._lose(position, reason, found - position)
            return found
        self._lose(position, reason, self._size - position)
        return self._size + 1

    def _is_record(self, position: int) -> bool:
        try:
            return self._record_at(position)[0] == self._unit
        except DamageError:
            return False

    def _count_lost(self, position: int, length: int) -> None:
        """Add the messages that a message index counts to the chunk before it, if that is lost."""
        lost = self._lost_chunk
        entries = self._read(position + _HEADER.size, min(length, 6))
        if lost is not None and lost.messages is not None and len(entries) == 6:
            count = min(struct.unpack_from("<I", entries, 2)[0], length) // 16
            self._lost_chunk = Loss(lost.where, lost.reason, lost.bytes, lost.messages + count, lost.seconds)

    def _report_lost_chunk(self) -> None:
        lost, self._lost_chunk = self._lost_chunk, None
        if lost is not None:
            self._losses.add(Loss(lost.where, lost.reason, lost.bytes, lost.messages or None, lost.seconds))

    def _lose(self, position: int, reason: str, length: int) -> None:
        self._losses.add(Loss(self._at(position), reason, length))

    def _at(self, position: int) -> str:
        return f"{self._name} at byte {position}"


def has_damaged_summary(path: Path) -> bool:
    """Return whether an mcap file has a summary whose checksum is wrong.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start, end, is_sound = _summary(file, path.stat().st_size)
    return start < end and not is_sound


def _summary(file: BinaryIO, size: int) -> Tuple[int, int, bool]:
    """Return where the summary begins and ends, equal if there is none, and whether its checksum is right."""
    end = size - len(MAGIC) - _FOOTER_LENGTH - _HEADER.size
    if end < len(MAGIC):
        return 0, 0, False
    file.seek(end)
    tail = file.read()
    if not tail.startswith(_HEADER.pack(_FOOTER, _FOOTER_LENGTH)) or not tail.endswith(MAGIC):
        return 0, 0, False
    start, _, checksum = struct.unpack_from("<QQI", tail, _HEADER.size)
    if not len(MAGIC) <= start < end:
        return 0, 0, False
    if not checksum:
        return start, end, True
    file.seek(start)
    found = 0
    for position in range(start, end, _BLOCK):  # a wrong start can make this most of the file
        found = crc32(file.read(min(_BLOCK, end - position)), found)
    # the checksum covers the footer, too, except itself
    return start, end, crc32(tail[: _HEADER.size + _FOOTER_LENGTH - 4], found) == checksum


def _text(content: bytes, position: int) -> Tuple[str, int]:
    """Return the text at a position, and where it ends."""
    (length,) = struct.unpack_from("<I", content, position)
    start = position + 4
    if length > len(content) - start:
        raise DamageError("a text reaches beyond the end of its record")
    try:
        return content[start : start + length].decode("utf-8"), start + length
    except UnicodeDecodeError as error:
        raise DamageError(
            f"a text is not UTF-8: '{printable(str(content[start : start + min(length, 60)]))}'"
        ) from error


def _chunk_seconds(content: bytes) -> Optional[float]:
    """Return the time that a chunk spans, if its header has a possible one."""
    if len(content) < _CHUNK_START.size:
        return None
    first, last, _, _ = _CHUNK_START.unpack_from(content)
    return (last - first) / _NS if 0 <= last - first < 3600 * _NS else None
