"""The program that machine code is generated from: feature maps in an arena, constants, and steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

WORD = 4
"""Bytes in a word: the channels of one pixel that one vector lane multiplies in one instruction."""
SIDE_PADDING = 16
"""Columns of zeros before each row of a map. They also serve as the right padding of the row before."""
_ALIGNMENT = 64
EMPTY_SLOT = -1
"""Marks a slot of a map that holds no channel; its value is 0."""
NO_CONSTANTS = -1
"""Offset of constants that a stage or a store does not need."""


class ElementType(NamedTuple):
    """Type of the values in a map.

    Attributes:
        name: ``fp32``, ``bf16`` or ``int8``.
        per_word: number of values in a word.
    """

    name: str
    per_word: int


FP32 = ElementType("fp32", 1)
BF16 = ElementType("bf16", 2)
INT8 = ElementType("int8", 4)
"""Unsigned in maps and signed in weights, as the VNNI instruction that multiplies them requires."""


@dataclass(frozen=True)
class FeatureMap:
    """A feature map in the arena.

    Memory order is row, word, column, value in the word, so a vector holds one word of neighbouring pixels.

    Attributes:
        height, width: size in pixels.
        slots: channel in each slot of a pixel, or ``EMPTY_SLOT``; fills whole words.
        element: type of the values.
        border: rows of padding above and below.
        offset: position of the first padding row in the arena, in bytes.
        scales: int8 only: for each slot, the value of one quantisation step.
        zero_points: int8 only: for each slot, the quantised value that represents 0.
        means: int8 only: for each slot, the mean value on the calibration images.
    """

    height: int
    width: int
    slots: Tuple[int, ...]
    element: ElementType
    border: int
    offset: int
    scales: Tuple[float, ...] = ()
    zero_points: Tuple[int, ...] = ()
    means: Tuple[float, ...] = ()

    @property
    def words(self) -> int:
        """Number of words per pixel."""
        return len(self.slots) // self.element.per_word

    @property
    def pitch(self) -> int:
        """Columns from one word of a row to its next word.

        In int8, each word has padding on its right, too, because the padding value differs from word to word.
        """
        return _round_up((2 if self.zero_points else 1) * SIDE_PADDING + self.width, SIDE_PADDING)

    @property
    def size(self) -> int:
        """Size in bytes, including the bytes that vector loads may read beyond the last column."""
        return ((self.height + 2 * self.border) * self.words * self.pitch + 4 * SIDE_PADDING) * WORD


class MapSlice(NamedTuple):
    """The words of a map from ``word`` on."""

    map: FeatureMap
    word: int = 0


@dataclass(frozen=True)
class Store:
    """Writes ``count`` outputs, from output ``first`` on, to a map.

    Attributes:
        target: where the first of these outputs goes.
        first: index of the first output.
        count: number of outputs.
        constants: for an int8 map, offset of (count, 2) float32: reciprocal of the scale, and zero point.
    """

    target: MapSlice
    first: int
    count: int
    constants: int = NO_CONSTANTS


@dataclass(frozen=True)
class Stage:
    """One stage of a convolution's epilogue: scale, add the residual, apply PReLU, store.

    Attributes:
        constants: offset of (outputs, 4) float32: gain of the outputs, gain of the residual, bias, and slope for
            negative results; ``NO_CONSTANTS`` if the outputs stay unchanged.
        stores: where the results are written. The next stage continues with the same results.
        residual: maps to add; at most one.
    """

    constants: int
    stores: Tuple[Store, ...] = ()
    residual: Tuple[MapSlice, ...] = ()


@dataclass(frozen=True)
class Branch:
    """One convolution of a chain.

    Attributes:
        dilation: dilation of its kernel.
        weights: offset of (kernel rows, words, kernel columns, outputs) words.
        stages: epilogue of its outputs, which include the sums of the branches before it.
    """

    dilation: int
    weights: int
    stages: Tuple[Stage, ...]


@dataclass(frozen=True)
class Convolution:
    """Convolutions that read the same map and have the same output size.

    Attributes:
        source: map that they read.
        kernel, stride: kernel size and stride of all of them.
        height, width: output size.
        chains: (outputs, branches) of each chain. Along a chain, each branch adds to the sums of the branches before it
            (hierarchical feature fusion).
    """

    source: FeatureMap
    kernel: int
    stride: int
    height: int
    width: int
    chains: Tuple[Tuple[int, Tuple[Branch, ...]], ...]


@dataclass(frozen=True)
class TransposedConvolution2x:
    """A transposed convolution with kernel and stride 2: upsampling by 2.

    Attributes:
        source: map that it reads.
        outputs: number of output channels.
        weights: offset of (2 rows, words, 2 columns, outputs) words.
        stages: epilogue of the outputs. Target maps are twice as high and wide as the source.
    """

    source: FeatureMap
    outputs: int
    weights: int
    stages: Tuple[Stage, ...]


@dataclass(frozen=True)
class Normalisation:
    """Converts the camera's pixels to a map of three normalised channels.

    Attributes:
        target: map that it writes.
        constants: offset of (3, 2) float32: gain and bias of each channel.
    """

    target: FeatureMap
    constants: int


@dataclass(frozen=True)
class ClassifierArgmax:
    """The network's last transposed convolution (kernel and stride 2), fused with the argmax over the classes.

    Attributes:
        source: map that it reads.
        classes: number of classes.
        weights: as in ``TransposedConvolution2x``.
    """

    source: FeatureMap
    classes: int
    weights: int


Step = Union[Normalisation, Convolution, TransposedConvolution2x, ClassifierArgmax]


@dataclass
class Program:
    """Steps to run in order; a step starts when all steps before it are complete.

    Attributes:
        height, width: size of the image.
        steps: in order of execution.
        arena: size of the memory for all feature maps, in bytes.
        constants: weights, gains, biases and slopes.
        quantised: int8 maps, whose padding has to be filled with their zero points.
    """

    height: int
    width: int
    steps: List[Step] = field(default_factory=list)
    arena: int = 0
    constants: bytearray = field(default_factory=bytearray)
    quantised: List[FeatureMap] = field(default_factory=list)
    _free: Dict[Tuple[int, int, int, int, str], List[FeatureMap]] = field(default_factory=dict)

    def add_quantised_map(self, template: FeatureMap) -> FeatureMap:
        """Allocate an int8 map like ``template``."""
        added = replace(template, offset=self.arena)
        self.arena = _round_up(self.arena + added.size, _ALIGNMENT)
        self.quantised.append(added)
        return added

    def add_map(self, size: Tuple[int, int], slots: Sequence[int], element: ElementType, border: int = 0) -> FeatureMap:
        """Allocate a map, or reuse the memory of a released one with the same shape."""
        height, width = size
        released = self._free.get((height, width, len(slots), border, element.name))
        if released:
            old = released.pop()
            return FeatureMap(height, width, tuple(slots), element, border, old.offset)
        added = FeatureMap(height, width, tuple(slots), element, border, self.arena)
        self.arena = _round_up(self.arena + added.size, _ALIGNMENT)
        return added

    def release(self, old: FeatureMap) -> None:
        """Make the memory of a map available to maps of the same shape, which rely on its padding being zero already.

        The memory of int8 maps is not reused, because their padding differs.
        """
        if old.zero_points:
            return
        key = (old.height, old.width, len(old.slots), old.border, old.element.name)
        self._free.setdefault(key, []).append(old)

    def add_constants(self, values: np.ndarray) -> int:
        """Append an array to the constants; return its offset in bytes."""
        offset = _round_up(len(self.constants), _ALIGNMENT)
        self.constants.extend(bytes(offset - len(self.constants)))
        self.constants.extend(np.ascontiguousarray(values).tobytes())
        return offset


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def fill_words(channels: Sequence[int], element: ElementType) -> List[int]:
    """Return the channels, padded with empty slots to whole words."""
    return [*channels, *[EMPTY_SLOT] * (-len(channels) % element.per_word)]


def word_count(channels: int, element: ElementType) -> int:
    """Return the number of words that hold this many channels."""
    return -(-channels // element.per_word)
