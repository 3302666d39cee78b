"""Reads label images, and says what a file holds instead of class ids."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Optional

import numpy as np
from PIL import Image, UnidentifiedImageError

from espnet_ros.errors import DatasetError, one_line
from espnet_ros.image_encoding.pillow import UNREADABLE

MAPPING_HELP = "docs/training.md has a command under 'Label images'"
_LOSSY = ("JPEG", "MPO", "JPEG2000")
_LOSSY_COMPRESSIONS = ("jpeg", "tiff_jpeg", "webp")
_TIFF_DEPTH, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_PGM_LARGEST = re.compile(rb"P[25](?:(?:\s|#[^\n]*\n)+(\d+)){3}")
_PNG_START, _PNG_DEPTH_AT = b"\x89PNG\r\n\x1a\n", 24
_DEEP = ("I", "F")  # the first letter of Pillow's modes with more than 8 bits
_ALPHA = {"LA": "grey with transparency", "La": "grey with transparency", "PA": "a palette with transparency"}


def read_label_file(path: Path) -> np.ndarray:
    """Return the class ids of a label image as (H, W) uint8: the indices of a palette image, the values of a grey one.

    Raises:
        DatasetError: the file cannot be read, or holds something else than 8-bit ids: a mask of 1 bit, colours,
            16 bits, lossy compression. The message names the file, what it holds and what to do.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"label image {path}: cannot be read: {error.strerror}") from error
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(image)
            objection = _objection(image, data, pixels)
    except UnidentifiedImageError as error:
        raise DatasetError(f"label image {path}: Pillow cannot read it as an image") from error
    except UNREADABLE as error:
        raise DatasetError(f"label image {path}: is damaged: {one_line(error)}") from error
    if objection is not None:
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        # Pillow before 11 widens 16 bits
        found = f"{channels} of {'uint16' if _png_depth(data) == 16 else pixels.dtype}"
        raise DatasetError(f"label image {path}: must have one 8-bit channel of class ids, has {found}: {objection}")
    return pixels


def _objection(image: Image.Image, data: bytes, pixels: np.ndarray) -> Optional[str]:
    """Return what a file holds instead of class ids, and what to do; None for class ids."""
    mode = image.mode
    if image.format in _LOSSY or image.info.get("compression") in _LOSSY_COMPRESSIONS:
        return "JPEG changes the ids of pixels; save labels as PNG"
    if mode == "1":
        return f"it is a mask of 1 bit per pixel; map it to the ids 0 and 1 ({MAPPING_HELP})"
    if mode.startswith(_DEEP):
        return "save the ids with 8 bits; instance ids must be mapped to class ids first"
    if mode in _ALPHA:
        return f"it is {_ALPHA[mode]}; save the ids without transparency"
    if mode not in ("L", "P"):
        is_grey = pixels.ndim == 3 and bool((pixels[:, :, :1] == pixels[:, :, :3]).all())
        if is_grey:
            return "all of its colour channels are equal; save one of them as a grey PNG"
        return f"it holds {mode} colours; replace each colour by the id of its class and save a grey or palette PNG"
    return _objection_to_grey(image, data) if mode == "L" else None


def _objection_to_grey(image: Image.Image, data: bytes) -> Optional[str]:
    """Return why a grey file's values are not those that were stored: Pillow scales them to 0..255, or inverts them."""
    tags = getattr(image, "tag_v2", {})
    depth = _png_depth(data) or tags.get(_TIFF_DEPTH, (8,))[0]
    if depth != 8:
        return f"its values of {depth} bits may be ids or brightness; save the ids with 8 bits or as a palette PNG"
    pgm = _PGM_LARGEST.match(data)
    if pgm is not None and int(pgm.group(1)) != 255:
        return (
            f"its header says that {int(pgm.group(1))} is white; save the ids with 255 as the largest value, or as PNG"
        )
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        return "its header says that 0 is white, so its values may be ids or inverted; save the ids as PNG"
    return None


def _png_depth(data: bytes) -> Optional[int]:
    """Return the bits per sample of a PNG file; None for other files."""
    return data[_PNG_DEPTH_AT] if data.startswith(_PNG_START) else None
