"""What Pillow reads from an image file: its header, and a reduced picture, without messages of libjpeg on stderr."""

from __future__ import annotations

import io
import struct
from typing import Tuple

import numpy as np
from PIL import Image

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    NotImplementedError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a damaged file, depending on the format."""


def read_size(data: bytes) -> Tuple[int, int]:
    """Return height and width from the header of an image file, without decoding it.

    Raises:
        one of ``UNREADABLE``: Pillow does not recognise the file.
    """
    with Image.open(io.BytesIO(data)) as image:
        return image.height, image.width


def read_reduced(data: bytes, divisor: int) -> np.ndarray:
    """Decode a JPEG file at a fraction of its size, which takes less time.

    Args:
        data: the file.
        divisor: of height and width: 1, 2, 4 or 8.

    Raises:
        one of ``UNREADABLE``: Pillow cannot decode the file.
    """
    with Image.open(io.BytesIO(data)) as image:
        image.draft(image.mode, (max(1, image.width // divisor), max(1, image.height // divisor)))
        return np.asarray(image)
