"""Finds the files of a bag. ``metadata.yaml`` is used where it agrees with the folder, and not needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import yaml

from espnet_ros.errors import DatasetError

_MANIFEST = "metadata.yaml"
_MAX_MANIFEST = 16 << 20  # bytes
_NAME = re.compile(r"\.(?:(mcap|db3)|(bag)(?:\.active)?)(\.zstd|\.zst)?$", re.IGNORECASE)
_STORAGE = {"mcap": "mcap", "db3": "sqlite3", "bag": "ros1"}
_MAGIC = {b"\x89MCAP0\r\n": "mcap", b"SQLite format 3\0": "sqlite3", b"#ROSBAG V2.0": "ros1"}


class BagFiles(NamedTuple):
    """Files of a bag.

    Attributes:
        paths: in the order of recording.
        missing: files that ``metadata.yaml`` lists and that are not there.
        counts: messages by topic, as ``metadata.yaml`` has them; a hint only.
    """

    paths: List[Path]
    missing: List[str]
    counts: Dict[str, int]


def is_recording(path: Path) -> bool:
    """Return whether a file name is that of a recording: mcap, db3 or bag, possibly compressed or still active."""
    return _NAME.search(path.name) is not None


def has_manifest(folder: Path) -> bool:
    """Return whether a folder has a ``metadata.yaml``."""
    return (folder / _MANIFEST).is_file()


def storage_of(path: Path, name: str) -> str:
    """Return the format of a file, from its first bytes or else its name: mcap, sqlite3, ros1; "" for none of them.

    Args:
        path: the file, not compressed.
        name: the file's original name.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(16)
    for magic, storage in _MAGIC.items():
        if start.startswith(magic):
            return storage
    found = _NAME.search(name)
    return _STORAGE[(found.group(1) or found.group(2)).lower()] if found else ""


def plain_name(path: Path) -> str:
    """Return the name of a file without the suffix that says that it is compressed as a whole."""
    found = _NAME.search(path.name)
    return path.name[: found.start(3)] if found and found.group(3) else path.name


def find_files(path: Path, name: str) -> BagFiles:
    """Return the files of a bag.

    Args:
        path: a file, or a folder of a bag, split or not.
        name: name of the bag for messages.

    Raises:
        DatasetError: there are none.
    """
    try:
        if not path.is_dir():
            if not path.is_file():
                raise DatasetError(f"bag {name}: cannot be read: no such file or folder")
            return BagFiles([path], [], {})
        present = sorted((entry for entry in path.iterdir() if is_recording(entry)), key=_natural)
    except OSError as error:
        raise DatasetError(f"bag {name}: cannot be read: {error.strerror}") from error
    listed, counts = _read_manifest(path / _MANIFEST)
    missing = [entry for entry in listed if not (path / entry).is_file()]
    if listed and not missing:
        return BagFiles([path / entry for entry in listed], [], counts)
    # files were renamed, compressed or unpacked, or the recorder was killed before it wrote the manifest
    names = {entry.name for entry in present}
    paths = [entry for entry in present if plain_name(entry) == entry.name or plain_name(entry) not in names]
    if not paths:
        lacking = f"; {_MANIFEST} lists {', '.join(missing)}" if missing else ""
        raise DatasetError(f"bag {name}: cannot be read: must contain a file .mcap, .db3 or .bag, has none{lacking}")
    return BagFiles(paths, missing if len(paths) < len(listed) else [], counts)


def _read_manifest(path: Path) -> Tuple[List[str], Dict[str, int]]:
    """Return the names of the files and the message counts by topic; nothing where they are unreadable."""
    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(_MAX_MANIFEST))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return [], {}
    content = _mapping(_mapping(content).get("rosbag2_bagfile_information"))
    listed = [_file_name(entry) for entry in _sequence(content.get("relative_file_paths"))]
    counts: Dict[str, int] = {}
    for entry in _sequence(content.get("topics_with_message_count")):
        topic = _mapping(_mapping(entry).get("topic_metadata")).get("name")
        count = _mapping(entry).get("message_count")
        if isinstance(topic, str) and isinstance(count, int):
            counts[topic] = counts.get(topic, 0) + count
    return list(dict.fromkeys(filter(None, listed))), counts


def _file_name(entry: Any) -> Optional[str]:
    """Return the name of a listed file. Old bags list it with its folder."""
    return Path(entry).name if isinstance(entry, str) and "\0" not in entry else None


def _mapping(value: Any) -> Dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def _natural(path: Path) -> List[Any]:
    """Key that sorts numbers in names by their value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
