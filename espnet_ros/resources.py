"""Locates files: those shipped next to the Python code, the user's home and cache, and a place for temporary files."""

from __future__ import annotations

import atexit
import logging
import os
import pwd
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Iterator, Optional, Union

from espnet_ros.errors import PathError

_PACKAGE = "espnet_ros"
_logger = logging.getLogger(__name__)


def share_folder() -> Path:
    """Return the folder with ``config/``: the source tree, or the share folder of a colcon or pip installation.

    Raises:
        FileNotFoundError: the package was installed without its shared files.
    """
    for folder in _candidates():
        if (folder / "config" / "cityscapes.yaml").is_file():
            return folder
    searched = ", ".join(str(folder) for folder in _candidates())
    raise FileNotFoundError(f"{_PACKAGE}: config/cityscapes.yaml not found in {searched}")


def home_folder() -> Optional[Path]:
    """Return the user's home: ``$HOME``, or that of the user's passwd entry; None if there is neither.

    A container started with ``--user 1234`` has no passwd entry, and some start without ``$HOME``.
    """
    home = Path(os.environ.get("HOME", ""))
    if not home.is_absolute():
        try:
            home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        except KeyError:
            return None
    return home if home.is_absolute() else None


def expand_user(path: Union[str, Path]) -> Path:
    """Return a path with a leading ``~`` or ``~user`` replaced by that user's home.

    Raises:
        PathError: there is no such user, or this user has no home.
    """
    first, _, rest = str(path).partition(os.sep)
    if first == "~":
        home = home_folder()
        if home is None:
            raise PathError(f"path '{path}': '~' needs a home folder, but HOME is not set and this user has none")
        return home / rest.lstrip(os.sep)
    if not first.startswith("~"):
        return Path(path)
    try:
        return Path(pwd.getpwnam(first[1:]).pw_dir, rest.lstrip(os.sep))
    except (KeyError, ValueError) as error:  # ValueError: a null byte
        raise PathError(f"path '{path}': there is no user '{first[1:]}'") from error


def cache_folder() -> Path:
    """Return the user's cache folder (XDG base directories). It may not exist, and may not be writable.

    Without ``$XDG_CACHE_HOME`` and a home, it is a temporary folder, and a warning is logged once.

    Raises:
        PathError: there is no temporary folder either.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # the specification ignores relative ones
        return base / _PACKAGE
    home = home_folder()
    return temporary_cache() if home is None else home / ".cache" / _PACKAGE


@lru_cache(maxsize=None)
def temporary_cache() -> Path:
    """Make the cache folder of a user without a home, once per process. See ``temporary_folder`` for errors."""
    folder = temporary_folder()
    _logger.warning(
        "this user has no home folder, and neither HOME nor XDG_CACHE_HOME is set: engines and weights are cached in "
        "%s and deleted when the process ends",
        folder,
    )
    return folder


def temporary_folder() -> Path:
    """Make a folder that is deleted when the process ends.

    Raises:
        PathError: no folder for temporary files is writable.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PACKAGE}-"))
    except OSError as error:
        raise PathError(
            f"temporary files: no writable folder ({error.strerror}); set TMPDIR to a folder that can be written"
        ) from error
    atexit.register(shutil.rmtree, str(folder), ignore_errors=True)
    return folder


def _candidates() -> Iterator[Path]:
    package = Path(__file__).resolve().parent
    yield package.parent
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / _PACKAGE
    for parent in Path(__file__).parents:
        yield parent / "share" / _PACKAGE
    yield Path(sys.prefix) / "share" / _PACKAGE
