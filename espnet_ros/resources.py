"""Finds the files that the package ships beside its Python code (config/, launch/, weights/)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterator

_PACKAGE = "espnet_ros"


def share_folder() -> Path:
    """Folder that holds ``config/``: the source tree, a colcon install, or a pip install.

    Raises:
        FileNotFoundError: the package was installed without its shared files.
    """
    for folder in _candidates():
        if (folder / "config" / "cityscapes.yaml").is_file():
            return folder
    looked = ", ".join(str(folder) for folder in _candidates())
    raise FileNotFoundError(f"{_PACKAGE}: config/cityscapes.yaml is in none of {looked}")


def cache_folder() -> Path:
    """Per-user cache folder by the XDG rules; it may not exist yet."""
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
