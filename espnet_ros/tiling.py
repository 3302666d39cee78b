"""Images larger than memory allows in one piece: overlapping tiles at the image's own resolution.

A label depends on the pixels around it. What a tile's edge cuts off changes the labels near that edge, so these are
thrown away, and taken from the neighbouring tile, which overlaps. Tiles start at multiples of 8, where the network's
strided grids fall as they do in the whole image.
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
"""Side of a tile, in pixels. A larger one wastes less on the overlap, but needs more memory: 0.7 GB at this side."""

_WIDEST_STEP = 16 * 8
"""Pixels that one ESP block of the third level reaches to each side: dilation 16 at an eighth of the resolution."""


class Window(NamedTuple):
    """A rectangle of an image, in pixels; ``bottom`` and ``right`` lie outside it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> Tuple[slice, slice]:
        """Rows and columns, to index an array with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class Tile(NamedTuple):
    """One piece of a large image.

    Attributes:
        source: what the network sees, of the tile's size; it may reach beyond the image's bottom and right.
        kept: whose labels are taken. The kept windows of all tiles cover the image, each pixel once.
    """

    source: Window
    kept: Window


class _Span(NamedTuple):
    """One side of a tile: where it starts, and which part of it is kept."""

    start: int
    kept_start: int
    kept_stop: int


def receptive_radius(alpha: int) -> int:
    """Pixels to each side beyond which nothing can change a label: 784, 1040, 1424 for alpha 3, 5, 8.

    A 3x3 convolution of dilation d on a grid of stride s reaches d * s pixels. ESPNet has in a row: the first
    convolution (1 pixel), the second level's strided one (2) and its 3 pyramids (16 * 4 each), the third level's
    strided one (4) and its 1 + alpha pyramids (16 * 8 each), the decoder's pyramid (16 * 4) and last convolution (2).
    The grid of stride 8 is centred on the first of the 8 pixels it labels, so the last one sees 7 more to its left.

    Args:
        alpha: ESP blocks at the third level.
    """
    return 1 + 2 + 3 * 64 + 4 + (1 + alpha) * _WIDEST_STEP + 64 + 2 + (SIZE_MULTIPLE - 1)


def default_overlap(alpha: int) -> int:
    """Pixels that neighbouring tiles share, so that tiling changes less than 0.1 % of the labels: 896, 1072, 1280.

    Few labels depend on the whole receptive field: what counts grows with the square root of the depth (Luo et al.,
    "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NIPS 2016), here of the
    1 + alpha pyramids of the third level. The factor is measured: Cityscapes images cut at 17 rows and columns have, of
    each line across the cut, beyond half this overlap at most 0.15 pixels with another label (alpha 3 and 8). That
    is 0.05 % in tiles of 2048 pixels.

    Args:
        alpha: ESP blocks at the third level.
    """
    margin = 1.5 * _WIDEST_STEP * math.sqrt(1 + alpha) + 64
    return 2 * _round_up(math.ceil(margin))


def fit_tile(height: int, width: int, tile: ImageSize) -> ImageSize:
    """``tile``, but no larger than the image rounded up to what the network takes."""
    return ImageSize(min(tile.height, _round_up(height)), min(tile.width, _round_up(width)))


def plan_tiles(height: int, width: int, tile: ImageSize, overlap: int) -> List[Tile]:
    """Cover an image with tiles, row by row.

    Tiles spread evenly, so neighbours share ``overlap`` pixels or more, and the border between what is kept of them
    lies in the middle of that. Tiles at the bottom and the right shift inwards, up to the image's side rounded up to
    a multiple of 8. An image smaller than the tile gets one tile that reaches beyond it.

    Args:
        height: the image's, in pixels.
        width: the same.
        tile: what the network sees; multiples of 8.
        overlap: pixels that neighbours share at least, per side; rounded up to a multiple of 8.

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

    Besides the image and the result it holds one tile. The image may be a ``numpy.memmap``.

    Args:
        image: (H, W, 3) uint8 BGR.
        segmenter: its engine's input size is the tile's size.
        overlap: see ``plan_tiles``.
        on_tile: called after each tile.

    Returns:
        (H, W) uint8 class ids.

    Raises:
        ImageError: the image has another shape or type.
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
    """The pixels of a window, those beyond the image's bottom and right mirrored.

    Args:
        image: (H, W, 3) uint8.
        window: begins within the image.

    Returns:
        (h, w, 3) uint8; a view of the image where the window lies within it.
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
    # rounding down keeps the steps between starts at most `step`, as that is a multiple of 8 itself
    starts = [index * excess // (count - 1) // SIZE_MULTIPLE * SIZE_MULTIPLE for index in range(count)]
    borders = [0, *((first + tile + second) // 2 for first, second in zip(starts, starts[1:])), length]
    return [_Span(*span) for span in zip(starts, borders, borders[1:])]


def _round_up(pixels: int) -> int:
    return -(-pixels // SIZE_MULTIPLE) * SIZE_MULTIPLE
