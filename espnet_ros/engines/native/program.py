"""What the machine code does, as data: feature maps in one piece of memory, constants in another, and the steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

WORD = 4
"""Bytes of a word: the channels of one pixel that are multiplied by one instruction lane."""
SIDE = 16
"""Columns of zeros before each row of a map, which the row before has as its right border too."""
_ALIGNMENT = 64
NOTHING = -1
"""Slot of a map that holds no channel, and zero."""


class Element(NamedTuple):
    """Type of the values of a map.

    Attributes:
        name: ``fp32``, ``bf16`` or ``int8``.
        per_word: values in a word.
    """

    name: str
    per_word: int


FP32 = Element("fp32", 1)
BF16 = Element("bf16", 2)
INT8 = Element("int8", 4)
"""Unsigned in maps, signed in weights, as the instruction that multiplies them (VNNI) wants it."""


@dataclass(frozen=True)
class FeatureMap:
    """A feature map in the arena: rows of words of columns, so that a vector holds neighbouring pixels.

    Attributes:
        height, width: in pixels.
        slots: the channel in each slot of a pixel; as many as fill the words.
        element: of the values.
        border: rows of zeros above and below.
        offset: of the first border row, in bytes.
        scales, zeros: of int8, for each slot: what a step is worth, and which step is zero.
        means: of int8, for each slot: what it usually holds.
    """

    height: int
    width: int
    slots: Tuple[int, ...]
    element: Element
    border: int
    offset: int
    scales: Tuple[float, ...] = ()
    zeros: Tuple[int, ...] = ()
    means: Tuple[float, ...] = ()

    @property
    def words(self) -> int:
        """Words of a pixel."""
        return len(self.slots) // self.element.per_word

    @property
    def pitch(self) -> int:
        """Columns from a word of a row to its next word. Of int8, each word has its own zero on its right too."""
        return _round_up((2 if self.zeros else 1) * SIDE + self.width, SIDE)

    @property
    def size(self) -> int:
        """Bytes, with what reads beyond the last column may touch."""
        return ((self.height + 2 * self.border) * self.words * self.pitch + 4 * SIDE) * WORD


class Place(NamedTuple):
    """Words of a map from ``word`` on."""

    map: FeatureMap
    word: int = 0


@dataclass(frozen=True)
class Store:
    """Writes ``count`` outputs, from ``first`` on, to a place.

    Attributes:
        constants: for a place in int8, the offset of (count, 2) float32: steps per unit, and the step that is zero.
    """

    place: Place
    first: int
    count: int
    constants: int = NOTHING


@dataclass(frozen=True)
class Stage:
    """What happens to a convolution's outputs one after the other: add, scale, activate, store.

    Attributes:
        constants: offset of (outputs, 4) float32: gain of the outputs, gain of the residual, bias, and slope of what is
            then negative; ``NOTHING`` where the outputs stay as they are.
        stores: where the results go, which the next stage goes on with.
        residual: added first.
    """

    constants: int
    stores: Tuple[Store, ...] = ()
    residual: Tuple[Place, ...] = ()


@dataclass(frozen=True)
class Branch:
    """One convolution of a chain.

    Attributes:
        dilation: of its kernel.
        weights: offset of (kernel rows, words, kernel columns, outputs) words.
        stages: what its outputs, added to those of the branches before it, go through.
    """

    dilation: int
    weights: int
    stages: Tuple[Stage, ...]


@dataclass(frozen=True)
class Convolution:
    """Convolutions of one map that give the same size.

    Attributes:
        source: what they read.
        kernel, stride: of all.
        height, width: of the outputs.
        chains: (outputs, branches): the branches of a chain add up, as in hierarchical feature fusion.
    """

    source: FeatureMap
    kernel: int
    stride: int
    height: int
    width: int
    chains: Tuple[Tuple[int, Tuple[Branch, ...]], ...]


@dataclass(frozen=True)
class TransposedConvolution2x:
    """A transposed convolution with kernel and stride 2.

    Attributes:
        source: what it reads.
        outputs: channels.
        weights: offset of (2 rows, words, 2 columns, outputs) words.
        stages: what the outputs go through; the maps that they store to are twice as high and wide.
    """

    source: FeatureMap
    outputs: int
    weights: int
    stages: Tuple[Stage, ...]


@dataclass(frozen=True)
class Normalisation:
    """The camera's pixels to a map of three channels.

    Attributes:
        target: what it writes.
        constants: offset of (3, 2) float32: gain and bias.
    """

    target: FeatureMap
    constants: int


@dataclass(frozen=True)
class ClassifierArgmax:
    """The last transposed convolution, with kernel and stride 2, and the best class of each pixel that it makes.

    Attributes:
        source: what it reads.
        classes: how many.
        weights: as a ``TransposedConvolution2x`` has them.
    """

    source: FeatureMap
    classes: int
    weights: int


Step = Union[Normalisation, Convolution, TransposedConvolution2x, ClassifierArgmax]


@dataclass
class Program:
    """Steps, each of which needs all those before it.

    Attributes:
        height, width: of the image.
        steps: in their order.
        arena: bytes of the feature maps.
        constants: weights and all else that does not change.
        quantised: maps in int8, whose borders have to be filled with what is zero there.
    """

    height: int
    width: int
    steps: List[Step] = field(default_factory=list)
    arena: int = 0
    constants: bytearray = field(default_factory=bytearray)
    quantised: List[FeatureMap] = field(default_factory=list)
    _free: Dict[Tuple[int, int, int, int, str], List[FeatureMap]] = field(default_factory=dict)

    def add_quantised_map(self, template: FeatureMap) -> FeatureMap:
        """A map like ``template``, but in memory of its own."""
        made = replace(template, offset=self.arena)
        self.arena = _round_up(self.arena + made.size, _ALIGNMENT)
        self.quantised.append(made)
        return made

    def add_map(self, size: Tuple[int, int], slots: Sequence[int], element: Element, border: int = 0) -> FeatureMap:
        """A map of its own, or one that was released and has the same shape."""
        height, width = size
        released = self._free.get((height, width, len(slots), border, element.name))
        if released:
            old = released.pop()
            return FeatureMap(height, width, tuple(slots), element, border, old.offset)
        made = FeatureMap(height, width, tuple(slots), element, border, self.arena)
        self.arena = _round_up(self.arena + made.size, _ALIGNMENT)
        return made

    def release(self, old: FeatureMap) -> None:
        """Let another map of the same shape have its memory, whose zeros around the image are then there already.

        One in int8 keeps its own, as others have other zeros.
        """
        if old.zeros:
            return
        key = (old.height, old.width, len(old.slots), old.border, old.element.name)
        self._free.setdefault(key, []).append(old)

    def add_constants(self, values: np.ndarray) -> int:
        """Keep an array; its offset."""
        offset = _round_up(len(self.constants), _ALIGNMENT)
        self.constants.extend(bytes(offset - len(self.constants)))
        self.constants.extend(np.ascontiguousarray(values).tobytes())
        return offset


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def fill_words(channels: Sequence[int], element: Element) -> List[int]:
    """The channels, and empty slots up to a whole word."""
    return [*channels, *[NOTHING] * (-len(channels) % element.per_word)]
