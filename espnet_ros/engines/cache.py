"""Cache of built engines on disk, so that an engine is built once per machine instead of at every start."""

from __future__ import annotations

import errno
import logging
import os
import shutil
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
from espnet_ros.resources import cache_folder, expand_user, temporary_folder
from espnet_ros.stopping import POLL_PERIOD, check_stop

if TYPE_CHECKING:
    from filelock import FileLock

_UNFINISHED = ".unfinished-"
LOCK_TIMEOUT = 3600.0  # s; int8 calibration can take many minutes on a small GPU
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
MIN_FREE = 64 << 20  # bytes; enough for several engines
_logger = logging.getLogger(__name__)


class CacheUse(NamedTuple):
    """One use of the cache.

    Attributes:
        folder: the engine's files.
        seconds: build time; None if the engine was already in the cache.
        is_cached: whether the files are in the cache, not in a temporary folder.
    """

    folder: Path
    seconds: Optional[float]
    is_cached: bool


_listeners: List[Callable[[CacheUse], None]] = []


@contextmanager
def recorded_uses() -> Iterator[List[CacheUse]]:
    """Record this process's uses of caches inside the ``with`` block, in order."""
    uses: List[CacheUse] = []

    def record(use: CacheUse) -> None:
        uses.append(use)

    _listeners.append(record)
    try:
        yield uses
    finally:
        _listeners.remove(record)


