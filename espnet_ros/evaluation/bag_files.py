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
                is_odd = path.exists()
                reason = "must be a file or folder, is a device, pipe or socket" if is_odd else "no such file or folder"
                raise DatasetError(f"bag {name}: cannot be read: {reason}")
            return BagFiles([path], [], {})
        present = sorted((entry for entry in path.iterdir() if is_recording(entry)), key=_natural)
        # a named pipe would block; a link that leads nowhere stays, to be named
        present = [entry for entry in present if entry.is_file() or not entry.exists()]
    except OSError as error:
        raise DatasetError(f"bag {name}: cannot be read: {error.strerror}") from error
    listed, counts = _read_manifest(path / _MANIFEST)
    found = {entry: _listed_file(path, entry) for entry in listed}
    missing = [_name(entry) for entry, file in found.items() if file is None]
    if listed and not missing:
        return BagFiles([file for file in dict.fromkeys(found.values()) if file is not None], [], counts)
    # files were renamed, compressed or unpacked, or the recorder was killed before it wrote the manifest
    names = {entry.name for entry in present}
    paths = [entry for entry in present if plain_name(entry) == entry.name or plain_name(entry) not in names]
    paths = paths or [file for file in found.values() if file is not None]
    if not paths:
        lacking = f"; {_MANIFEST} lists {', '.join(missing)}" if missing else ""
        raise DatasetError(f"bag {name}: cannot be read: must contain a file .mcap, .db3 or .bag, has none{lacking}")
    return BagFiles(paths, missing if len(paths) < len(listed) else [], counts)


def _read_manifest(path: Path) -> Tuple[List[str], Dict[str, int]]:
    """Return the paths of the files as they are listed, and the message counts by topic.

    What cannot be read of the manifest is left out.
    """
    if not path.is_file():
        return [], {}
    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(_MAX_MANIFEST))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return [], {}
    content = _mapping(_mapping(content).get("rosbag2_bagfile_information"))
    listed = [entry for entry in _sequence(content.get("relative_file_paths")) if _is_path(entry)]
    counts: Dict[str, int] = {}
    for entry in _sequence(content.get("topics_with_message_count")):
        topic = _mapping(_mapping(entry).get("topic_metadata")).get("name")
        count = _mapping(entry).get("message_count")
        if isinstance(topic, str) and isinstance(count, int):
            counts[topic] = counts.get(topic, 0) + count
    return list(dict.fromkeys(listed)), counts


def _is_path(entry: Any) -> bool:
    return isinstance(entry, str) and "\0" not in entry and bool(_name(entry))


def _name(entry: str) -> str:
    return Path(entry).name


def _listed_file(folder: Path, entry: str) -> Optional[Path]:
    """Return a listed file: from the bag's folder, or else from where its path leads; None if it is in neither.

    Old bags list a file with the folder that it was recorded in.
    """
    for path in (folder / _name(entry), folder / entry):
        try:
            if path.is_file():
                return path
        except OSError:  # a name that is too long, a folder that may not be read
            continue
    return None


def _mapping(value: Any) -> Dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def _natural(path: Path) -> List[Any]:
    """Key that sorts numbers in names by their value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
