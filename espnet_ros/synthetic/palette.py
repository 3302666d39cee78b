"""The looks that a street draws from: tiles made once, used by many objects."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple, TypeVar

import numpy as np

from espnet_ros.synthetic import sprites, surfaces
from espnet_ros.synthetic.textures import TextureAtlas

T = TypeVar("T")


class FacadeTiles(NamedTuple):
    """Numbers of a building's tiles."""

    floor: int
    ground: int
    roof: int


class CarTiles(NamedTuple):
    """Numbers of a car's tiles."""

    side: int
    front: int
    back: int
    glass: int
    cabin_side: int
    roof: int


class Palette:
    """Draws the looks of one street into one atlas.

    Attributes:
        atlas: the tiles, ready to be sampled.
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
        self.atlas.close()

    def draw_facade(self, random: np.random.Generator) -> FacadeTiles:
        """Tiles of one of the buildings."""
        return _draw(random, self._facades)

    def draw_car(self, random: np.random.Generator) -> CarTiles:
        """Tiles of one of the cars."""
        return _draw(random, self._cars)

    def draw_fence(self, random: np.random.Generator) -> Tuple[int, float]:
        """Tile of one of the fences and the metres that it spans."""
        return _draw(random, self._fences)

    def draw_hedge(self, random: np.random.Generator) -> int:
        """Tile of one of the hedges."""
        return _draw(random, self._hedges)

    def draw_trunk(self, random: np.random.Generator) -> int:
        """Tile of one of the trunks."""
        return _draw(random, self._trunks)

    def draw_post(self, random: np.random.Generator) -> int:
        """Tile of one of the posts."""
        return _draw(random, self._posts)

    def draw_crown(self, random: np.random.Generator) -> int:
        """Tile of one of the crowns."""
        return _draw(random, self._crowns)

    def draw_person(self, random: np.random.Generator) -> int:
        """Tile of one of the people."""
        return _draw(random, self._people)

    def draw_cyclist(self, random: np.random.Generator) -> int:
        """Tile of one of the cyclists seen lengthwise."""
        return _draw(random, self._cyclists)

    def draw_bicycle(self, random: np.random.Generator) -> int:
        """Tile of one of the cyclists seen from the side."""
        return _draw(random, self._bicycles)

    def draw_sign(self, random: np.random.Generator) -> int:
        """Tile of one of the signs."""
        return _draw(random, self._signs)


def _draw(random: np.random.Generator, choices: Sequence[T]) -> T:
    return choices[int(random.integers(len(choices)))]
