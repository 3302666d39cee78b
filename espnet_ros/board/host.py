"""Location of the host machine's system files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable

ROOT_VARIABLE = "ESPNET_HOST_ROOT"
"""Environment variable with the folder at which a container has the host's ``/`` mounted."""

_COMPATIBLE_FILES = ("proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible")
_TX2 = "nvidia,tegra186"


def host_root() -> Path:
    """Return the root folder of the host."""
    return Path(os.environ.get(ROOT_VARIABLE) or "/")


def read_first(root: Path, names: Iterable[str]) -> str:
    """Return the text of the first readable file of ``names``, relative to ``root``; "" if none is readable."""
    for name in names:
        try:
            return (root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return ""


def read_compatible(root: Path) -> str:
    """Return the ``compatible`` entry of the device tree; "" if there is no device tree."""
    return read_first(root, _COMPATIBLE_FILES)


def is_tx2(root: Path) -> bool:
    """Return whether this is a Jetson TX2."""
    return _TX2 in read_compatible(root)