class EngineCache:
    """A folder with one subfolder per engine, its entry, named after the engine's key.

    An entry is complete or absent: it is built under a hidden name and then renamed. When it is loaded, its files are
    checked against the checksums in its manifest; a damaged entry is rebuilt. The process that builds an entry holds
    the entry's lock, which the system releases when the process dies. Unfinished files whose entry is not locked
    therefore belong to a dead process.

    Args:
        folder: folder of the entries; "" for ``engines`` in the user's cache folder.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = expand_user(folder) if folder else cache_folder() / "engines"

    def find(self, key: Mapping[str, str]) -> Optional[Path]:
        """Return the folder of the entry with this key; None if it is missing or damaged."""
        entry = self.folder / entry_name(key)
        if not os.path.lexists(entry):
            return None
        problem = find_problem(entry)
        if problem:
            _logger.warning("engine cache: %s %s; rebuilding it", entry, problem)
        return None if problem else entry

    def find_or_build(self, key: Mapping[str, str], build: Callable[[Path], None], weights_name: str = "") -> Path:
        """Return the folder of the entry with this key, and build it if it is missing or damaged.

        If another process is building the entry, wait and use its result.

        Args:
            key: everything that the engine depends on, see ``engine_key``.
            build: writes the entry's files, without subfolders, into the given folder. If the cache's disk is full it
                is called again with another folder.
            weights_name: name of the weights, for listings.

        Returns:
            The entry's folder. If the cache cannot be written, a temporary folder that is deleted when the process
            ends, and a warning is logged.
        """
        entry = self.find(key)
        use = None if entry is None else CacheUse(entry, None, is_cached=True)
        if use is None:
            try:
                use = self._wait_or_build(key, build, weights_name)
            except _NotCachedError as reason:
                _logger.warning("engine cache: %s %s; this engine will not be cached", self.folder, reason)
                use = _build_uncached(build)
        else:
            self._remove_leftovers()
        for listener in _listeners:
            listener(use)
        return use.folder

    def entries(self) -> List[CacheEntry]:
        """Return all entries, also damaged ones, by name.

        Raises:
            EngineError: the folder exists but cannot be listed.
        """
        try:
            return [read_entry(path) for path in sorted(self.folder.iterdir()) if is_entry_name(path.name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise EngineError(f"engine cache {self.folder} cannot be listed: {error.strerror}") from error

    def verify(self, entry: CacheEntry) -> str:
        """Return what is wrong with an entry, as the end of a sentence after its name; "" if it is intact."""
        return find_problem(entry.path)

    def remove(self, entry: CacheEntry) -> None:
        """Delete an entry. Running engines are not affected.

        Raises:
            EngineError: the entry cannot be deleted.
        """
        try:
            self._discard(entry.path)
        except OSError as error:
            raise EngineError(f"engine cache: {entry.path} cannot be removed: {error.strerror}") from error

    def _wait_or_build(self, key: Mapping[str, str], build: Callable[[Path], None], weights_name: str) -> CacheUse:
        name = entry_name(key)
        entry = self.folder / name
        with self._locked(name):
            if not find_problem(entry):  # another process has built it in the meantime
                return CacheUse(entry, None, is_cached=True)
            self._remove_leftovers(name)
            unfinished = self._unfinished(name)
            start = time.monotonic()
            try:
                with _disk_errors():
                    unfinished.mkdir()  # with the user's umask, so that others can read a shared cache
                self._fill(unfinished, build)
                seconds = time.monotonic() - start
                with _disk_errors():
                    write_manifest(unfinished, key, weights_name, seconds)
                    if os.path.lexists(entry):
                        self._discard(entry)
                    unfinished.rename(entry)
            finally:
                shutil.rmtree(str(unfinished), ignore_errors=True)
        return CacheUse(entry, seconds, is_cached=True)

    def _fill(self, folder: Path, build: Callable[[Path], None]) -> None:
        try:
            build(folder)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK_FULL:
                raise _NotCachedError(f"is on a full disk ({error.strerror})") from error
            # a library or child process that runs out of space rarely reports it, and deletes its files
            free = shutil.disk_usage(str(self.folder)).free
            if free < MIN_FREE:
                raise _NotCachedError(f"is on a disk with {free >> 20} MiB left ({error})") from error
            raise

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the lock of an entry, after waiting for another process that holds it."""
        from filelock import FileLock  # not needed to start from a cached engine

        lock = FileLock(str(self._lock_path(name)))
        try:
            with _disk_errors():
                self.folder.mkdir(parents=True, exist_ok=True)
                self._acquire(lock, name)
        except NotImplementedError as error:
            raise _NotCachedError("is on a file system without file locks") from error
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
                _wait_for(lock)
        except Timeout as error:
            raise _NotCachedError(f"has {name} locked by a process that does not finish") from error

    def _remove_leftovers(self, locked: str = "") -> None:
        """Delete unfinished files of dead processes, of the locked entry and of entries that nobody is building."""
        leftovers = list(self.folder.glob(f".*{_UNFINISHED}*"))
        if not leftovers:
            return
        from filelock import FileLock

        for path in leftovers:
            owner = path.name[1:].partition(_UNFINISHED)[0]
            if owner == locked:
                _delete(path)
            else:  # a Timeout of FileLock is an OSError
                with suppress(OSError, NotImplementedError), FileLock(str(self._lock_path(owner)), timeout=0):
                    _delete(path)

    def _discard(self, path: Path) -> None:
        """Rename an entry out of the way, which is immediate, then delete its files."""
        discarded = self._unfinished(path.name)
        path.rename(discarded)
        _delete(discarded)

    def _unfinished(self, name: str) -> Path:
        return self.folder / f".{name}{_UNFINISHED}{uuid.uuid4().hex}"

    def _lock_path(self, name: str) -> Path:
        """Return the lock file. It is never deleted: a process waiting for a deleted file would miss its successor."""
        return self.folder / f".{name}.lock"


def _wait_for(lock: FileLock) -> None:
    """Acquire a lock that another process holds, unless this process is to end."""
    from filelock import Timeout

    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        check_stop()
        try:
            lock.acquire(timeout=POLL_PERIOD)
            return
        except Timeout:
            if time.monotonic() > deadline:
                raise


class _NotCachedError(Exception):
    """An entry cannot be written. The message is the end of a sentence after the cache folder's name."""


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _NotCachedError(f"cannot be written ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _build_uncached(build: Callable[[Path], None]) -> CacheUse:
    folder = temporary_folder()
    start = time.monotonic()
    build(folder)
    return CacheUse(folder, time.monotonic() - start, is_cached=False)


def _delete(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(str(path), ignore_errors=True)
