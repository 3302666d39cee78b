"""What Pillow reads from an image file: its header, and pixels that OpenCV would convert."""

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


def read_stored_pixels(data: bytes) -> np.ndarray:
    """Return the pixels of an image file as they are stored: no colours for CMYK, indices for a palette.

    Raises:
        one of ``UNREADABLE``: Pillow cannot decode the file.
    """
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)
