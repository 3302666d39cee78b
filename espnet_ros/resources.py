"""Locates the files that are shipped next to the Python code: config/, launch/ and weights/."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterator

_PACKAGE = "espnet_ros"


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


def cache_folder() -> Path:
    """Return the user's cache folder (XDG base directories). It may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / _PACKAGE


def _candidates() -> Iterator[Path]:
    package = Path(__file__).resolve().parent
    yield package.parent
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / _PACKAGE
    for parent in Path(__file__).parents:
        yield parent / "share" / _PACKAGE
    yield Path(sys.prefix) / "share" / _PACKAGE
