"""Reads damaged sqlite3 files of rosbag2: cut ones, and around damaged pages."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

from espnet_ros.errors import one_line
from espnet_ros.evaluation.losses import Loss, Losses
from espnet_ros.evaluation.rescue.messages import RecordedMessage

_Row = Tuple[object, object, object, object]
_MAX_STEP = 1 << 20


def rescue_sqlite(path: Path, losses: Losses, name: str) -> Iterator[RecordedMessage]:
    """Yield the readable messages of a database, in the order in which they were written.

    Args:
        path: the database.
        losses: gets what cannot be read.
        name: name of the file for messages.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        database.text_factory = _decode
        try:
            # SQLite refuses a database that is shorter than its header says, unless its schema may be repaired
            database.execute("PRAGMA writable_schema=ON")
            topics = _topics(database)
        except (sqlite3.Error, MemoryError) as error:
            losses.add(Loss(name, f"its table of topics cannot be read: {one_line(error)}", path.stat().st_size))
            return
        _check_size(path, losses, name)
        for row in _rows(database, losses, name):
            _, topic_id, time_ns, content = row
            topic = topics.get(topic_id) if isinstance(topic_id, int) else None
            if topic is not None and isinstance(time_ns, int) and isinstance(content, bytes):
                yield RecordedMessage(*topic, time_ns, content)
            else:
                losses.add(Loss(f"{name}, row {row[0]}", "a message's topic, time or content is damaged", messages=1))


def whole_pages(path: Path) -> int:
    """Return how many bytes of a database are whole pages. SQLite would read zeros for the rest of a cut page.

    See https://www.sqlite.org/fileformat.html.

    Raises:
        OSError: the file cannot be read.
    """
    page_size, _ = _pages(path)
    size = path.stat().st_size
    return size - size % page_size if page_size else size


def _pages(path: Path) -> Tuple[int, int]:
    """Return the size and the number of pages that a database should have."""
    with path.open("rb") as file:
        header = file.read(32)
    page_size = int.from_bytes(header[16:18], "big")
    return 65536 if page_size == 1 else page_size, int.from_bytes(header[28:32], "big")


def _check_size(path: Path, losses: Losses, name: str) -> None:
    """Record a loss if the file is shorter than its header says."""
    page_size, count = _pages(path)
    size = path.stat().st_size
    if size < page_size * count:
        losses.add(Loss(f"{name} at byte {size}", "the file is cut", page_size * count - size))


def _topics(database: sqlite3.Connection) -> Dict[int, Tuple[str, str]]:
    rows = database.execute("SELECT id, name, type FROM topics WHERE serialization_format = 'cdr'")
    return {
        identifier: (name, kind)
        for identifier, name, kind in rows
        if isinstance(identifier, int) and isinstance(name, str) and isinstance(kind, str)
    }


def _rows(database: sqlite3.Connection, losses: Losses, name: str) -> Iterator[_Row]:
    """Yield rows by id. At a damaged page, try later ids, in growing steps."""
    last, step, begun = 0, 1, 0
    reason: Optional[str] = None
    while step <= _MAX_STEP:
        start = begun or last + 1
        try:
            for row in database.execute(
                "SELECT id, topic_id, timestamp, data FROM messages NOT INDEXED WHERE id >= ? ORDER BY id", (start,)
            ):
                if not isinstance(row[0], int) or row[0] < start:
                    raise sqlite3.DatabaseError("ids of rows must increase")
                if reason is not None:
                    losses.add(Loss(f"{name}, row {last + 1}", reason, messages=row[0] - last - 1))
                reason, begun, step = None, 0, 1
                last, start = row[0], row[0] + 1
                yield row
            break
        except (sqlite3.Error, MemoryError, OverflowError) as error:  # a damaged id may be the largest there is
            reason = reason or one_line(error)
            begun = start + step
            step *= 2
    if reason is not None:
        losses.add(Loss(f"{name}, row {last + 1}", f"this and all later rows cannot be read: {reason}"))


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")
