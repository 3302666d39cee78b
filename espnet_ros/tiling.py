"""Labels images that are too large to label in one piece, in overlapping tiles at the image's own resolution.

A label depends on the pixels around it, so labels near the edge of a tile are less accurate. They are discarded and
taken from the neighbouring tile, which overlaps. Tiles start at multiples of 8, so that the network's strided grids
have the same alignment as in the whole image.
"""

from __future__ import annotations

import math
from typing import Any, Callable, List, NamedTuple, Tuple

import cv2
import numpy as np

from espnet_ros.config import SIZE_MULTIPLE
from espnet_ros.errors import ParameterError
from espnet_ros.segmenter import Segmenter
from espnet_ros.types import ImageSize

TILE_SIDE = 2048
"""Default side of a tile, in pixels. Larger tiles overlap relatively less, but need more memory: 0.7 GB at 2048."""

_BLOCK_RADIUS = 16 * 8
"""Pixels that an ESP block of the third level reaches to each side: dilation 16 at an eighth of the resolution."""


class Window(NamedTuple):
    """A rectangle of an image, in pixels. ``bottom`` and ``right`` are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> Tuple[slice, slice]:
        """Slices of the rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class Tile(NamedTuple):
    """One piece of a large image.

    Attributes:
        source: input of the network, of the tile size. It can extend beyond the bottom and right of the image.
        kept: part whose labels are used. The kept windows of all tiles cover each pixel of the image once.
    """

    source: Window
    kept: Window


class _Span(NamedTuple):
    """Extent of a tile along one axis, in pixels."""

    start: int
    kept_start: int
    kept_stop: int


def receptive_radius(alpha: int) -> int:
    """Return the radius of the receptive field in pixels: 784, 1040, 1424 for alpha 3, 5, 8.

    A 3x3 convolution with dilation d on a grid of stride s reaches d * s pixels to each side. ESPNet's layers add up:
    the first convolution (1 pixel), the second level's strided convolution (2) and 3 pyramids (16 * 4 each), the third
    level's strided convolution (4) and 1 + alpha pyramids (16 * 8 each), the decoder's pyramid (16 * 4) and last
    convolution (2). A cell of the stride-8 grid is centred on the first of its 8 pixels, so the last pixel reaches 7
    more to the left.

    Args:
        alpha: number of ESP blocks at the third level.
    """
    return 1 + 2 + 3 * 64 + 4 + (1 + alpha) * _BLOCK_RADIUS + 64 + 2 + (SIZE_MULTIPLE - 1)


def default_overlap(alpha: int) -> int:
    """Return the overlap in pixels at which tiling changes less than 0.1 % of the labels: 896, 1072, 1280.

    Few labels depend on the whole receptive field. The effective one grows with the square root of the depth (Luo et
    al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NIPS 2016), here of the
    1 + alpha pyramids of the third level. The factor was measured on Cityscapes images that were cut at 17 rows and
    columns: beyond half this overlap from the cut, each line across it has at most 0.15 pixels with a different label
    (alpha 3 and 8). That is 0.05 % in tiles of 2048 pixels.

    Args:
        alpha: number of ESP blocks at the third level.
    """
    margin = 1.5 * _BLOCK_RADIUS * math.sqrt(1 + alpha) + 64
    return 2 * _round_up(math.ceil(margin))


def fit_tile(height: int, width: int, tile: ImageSize) -> ImageSize:
    """Return ``tile``, limited to the image size rounded up to a multiple of 8."""
    return ImageSize(min(tile.height, _round_up(height)), min(tile.width, _round_up(width)))


