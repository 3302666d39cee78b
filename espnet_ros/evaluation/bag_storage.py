"""Reads the messages of a bag: with rosbags, and where that gives up, with the readers in ``rescue/``."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import ExitStack, closing
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Collection, Dict, Iterator, List, NamedTuple, Tuple

from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import Stores, get_typestore

from espnet_ros.errors import DatasetError, one_line
from espnet_ros.evaluation.bag_files import BagFiles, find_files, plain_name, storage_of
from espnet_ros.evaluation.losses import Loss, Losses
from espnet_ros.evaluation.rescue.mcap import has_damaged_summary, rescue_mcap
from espnet_ros.evaluation.rescue.messages import ZSTD_MAGIC, DamageError, RecordedMessage, decompress, unpack_zstd
from espnet_ros.evaluation.rescue.ros1 import rescue_ros1
from espnet_ros.evaluation.rescue.sqlite import rescue_sqlite, whole_pages

STORE = get_typestore(Stores.ROS2_HUMBLE)
"""Message types that bags are read and written with. The types used here have not changed since the first ROS 2."""

_MAX_MESSAGE = 1 << 30  # bytes, decompressed
_WITH_JOURNAL = ("-wal", "-journal")
_Rescue = Callable[[Path, Losses, str], Iterator[RecordedMessage]]
_RESCUES: Dict[str, _Rescue] = {"mcap": rescue_mcap, "sqlite3": rescue_sqlite, "ros1": rescue_ros1}


class Topic(NamedTuple):
    """A topic of a bag.

    Attributes:
        kind: type of its messages, such as ``sensor_msgs/msg/Image``.
        messages: number of its messages that can be read, as far as that is known without reading them.
    """

    kind: str
    messages: int


class BagMessages:
    """The messages of a bag, file by file. Holds one message, and of a compressed bag one file, at a time.

    Args:
        path: rosbag2 folder, its files, or a ROS 1 bag.
        name: name of the bag for messages.

    Attributes:
        topics: topics by name.
        losses: what cannot be read; complete after a pass over all messages.

    Raises:
        DatasetError: there is no bag, or no file of it can be read.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._files: BagFiles = find_files(path, name)
        self.losses = self._new_losses()
        self.topics: Dict[str, Topic] = {}
        for file in self._files.paths:
            with ExitStack() as stack:
                for topic, (kind, count) in self._open(file, stack).topics().items():
                    known = self.topics.get(topic, Topic(kind, 0))
                    self.topics[topic] = Topic(known.kind, known.messages + count)

    def messages(self, topics: Collection[str]) -> Iterator[Tuple[str, int, Any]]:
        """Yield topic, time of recording in nanoseconds, and message, in the order of recording.

        A message that cannot be deserialised is added to the losses.

        Raises:
            DatasetError: a file cannot be opened any more.
        """
        self.losses = self._new_losses()
        numbers = dict.fromkeys(topics, 0)
        for file in self._files.paths:
            with ExitStack() as stack:
                storage = self._open(file, stack)
                for topic, kind, time_ns, content in storage.messages(topics):
                    numbers[topic] += 1
                    try:
                        message = storage.deserialize(content, kind)
                    except Exception as error:  # rosbags passes on whatever its parser runs into
                        where = f"{file.name}, {topic}, message {numbers[topic]} at {seconds(time_ns)} s"
                        self.losses.add(Loss(where, f"cannot be deserialised: {one_line(error)}", None, 1))
                        continue
                    yield topic, time_ns, message

    def expected_count(self, topic: str) -> int:
        """Return how many messages of a topic metadata.yaml counts; 0 if it does not say. This is a hint only."""
        return self._files.counts.get(topic, 0)

    def _new_losses(self) -> Losses:
        losses = Losses()
        for entry in self._files.missing:
            losses.add(Loss(entry, "the file is listed in metadata.yaml but missing"))
        return losses

    def _open(self, file: Path, stack: ExitStack) -> _Storage:
        try:
            return _Storage(file, self.losses, stack)
        except OSError as error:
            raise DatasetError(f"bag {self._name}: cannot be read: {file.name}: {error.strerror}") from error


