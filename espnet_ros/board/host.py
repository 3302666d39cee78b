"""Where the files of the machine itself are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable

ROOT_VARIABLE = "ESPNET_HOST_ROOT"
"""Environment variable: the folder at which a container sees the machine's own ``/``, where that is another."""

_COMPATIBLE_FILES = ("proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible")
_TX2 = "nvidia,tegra186"


def host_root() -> Path:
    """The folder that stands for ``/``."""
    return Path(os.environ.get(ROOT_VARIABLE) or "/")


def read_first(root: Path, names: Iterable[str]) -> str:
    """Text of the first of these files, relative to ``root``, that can be read; "" where none can."""
    for name in names:
        try:
            return (root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return ""


def read_compatible(root: Path) -> str:
    """What the device tree says the board is compatible with; "" where there is none."""
    return read_first(root, _COMPATIBLE_FILES)


def is_tx2(root: Path) -> bool:
    """Whether this is a Jetson TX2."""
    return _TX2 in read_compatible(root)
