"""What the stand-in is told to be."""

import os
from typing import Tuple


def version() -> Tuple[int, ...]:
    return tuple(int(part) for part in os.environ.get("STANDIN_TENSORRT", "8.2.1.8").split("."))


def gpu() -> str:
    return os.environ["STANDIN_GPU"]


def has_fault(name: str) -> bool:
    return name in os.environ.get("STANDIN_FAULTS", "").split(",")