class _Storage:
    """One file of a bag."""

    def __init__(self, file: Path, losses: Losses, stack: ExitStack) -> None:
        self._name = file.name
        self._losses = losses
        self._path = _unpacked(file, losses, stack)
        self._storage = storage_of(self._path, file.name) if self._path.stat().st_size else ""
        if not self._storage:
            size = self._path.stat().st_size
            reason = "is neither mcap, sqlite3 nor a ROS 1 bag" if size else "the file is empty"
            losses.add(Loss(f"{file.name} at byte 0", reason, size))
        if self._storage == "sqlite3" and whole_pages(self._path) < self._path.stat().st_size:
            self._path = _without_cut_page(self._path, stack)
        self._reader: Any = self._open_reader(stack) if self._storage else None

    def topics(self) -> Dict[str, Topic]:
        """Return the topics whose messages have a known encoding. Reads all of a damaged file."""
        found: Dict[str, Topic] = {}
        if self._reader is not None:
            for entry in self._connections():
                count = found.get(entry.topic, Topic("", 0)).messages + entry.msgcount
                found[entry.topic] = Topic(_ros2_kind(entry.msgtype), count)
            self._name_other_encodings()
            return found
        for message in self._rescued():
            found[message.topic] = Topic(_ros2_kind(message.kind), found.get(message.topic, Topic("", 0)).messages + 1)
        return found

    def messages(self, topics: Collection[str]) -> Iterator[RecordedMessage]:
        """Yield the messages of some topics: in the order of time, of a damaged file in the order of the file."""
        last, repeated = -1, 0
        if self._reader is not None:
            connections = [entry for entry in self._connections() if entry.topic in topics]
            if not connections:
                return
            missing = sum(entry.msgcount for entry in connections)
            try:
                for entry, time_ns, content in self._reader.messages(connections):
                    repeated = repeated + 1 if time_ns == last else 1
                    last = time_ns
                    missing -= 1
                    yield RecordedMessage(entry.topic, entry.msgtype, time_ns, content)
                if missing <= 0:
                    return
                if last >= 0:
                    self._losses.add(Loss(self._name, "its index is damaged and lacks messages", messages=missing))
                    return
                # rosbags finds no message in an mcap file without an index of its messages, which is allowed
            except Exception:  # rosbags passes on whatever its parser runs into; the rescue finds out what is wrong
                pass
        for message in self._rescued():
            if message.topic not in topics or message.time_ns < last:
                continue
            if message.time_ns == last and repeated:
                repeated -= 1
                continue
            yield message

    def deserialize(self, content: Any, kind: str) -> Any:
        if self._storage == "ros1":
            return _ros1_store().deserialize_ros1(content, _ros2_kind(kind))
        if content[:4] == ZSTD_MAGIC:  # the serialised form of ROS 2 begins with a zero byte
            content, is_complete = decompress(bytes(content), "zstd", _MAX_MESSAGE)
            if not is_complete:
                raise DamageError("its zstd data end early")
        return STORE.deserialize_cdr(content, _ros2_kind(kind))

    def _connections(self) -> List[Any]:
        return [entry for entry in self._reader.connections if _encoding(entry) == "cdr"]

    def _name_other_encodings(self) -> None:
        for entry in self._reader.connections:
            if _encoding(entry) != "cdr" and entry.msgtype.endswith("Image"):
                reason = f"messages must be encoded as cdr, are '{_encoding(entry)}'"
                self._losses.add(Loss(f"{self._name}, {entry.topic}", reason))

    def _rescued(self) -> Iterator[RecordedMessage]:
        if not self._storage:
            return
        try:
            yield from _RESCUES[self._storage](self._path, self._losses, self._name)
        except OSError as error:  # a failing disk
            self._losses.add(Loss(self._name, f"cannot be read any further: {error.strerror}"))

    def _open_reader(self, stack: ExitStack) -> Any:
        """Return a reader of rosbags; None if the file needs the rescue."""
        try:
            if self._storage == "mcap" and has_damaged_summary(self._path):
                return None  # rosbags would follow a wrong index without noticing
            reader: Any = Reader1(self._path) if self._storage == "ros1" else Reader2(self._path)
            reader.open()
        except Exception:  # rosbags passes on whatever its parser runs into; the rescue finds out what is wrong
            return None
        stack.callback(reader.close)
        has_sound_counts = sum(entry.msgcount for entry in reader.connections) == reader.message_count
        if not reader.message_count:  # nothing is recorded, or the index lacks it
            has_sound_counts = next(_RESCUES[self._storage](self._path, Losses(), self._name), None) is None
        return reader if has_sound_counts else None


def _encoding(connection: Any) -> str:
    return str(getattr(connection.ext, "serialization_format", "cdr"))


def _ros2_kind(kind: str) -> str:
    """Return the name of a type as ROS 2 has it. Others write sensor_msgs/Image or sensor_msgs::msg::dds_::Image_."""
    parts = [part for part in re.split("/|::", kind) if part not in ("msg", "dds_")]
    return f"{parts[0]}/msg/{parts[1].rstrip('_')}" if len(parts) == 2 else kind


@lru_cache(maxsize=None)
def _ros1_store() -> Any:
    return get_typestore(Stores.ROS1_NOETIC)


def seconds(stamp_ns: int) -> str:
    """Return a stamp in seconds with all of its digits."""
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"


def _unpacked(file: Path, losses: Losses, stack: ExitStack) -> Path:
    """Return a file that needs no decompression and has no journal: the file itself, or a temporary copy."""
    journals = [Path(f"{file}{suffix}") for suffix in _WITH_JOURNAL]
    journals = [path for path in journals if path.is_file() and path.stat().st_size]
    with file.open("rb") as source:
        is_compressed = source.read(len(ZSTD_MAGIC)) == ZSTD_MAGIC
    if not is_compressed and not journals:
        return file
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="espnet_bag_")))
    if journals:
        return _with_journal(file, journals, folder, losses)
    copy = folder / plain_name(file)
    with file.open("rb") as source, copy.open("wb") as target:
        try:
            unpack_zstd(source, target)
        except DamageError as error:
            losses.add(Loss(file.name, f"{error}; {target.tell()} bytes were decompressed"))
    return copy


def _without_cut_page(path: Path, stack: ExitStack) -> Path:
    """Return a temporary copy of a database without the page that the file ends in."""
    copy = Path(stack.enter_context(TemporaryDirectory(prefix="espnet_bag_"))) / path.name
    shutil.copyfile(path, copy)
    os.truncate(copy, whole_pages(path))
    return copy


def _with_journal(file: Path, journals: List[Path], folder: Path, losses: Losses) -> Path:
    """Return a copy of a database with its journal applied, which its recorder had no time for."""
    copy = folder / file.name
    shutil.copyfile(file, copy)
    for journal in journals:
        shutil.copyfile(journal, folder / journal.name)
    try:
        with closing(sqlite3.connect(copy)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        names = ", ".join(journal.name for journal in journals)
        losses.add(Loss(names, f"cannot be applied to {file.name}: {one_line(error)}"))
    return copy
