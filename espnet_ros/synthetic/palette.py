"""The textures of a street: tiles drawn once and shared by many objects."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple, TypeVar

import numpy as np

from espnet_ros.synthetic import sprites, surfaces
from espnet_ros.synthetic.textures import TextureAtlas

T = TypeVar("T")


class FacadeTiles(NamedTuple):
    """Tile numbers of a building."""

    floor: int
    ground: int
    roof: int


class CarTiles(NamedTuple):
    """Tile numbers of a car."""

    side: int
    front: int
    back: int
    glass: int
    cabin_side: int
    roof: int


class Palette:
    """Draws all tiles of a street into one atlas, and picks random ones of each kind.

    Attributes:
        atlas: the tiles, ready for sampling.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.atlas = TextureAtlas()
        add = self.atlas.add
        self._facades = [FacadeTiles(*map(add, surfaces.draw_facade(random))) for _ in range(10)]
        self._cars = [CarTiles(*map(add, surfaces.draw_car(random))) for _ in range(9)]
        self._fences: List[Tuple[int, float]] = []
        for _ in range(4):
            canvas, span = surfaces.draw_fence(random)
            self._fences.append((add(canvas), span))
        self._hedges = [add(surfaces.draw_hedge(random)) for _ in range(3)]
        self._trunks = [add(surfaces.draw_trunk(random)) for _ in range(3)]
        self._posts = [add(surfaces.draw_post(random)) for _ in range(4)]
        self._crowns = [add(*sprites.draw_crown(random)) for _ in range(8)]
        self._people = [add(*sprites.draw_person(random)) for _ in range(12)]
        self._cyclists = [add(*sprites.draw_cyclist(random)) for _ in range(6)]
        self._bicycles = [add(*sprites.draw_bicycle_side(random)) for _ in range(4)]
        self._signs = [add(*sprites.draw_sign(random)) for _ in range(8)]
        self.atlas.finish()

    def pick_facade(self, random: np.random.Generator) -> FacadeTiles:
        """Return the tiles of a building."""
        return _pick(random, self._facades)

    def pick_car(self, random: np.random.Generator) -> CarTiles:
        """Return the tiles of a car."""
        return _pick(random, self._cars)

    def pick_fence(self, random: np.random.Generator) -> Tuple[int, float]:
        """Return the tile of a fence and its width in metres."""
        return _pick(random, self._fences)

    def pick_hedge(self, random: np.random.Generator) -> int:
        """Return the tile of a hedge."""
        return _pick(random, self._hedges)

    def pick_trunk(self, random: np.random.Generator) -> int:
        """Return the tile of a tree trunk."""
        return _pick(random, self._trunks)

    def pick_post(self, random: np.random.Generator) -> int:
        """Return the tile of a post."""
        return _pick(random, self._posts)

    def pick_crown(self, random: np.random.Generator) -> int:
        """Return the tile of a tree crown."""
        return _pick(random, self._crowns)

    def pick_person(self, random: np.random.Generator) -> int:
        """Return the tile of a pedestrian."""
        return _pick(random, self._people)

    def pick_cyclist(self, random: np.random.Generator) -> int:
        """Return the tile of a cyclist seen from the front or back."""
        return _pick(random, self._cyclists)

    def pick_bicycle(self, random: np.random.Generator) -> int:
        """Return the tile of a cyclist seen from the side."""
        return _pick(random, self._bicycles)

    def pick_sign(self, random: np.random.Generator) -> int:
        """Return the tile of a sign."""
        return _pick(random, self._signs)


def _pick(random: np.random.Generator, choices: Sequence[T]) -> T:
    return choices[int(random.integers(len(choices)))]
