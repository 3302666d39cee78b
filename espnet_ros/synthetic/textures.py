"""Procedural noise, and the texture atlas with all tiles."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

TILE = 128
"""Texels per side of a tile."""

_LEVELS = 8  # mip levels with 128, 64, ..., 1 texels per side
_SIZES = np.array([TILE >> level for level in range(_LEVELS)], np.int32)
_OFFSETS = np.concatenate([[0], np.cumsum(_SIZES.astype(np.int64) ** 2)]).astype(np.int32)
_OPAQUE = np.uint32(128 << 24)  # texels with this alpha or more are opaque


def value_noise(random: np.random.Generator, shape: Tuple[int, int], cells: Tuple[int, int]) -> np.ndarray:
    """Return smooth noise that repeats without a seam.

    Args:
        random: source of the noise.
        shape: (rows, columns) of the result.
        cells: (rows, columns) of the lattice of random values.

    Returns:
        ``shape`` float32, 0..1.
    """
    if cells[0] >= shape[0] and cells[1] >= shape[1]:
        return random.random(shape, np.float32)
    pad = 2
    lattice = np.pad(random.random(cells, np.float32), pad, mode="wrap")
    scale = (shape[0] / cells[0], shape[1] / cells[1])
    size = (round(lattice.shape[1] * scale[1]), round(lattice.shape[0] * scale[0]))
    grown = cv2.resize(lattice, size, interpolation=cv2.INTER_CUBIC)
    top, left = round(pad * scale[0]), round(pad * scale[1])
    return np.asarray(np.clip(grown[top : top + shape[0], left : left + shape[1]], 0.0, 1.0))


def fractal_noise(
    random: np.random.Generator, shape: Tuple[int, int], cells: Tuple[int, int], octaves: int, gain: float = 0.5
) -> np.ndarray:
    """Return the sum of ``octaves`` layers of ``value_noise``, each twice as fine and ``gain`` times as strong.

    The result has the given shape, float32, 0..1.
    """
    total, weight, sum_of_weights = np.zeros(shape, np.float32), 1.0, 0.0
    for octave in range(octaves):
        finer = (min(cells[0] << octave, shape[0]), min(cells[1] << octave, shape[1]))
        total += np.float32(weight) * value_noise(random, shape, finer)
        sum_of_weights += weight
        weight *= gain
    return np.asarray(total / np.float32(sum_of_weights))


def solid_tile(color: Union[Sequence[float], np.ndarray]) -> np.ndarray:
    """Return a (TILE, TILE, 3) float32 tile of one BGR colour, 0..255."""
    return np.tile(np.asarray(color, np.float32), (TILE, TILE, 1))


def add_grain(random: np.random.Generator, canvas: np.ndarray, strength: float, cells: int = 32) -> np.ndarray:
    """Return the canvas (float32 BGR) with brightness noise of relative ``strength``."""
    noise = fractal_noise(random, (canvas.shape[0], canvas.shape[1]), (cells, cells), 2) - np.float32(0.5)
    return np.asarray(canvas * (1 + np.float32(2 * strength) * noise[..., None]))


class TextureAtlas:
    """Tiles of (128, 128) BGRA texels with their mip levels, in one flat array of 32-bit texels."""

    def __init__(self) -> None:
        self._tiles: List[np.ndarray] = []
        self._texels = np.zeros(0, np.uint32)

    def add(self, canvas: np.ndarray, alpha: Optional[np.ndarray] = None) -> int:
        """Add a tile.

        Args:
            canvas: (128, 128, 3) BGR, 0..255, any number type; row 0 is the top.
            alpha: (128, 128) bool, False where the tile is cut out; None for an opaque tile.

        Returns:
            The tile's number.
        """
        opaque = np.ones((TILE, TILE), bool) if alpha is None else alpha.astype(bool)
        texels = np.dstack([np.clip(canvas, 0, 255), np.where(opaque, 255.0, 0.0)]).astype(np.float32)
        levels = []
        for size in _SIZES:
            colors = (
                texels[..., :3] / np.maximum(texels[..., 3:], 1.0) * 255.0 if alpha is not None else texels[..., :3]
            )
            shown = np.dstack([np.clip(colors, 0, 255), texels[..., 3]]) if size < TILE else texels
            levels.append(np.ascontiguousarray(np.rint(shown).astype(np.uint8)).view(np.uint32).ravel())
            if size == TILE:
                texels[..., :3] *= texels[..., 3:] / 255.0
            if size > 1:
                texels = texels.reshape(size // 2, 2, size // 2, 2, 4).mean(axis=(1, 3))
        self._tiles.append(np.concatenate(levels))
        return len(self._tiles) - 1

    def finish(self) -> None:
        """Build the array. Call once, after the last ``add`` and before the first ``sample``."""
        self._texels = np.concatenate(self._tiles)

    def sample(self, tile: np.ndarray, level: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the nearest texels.

        Args:
            tile: (N,) int32 tile numbers.
            level: (N,) int32 mip levels: 0 has 128 texels per side, 1 has 64, ... 7 has 1.
            u: (N,) float32, 0..1 from left to right; other values wrap around.
            v: (N,) float32, 0..1 from top to bottom; likewise.

        Returns:
            (N, 4) uint8 BGRA.
        """
        size = _SIZES.take(level)
        column = ((u - np.floor(u)) * size).astype(np.int32)
        row = ((v - np.floor(v)) * size).astype(np.int32)
        limit = size - 1
        np.minimum(column, limit, out=column)
        np.minimum(row, limit, out=row)
        index = tile * _OFFSETS[-1] + _OFFSETS.take(level) + row * size + column
        return np.asarray(self._texels.take(index).view(np.uint8).reshape(-1, 4))

    def is_opaque(self, tile: int, level: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return where a tile is opaque; ``u`` and ``v`` are float32, 0..1, of the same shape."""
        size = int(_SIZES[level])
        start = tile * int(_OFFSETS[-1]) + int(_OFFSETS[level])
        column = np.clip(u * np.float32(size), 0, size - 1).astype(np.int32)
        row = np.clip(v * np.float32(size), 0, size - 1).astype(np.int32)
        opaque = self._texels[start : start + size * size].take(row * size + column) >= _OPAQUE
        return np.asarray(opaque)


def mip_level(texels_per_pixel: np.ndarray) -> np.ndarray:
    """Return the int32 mip level at which one texel is about one pixel."""
    level = np.log2(np.maximum(texels_per_pixel, np.float32(1.0)))
    return np.asarray(np.minimum(level + np.float32(0.3), np.float32(_LEVELS - 1)).astype(np.int32))
