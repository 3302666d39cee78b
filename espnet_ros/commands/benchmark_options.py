"""Option types and output files of ``espnet_ros benchmark``."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, Dict

from espnet_ros.errors import DatasetError
from espnet_ros.types import ImageSize


def image_size(text: str) -> ImageSize:
    """Parse HEIGHTxWIDTH, as an argparse type."""
    height, _, width = text.lower().partition("x")
    try:
        size = ImageSize(int(height), int(width))
    except ValueError:
        size = ImageSize(0, 0)
    if min(size) < 1:
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH in pixels, such as 512x1024, is '{text}'")
    return size


def whole_positive(text: str) -> int:
    """Parse an integer above 0, as an argparse type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer above 0, is '{text}'")
    return int(text)


def whole_number(text: str) -> int:
    """Parse an integer of at least 0, as an argparse type."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be an integer of at least 0, is '{text}'")
    return int(text)


def positive(text: str) -> float:
    """Parse a finite number above 0, as an argparse type."""
    value = _number(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, is '{text}'")
    return value


def not_negative(text: str) -> float:
    """Parse a finite number of at least 0, as an argparse type."""
    value = _number(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, is '{text}'")
    return value


def write_text(path: Path, text: str) -> None:
    """Write a text file; missing parent folders are created.

    Raises:
        DatasetError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"file {path}: cannot be written: {error.strerror}") from error


def write_json(path: Path, document: Dict[str, Any]) -> None:
    """Write a document as JSON; missing parent folders are created.

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
