"""One entry of the engine cache: a folder of files with a manifest."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Mapping

from espnet_ros.model.checkpoint import sha256_of

MANIFEST = "manifest.json"
_KEY_PARTS_IN_NAME = ("backend", "network", "alpha", "input_size", "precision")
_NAME = re.compile(r"(?:.*-)?[0-9a-f]{16,}")
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class CacheEntry:
    """Content of an entry's manifest. If the manifest cannot be read, only the path is known.

    Attributes:
        path: the entry's folder.
        key: everything that the engine depends on.
        weights_name: name of the weights when the engine was built; "" if unknown.
        created: time of the build in UTC, such as ``2026-11-23T16:22:15Z``; "" if unknown.
        seconds: build time; 0 if unknown.
        size: size of the files in bytes; 0 if unknown.
    """

    path: Path
    key: Mapping[str, str] = field(default_factory=dict)
    weights_name: str = ""
    created: str = ""
    seconds: float = 0.0
    size: int = 0

    @property
    def name(self) -> str:
        """Name of the entry's folder."""
        return self.path.name


def entry_name(key: Mapping[str, str]) -> str:
    """Return the folder name of the entry with this key: a readable part and the key's hash."""
    digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:16]
    parts = [re.sub(r"[^A-Za-z0-9_]", "_", key[part]) for part in _KEY_PARTS_IN_NAME if part in key]
    return "-".join([*parts, digest])


def is_entry_name(name: str) -> bool:
    """Return whether a folder of this name is an entry. Other files in a cache folder are left alone."""
    return _NAME.fullmatch(name) is not None


def write_manifest(folder: Path, key: Mapping[str, str], weights_name: str, seconds: float) -> None:
    """Write the manifest of an entry, after its files.

    Raises:
        OSError: a file cannot be read, or the manifest cannot be written.
    """
    files = sorted(folder.iterdir())
    manifest: Dict[str, Any] = {
        "key": dict(key),
        "files": {path.name: sha256_of(path) for path in files},
        "weights_name": weights_name,
        "created": datetime.now(timezone.utc).strftime(_TIME_FORMAT),
        "seconds": round(seconds, 1),
        "size": sum(path.stat().st_size for path in files),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def read_entry(folder: Path) -> CacheEntry:
    """Read an entry, which may be damaged."""
    try:
        manifest = _read_manifest(folder)
        return CacheEntry(
            path=folder,
            key=manifest["key"],
            weights_name=str(manifest["weights_name"]),
            created=str(manifest["created"]),
            seconds=float(manifest["seconds"]),
            size=int(manifest["size"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return CacheEntry(folder)


def find_problem(folder: Path) -> str:
    """Return what is wrong with an entry, as the end of a sentence after its name; "" if it is intact."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return "is not a folder"
        found = {path.name: path for path in folder.iterdir()}
        links = sorted(name for name, path in found.items() if path.is_symlink())
        if links:
            return f"contains a symbolic link: {links[0]}"
        if found.pop(MANIFEST, None) is None:
            return f"has no {MANIFEST}"
        manifest = _read_manifest(folder)
        if entry_name(manifest["key"]) != folder.name:
            return "has a name that does not match its key"
        return _compare_files(found, manifest["files"])
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return f"has a damaged {MANIFEST}"


def _read_manifest(folder: Path) -> Dict[str, Any]:
    path = folder / MANIFEST
    if path.is_fifo():  # reading it would wait
        raise ValueError(f"{path} must be a file")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deep") from error
    for name in ("key", "files"):
        texts = manifest[name]
        if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
            raise ValueError(f"{name} must be a mapping to texts, is {texts!r}")
    return dict(manifest)


def _compare_files(found: Mapping[str, Path], checksums: Mapping[str, str]) -> str:
    missing, unexpected = sorted(set(checksums) - set(found)), sorted(set(found) - set(checksums))
    if missing:
        return f"is missing its file {missing[0]}"
    if unexpected:
        return f"contains an unexpected file: {unexpected[0]}"
    changed = [name for name in sorted(checksums) if sha256_of(found[name]) != checksums[name]]
    return f"contains a changed file: {changed[0]}" if changed else ""
