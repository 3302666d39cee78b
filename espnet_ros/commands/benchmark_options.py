"""Values that the subjects of ``espnet_ros benchmark`` take, and files that they write."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, Dict

from espnet_ros.errors import DatasetError
from espnet_ros.types import ImageSize


def image_size(text: str) -> ImageSize:
    """An argparse type: HEIGHTxWIDTH."""
    height, _, width = text.lower().partition("x")
    try:
        size = ImageSize(int(height), int(width))
    except ValueError:
        size = ImageSize(0, 0)
    if min(size) < 1:
        raise argparse.ArgumentTypeError(f"a size is written HEIGHTxWIDTH in pixels, such as 512x1024; got '{text}'")
    return size


def whole_positive(text: str) -> int:
    """An argparse type: a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, is '{text}'")
    return int(text)


def whole_number(text: str) -> int:
    """An argparse type: a whole number, 0 too."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, is '{text}'")
    return int(text)


def positive(text: str) -> float:
    """An argparse type: a number above 0."""
    value = _number(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, is '{text}'")
    return value


def not_negative(text: str) -> float:
    """An argparse type: a number of at least 0."""
    value = _number(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, is '{text}'")
    return value


def write_text(path: Path, text: str) -> None:
    """Write a file, and the folders above it.

    Raises:
        DatasetError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"file {path}: cannot be written: {error.strerror}") from error


def write_json(path: Path, document: Dict[str, Any]) -> None:
    """Write a document as JSON.

    Raises:
        DatasetError: it cannot be written.
    """
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
