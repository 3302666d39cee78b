"""Built engines on disk, so that a network is converted once a machine and not once a start."""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

from espnet_ros.model.checkpoint import sha256_of
from espnet_ros.resources import cache_folder

_MANIFEST = "manifest.json"
_logger = logging.getLogger(__name__)


class EngineCache:
    """A folder with one subfolder an engine, named after the hash of its key.

    An entry is complete or absent: it is built elsewhere on the same disk and renamed. On load its files are checked
    against the sums in its manifest; an entry that fails is built again.

    Args:
        folder: where entries live; "" for ``engines`` in the user's cache folder.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = Path(folder).expanduser() if folder else cache_folder() / "engines"

    def find(self, key: Mapping[str, str]) -> Optional[Path]:
        """Folder of the entry with this key, or None where there is none that is whole."""
        entry = self.folder / _name_of(key)
        try:
            manifest = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))
            if manifest["key"] == dict(key) and manifest["files"] == _sums(entry):
                return entry
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            pass
        _logger.warning("engine cache: %s is damaged; it is built again", entry)
        return None

    def find_or_build(self, key: Mapping[str, str], build: Callable[[Path], None]) -> Path:
        """Folder of the entry with this key, built where it is absent or damaged.

        Args:
            key: everything that the result depends on.
            build: writes the files of the entry into the folder it is given.

        Returns:
            The entry's folder. Where the cache cannot be written, a temporary folder that lives as long as the
            process; a warning says so.
        """
        entry = self.find(key)
        if entry is not None:
            return entry
        staging = self._make_staging_folder()
        try:
            build(staging)
            manifest: Dict[str, Any] = {"key": dict(key), "files": _sums(staging)}
            (staging / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return self._publish(staging, self.folder / _name_of(key))

    def _make_staging_folder(self) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=".building-", dir=str(self.folder)))
        except OSError as error:
            _logger.warning("engine cache: %s cannot be written (%s); this engine is not kept", self.folder, error)
            folder = tempfile.mkdtemp(prefix="espnet_ros-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return Path(folder)

    def _publish(self, staging: Path, entry: Path) -> Path:
        if staging.parent != self.folder:
            return staging
        shutil.rmtree(entry, ignore_errors=True)
        try:
            staging.replace(entry)
        except OSError:  # another process published the same entry in between
            if not entry.is_dir():
                raise
            shutil.rmtree(staging, ignore_errors=True)
        return entry


def _name_of(key: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:24]


def _sums(folder: Path) -> Dict[str, str]:
    return {
        path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != _MANIFEST
    }
