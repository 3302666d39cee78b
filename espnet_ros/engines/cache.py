"""Built engines on disk, so that a network is built once a machine and not once a start."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import shutil
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, List, Mapping, NamedTuple, Optional

from espnet_ros.engines.cache_entry import (
    CacheEntry,
    entry_name,
    find_problem,
    is_entry_name,
    read_entry,
    write_manifest,
)
from espnet_ros.errors import EngineError
from espnet_ros.resources import cache_folder

if TYPE_CHECKING:
    from filelock import FileLock

_UNFINISHED = ".unfinished-"
LONGEST_WAIT = 3600.0  # s; calibrating for int8 may take many minutes on a small GPU
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
SCARCE = 64 << 20  # bytes; several engines fit in it
_logger = logging.getLogger(__name__)


class CacheUse(NamedTuple):
    """How an engine came from the cache.

    Attributes:
        folder: its files.
        seconds: that building took; None where it was there already.
        is_kept: it is in the cache, not in a temporary folder.
    """

    folder: Path
    seconds: Optional[float]
    is_kept: bool


_listeners: List[Callable[[CacheUse], None]] = []


@contextmanager
def noting_uses() -> Iterator[List[CacheUse]]:
    """Note what this process takes from caches meanwhile, in that order."""
    uses: List[CacheUse] = []

    def note(use: CacheUse) -> None:
        uses.append(use)

    _listeners.append(note)
    try:
        yield uses
    finally:
        _listeners.remove(note)


class EngineCache:
    """A folder with one subfolder an engine, named after its key.

    An entry is complete or absent: it is built beside the others under a hidden name and renamed. On load its files are
    checked against the sums in its manifest; an entry that fails is built again. Who builds an entry holds its lock,
    which the system frees when a process dies; so unfinished files whose entry is not locked are a dead process's.

    Args:
        folder: where entries live; "" for ``engines`` in the user's cache folder.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = Path(folder).expanduser() if folder else cache_folder() / "engines"

    def find(self, key: Mapping[str, str]) -> Optional[Path]:
        """Folder of the entry with this key, or None where there is none that is whole."""
        entry = self.folder / entry_name(key)
        if not os.path.lexists(entry):
            return None
        problem = find_problem(entry)
        if problem:
            _logger.warning("engine cache: %s %s; it is built again", entry, problem)
        return None if problem else entry

    def find_or_build(self, key: Mapping[str, str], build: Callable[[Path], None], weights_name: str = "") -> Path:
        """Folder of the entry with this key, built where it is absent or damaged.

        Where another process builds it, this one waits and takes what the other has built.

        Args:
            key: everything that the result depends on, see ``engine_key``.
            build: writes the files of the entry, and no folders, into the folder it is given. Where the cache's disk
                is full it is called a second time, with another folder.
            weights_name: what people call the weights.

        Returns:
            The entry's folder. Where the cache cannot be written, a temporary folder that lives as long as the
            process; a warning says so.
        """
        entry = self.find(key)
        use = None if entry is None else CacheUse(entry, None, is_kept=True)
        if use is None:
            try:
                use = self._wait_or_build(key, build, weights_name)
            except _CannotKeepError as reason:
                _logger.warning("engine cache: %s %s; this engine is not kept", self.folder, reason)
                use = _build_unkept(build)
        for listener in _listeners:
            listener(use)
        return use.folder

    def entries(self) -> List[CacheEntry]:
        """All entries, whole or not, by name.

        Raises:
            EngineError: the folder is there and cannot be listed.
        """
        try:
            return [read_entry(path) for path in sorted(self.folder.iterdir()) if is_entry_name(path.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise EngineError(f"engine cache {self.folder} cannot be listed: {error.strerror}") from error

    def verify(self, entry: CacheEntry) -> str:
        """What is wrong with an entry, to follow its name in a sentence; "" where it is whole."""
        return find_problem(entry.path)

    def remove(self, entry: CacheEntry) -> None:
        """Take an entry out of the cache. An engine that runs keeps what it has loaded.

        Raises:
            EngineError: it cannot be removed.
        """
        try:
            self._discard(entry.path)
        except OSError as error:
            raise EngineError(f"engine cache: {entry.path} cannot be removed: {error.strerror}") from error

    def _wait_or_build(self, key: Mapping[str, str], build: Callable[[Path], None], weights_name: str) -> CacheUse:
        name = entry_name(key)
        entry = self.folder / name
        with self._locked(name):
            if not find_problem(entry):  # another process was faster
                return CacheUse(entry, None, is_kept=True)
            self._sweep(name)
            unfinished = self._unfinished(name)
            start = time.monotonic()
            try:
                with _needing_the_disk():
                    unfinished.mkdir()  # by the user's umask, so that others can read a cache that is shared
                self._fill(unfinished, build)
                seconds = time.monotonic() - start
                with _needing_the_disk():
                    write_manifest(unfinished, key, weights_name, seconds)
                    if os.path.lexists(entry):
                        self._discard(entry)
                    unfinished.rename(entry)
            finally:
                shutil.rmtree(str(unfinished), ignore_errors=True)
        return CacheUse(entry, seconds, is_kept=True)

    def _fill(self, folder: Path, build: Callable[[Path], None]) -> None:
        try:
            build(folder)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                raise _CannotKeepError(f"is on a disk that is full ({error.strerror})") from error
            # a library or a child process that ran out of space seldom says so, and tidies up
            left = shutil.disk_usage(str(self.folder)).free
            if left < SCARCE:
                raise _CannotKeepError(f"is on a disk with {left >> 20} MiB left ({error})") from error
            raise

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the lock of an entry; wait for another process that holds it."""
        from filelock import FileLock  # a cached engine starts without it

        lock = FileLock(str(self._lock_path(name)))
        try:
            with _needing_the_disk():
                self.folder.mkdir(parents=True, exist_ok=True)
                self._acquire(lock, name)
        except NotImplementedError as error:
            raise _CannotKeepError("is on a file system without locks") from error
        try:
            yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, name: str) -> None:
        from filelock import Timeout

        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                _logger.warning("engine cache: another process is building %s; waiting for it", self.folder / name)
                lock.acquire(timeout=LONGEST_WAIT)
        except Timeout as error:
            raise _CannotKeepError(f"has {name} locked by a process that does not finish") from error

    def _sweep(self, locked: str) -> None:
        """Remove what builders that died have left, of the entry that is locked and of others that nobody builds."""
        from filelock import FileLock

        for path in list(self.folder.glob(f".*{_UNFINISHED}*")):
            owner = path.name[1:].partition(_UNFINISHED)[0]
            if owner == locked:
                _delete(path)
            else:  # FileLock's Timeout is an OSError
                with suppress(OSError, NotImplementedError), FileLock(str(self._lock_path(owner)), timeout=0):
                    _delete(path)

    def _discard(self, path: Path) -> None:
        """Make an entry vanish at once; deleting its files takes longer."""
        vanished = self._unfinished(path.name)
        path.rename(vanished)
        _delete(vanished)

    def _unfinished(self, name: str) -> Path:
        return self.folder / f".{name}{_UNFINISHED}{uuid.uuid4().hex}"

    def _lock_path(self, name: str) -> Path:
        """It stays when it is freed: a process that waits for a deleted file would not see who has the next one."""
        return self.folder / f".{name}.lock"


class _CannotKeepError(Exception):
    """An entry cannot be written. The message follows the cache folder's name in a sentence."""


@contextmanager
def _needing_the_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _CannotKeepError(f"cannot be written ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _build_unkept(build: Callable[[Path], None]) -> CacheUse:
    folder = Path(tempfile.mkdtemp(prefix="espnet_ros-"))
    atexit.register(shutil.rmtree, str(folder), ignore_errors=True)
    start = time.monotonic()
    build(folder)
    return CacheUse(folder, time.monotonic() - start, is_kept=False)


def _delete(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(str(path), ignore_errors=True)