def plan_tiles(height: int, width: int, tile: ImageSize, overlap: int) -> List[Tile]:
    """Return tiles that cover an image, row by row.

    Tiles are spread evenly. Neighbours share at least ``overlap`` pixels, and their kept windows meet in the middle of
    the shared part. The last tiles end at the image's side rounded up to a multiple of 8. An image smaller than a tile
    gets one tile that extends beyond it.

    Args:
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        tile: input size of the network, multiples of 8.
        overlap: minimum number of pixels that neighbours share; rounded up to a multiple of 8.

    Raises:
        ParameterError: a size or the overlap breaks its rule.
    """
    if height < 1 or width < 1:
        raise ParameterError(f"image to tile must have at least 1x1 pixels, has {height}x{width}")
    rows = _plan_side(height, tile.height, overlap, "height")
    columns = _plan_side(width, tile.width, overlap, "width")
    return [
        Tile(
            Window(row.start, column.start, row.start + tile.height, column.start + tile.width),
            Window(row.kept_start, column.kept_start, row.kept_stop, column.kept_stop),
        )
        for row in rows
        for column in columns
    ]


def label_large_image(
    image: np.ndarray, segmenter: Segmenter, overlap: int, on_tile: Callable[[], Any] = lambda: None
) -> np.ndarray:
    """Label an image at its own resolution, tile by tile.

    Apart from the image and the result, only one tile is in memory. The image can be a ``numpy.memmap``.

    Args:
        image: (H, W, 3) uint8 BGR.
        segmenter: the input size of its engine is the tile size.
        overlap: minimum overlap of neighbouring tiles, in pixels; see ``default_overlap``.
        on_tile: called after each tile, to show progress.

    Returns:
        (H, W) uint8 class ids.

    Raises:
        ImageError: the image has the wrong shape or dtype.
        ParameterError: the overlap does not fit the tile.
        EngineError: the engine failed.
    """
    labels = np.empty(image.shape[:2], np.uint8)
    for tile in plan_tiles(image.shape[0], image.shape[1], segmenter.engine.spec.input_size, overlap):
        found = segmenter.segment(read_window(image, tile.source)).labels
        top, left = tile.source.top, tile.source.left
        kept = tile.kept
        labels[kept.slices] = found[kept.top - top : kept.bottom - top, kept.left - left : kept.right - left]
        on_tile()
    return labels


def read_window(image: np.ndarray, window: Window) -> np.ndarray:
    """Return the pixels of a window; pixels beyond the bottom and right of the image are mirrored.

    Args:
        image: (H, W, 3) uint8.
        window: its top left corner is inside the image.

    Returns:
        (h, w, 3) uint8; a view of the image if the window is inside it.
    """
    inside = image[window.slices]
    below = window.bottom - window.top - inside.shape[0]
    beside = window.right - window.left - inside.shape[1]
    if not below and not beside:
        return inside
    return np.asarray(cv2.copyMakeBorder(np.asarray(inside), 0, below, 0, beside, cv2.BORDER_REFLECT))


def _plan_side(length: int, tile: int, overlap: int, side: str) -> List[_Span]:
    if tile < SIZE_MULTIPLE or tile % SIZE_MULTIPLE:
        raise ParameterError(f"tile {side} must be a positive multiple of {SIZE_MULTIPLE}, is {tile}")
    if overlap < 0:
        raise ParameterError(f"overlap must be at least 0 pixels, is {overlap}")
    excess = _round_up(length) - tile
    if excess <= 0:
        return [_Span(0, 0, length)]
    step = tile - _round_up(overlap)
    if step <= 0:
        raise ParameterError(f"overlap must be at most {tile - SIZE_MULTIPLE} in tiles of {side} {tile}, is {overlap}")
    count = 1 + math.ceil(excess / step)
    # rounding down keeps the distance between starts at or below `step`, which is a multiple of 8
    starts = [index * excess // (count - 1) // SIZE_MULTIPLE * SIZE_MULTIPLE for index in range(count)]
    borders = [0, *((first + tile + second) // 2 for first, second in zip(starts, starts[1:])), length]
    return [_Span(*span) for span in zip(starts, borders, borders[1:])]


def _round_up(pixels: int) -> int:
    return -(-pixels // SIZE_MULTIPLE) * SIZE_MULTIPLE
