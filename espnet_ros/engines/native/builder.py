"""Builds a program: allocates feature maps, packs weights, and adds convolutions with their epilogues."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ros.engines.native.packing import Activation, pack_weights, quantise_weights
from espnet_ros.engines.native.program import (
    EMPTY_SLOT,
    INT8,
    NO_CONSTANTS,
    Branch,
    ClassifierArgmax,
    Convolution,
    ElementType,
    FeatureMap,
    MapSlice,
    Normalisation,
    Program,
    Stage,
    Store,
    TransposedConvolution2x,
    fill_words,
    word_count,
)
from espnet_ros.types import ImageSize

DILATIONS: Sequence[int] = (1, 2, 4, 8, 16)
"""Dilations of an ESP unit's convolutions."""
_RANGE_MARGIN = 1.25
"""Factor on measured ranges, because other images exceed those of the calibration images."""


class ChannelRanges(NamedTuple):
    """(channels,) each: minimum and maximum value that an int8 map has to represent, and the mean value."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray


class Output(NamedTuple):
    """One stage of an epilogue, before it is packed: an activation of all outputs, and where to store the results.

    Attributes:
        activation: None if the results are stored unchanged.
        stores: targets of the results.
    """

    activation: Optional[Activation]
    stores: Sequence[Store]


class ProgramBuilder:
    """Adds maps and steps to a program.

    Args:
        size: size of the images.
        element: element type of all maps that are not given another one and have no ranges.
        ranges: by name, the ranges of the maps to quantise to int8.

    Attributes:
        program: the program so far.
    """

    def __init__(self, size: ImageSize, element: ElementType, ranges: Mapping[str, ChannelRanges]) -> None:
        self.program = Program(size.height, size.width)
        self.element = element
        self._ranges = ranges

    # -- maps

    def add_map(self, size: Tuple[int, int], *parts: Sequence[int], border: int = 0, name: str = "") -> FeatureMap:
        """Allocate a map in which each part starts at a word boundary. It is int8 if there are ranges for its name.

        Args:
            size: (height, width) in pixels.
            parts: channels of each part.
            border: rows of padding above and below.
            name: key of its ranges.
        """
        ranges = self._ranges.get(name)
        if ranges is None:
            slots = [slot for part in parts for slot in fill_words(part, self.element)]
            return self.program.add_map(size, slots, self.element, border)
        slots = [slot for part in parts for slot in fill_words(part, INT8)]
        low, high = _RANGE_MARGIN * np.minimum(ranges.low, 0.0), _RANGE_MARGIN * np.maximum(ranges.high, 1e-6)
        scale = (high - low) / 255
        zero_point = np.round(-low / scale).clip(0, 255)
        scales = tuple(1.0 if slot == EMPTY_SLOT else float(scale[slot]) for slot in slots)
        zero_points = tuple(0 if slot == EMPTY_SLOT else int(zero_point[slot]) for slot in slots)
        means = tuple(0.0 if slot == EMPTY_SLOT else float(ranges.mean[slot]) for slot in slots)
        template = FeatureMap(*size, tuple(slots), INT8, border, 0, scales, zero_points, means)
        return self.program.add_quantised_map(template)

    # -- steps

    def add_normalisation(self, target: FeatureMap, gain: np.ndarray, bias: np.ndarray) -> None:
        """Normalise the camera's pixels: ``gain * pixel + bias``, (3,) each."""
        constants = np.stack([gain, bias], 1).astype(np.float32)
        self.program.steps.append(Normalisation(target, self.program.add_constants(constants)))

    def add_convolution(
        self, source: FeatureMap, kernel: np.ndarray, outputs: Sequence[Output], stride: int = 1
    ) -> None:
        """Add one convolution.

        Args:
            source: map that it reads.
            kernel: (out, in, row, column) weights.
            outputs: epilogue.
            stride: stride in both directions.
        """
        (offset,), gain, (correction,) = self._pack_kernels(source, [kernel])
        chain = (len(gain), (Branch(1, offset, self._stages(outputs, gain, correction)),))
        height, width = source.height // stride, source.width // stride
        self.program.steps.append(Convolution(source, kernel.shape[2], stride, height, width, (chain,)))

    def add_pyramid(
        self,
        reduced: FeatureMap,
        kernels: Sequence[np.ndarray],
        outputs: Sequence[Output],
        residual: Optional[FeatureMap] = None,
    ) -> None:
        """Add the dilated convolutions of an ESP unit, and release the map that they read.

        Args:
            reduced: output of the unit's reduction.
            kernels: (out, in, 3, 3) weights for each of ``DILATIONS``.
            outputs: epilogue of the concatenated outputs.
            residual: map to add in the first stage.
        """
        chains = []
        channel, word = 0, 0
        # the undilated branch is not part of the hierarchical sums
        for members in (slice(0, 1), slice(1, None)):
            weights, gain, corrections = self._pack_kernels(reduced, kernels[members])
            count, branches = len(gain), []
            for dilation, offset, correction in zip(DILATIONS[members], weights, corrections):
                own = [_branch_output(output, channel, count, word) for output in outputs]
                added = () if residual is None else (MapSlice(residual, word),)
                branches.append(Branch(dilation, offset, self._stages(own, gain, correction, added)))
                channel += count
                word += word_count(count, self.element)
            chains.append((count, tuple(branches)))
        self.program.steps.append(Convolution(reduced, 3, 1, reduced.height, reduced.width, tuple(chains)))
        self.program.release(reduced)

    def add_upsampling(self, source: FeatureMap, kernel: np.ndarray, activation: Activation, target: MapSlice) -> None:
        """Add a transposed convolution with kernel and stride 2; ``kernel`` is (in, out, 2, 2)."""
        count = kernel.shape[1]
        outputs = [Output(activation, [Store(target, 0, count)])]
        stages = self._stages(outputs, np.ones(count), np.zeros(count))
        weights = self._pack_transposed(source, kernel)
        self.program.steps.append(TransposedConvolution2x(source, count, weights, stages))

    def add_classifier(self, source: FeatureMap, kernel: np.ndarray) -> None:
        """Add the last transposed convolution and the argmax; ``kernel`` is (in, classes, 2, 2)."""
        weights = self._pack_transposed(source, kernel)
        self.program.steps.append(ClassifierArgmax(source, kernel.shape[1], weights))

    # -- constants

    def _stages(
        self,
        outputs: Sequence[Output],
        gain: np.ndarray,
        correction: np.ndarray,
        residual: Tuple[MapSlice, ...] = (),
    ) -> Tuple[Stage, ...]:
        """Pack an epilogue for sums whose value is ``gain * sum + correction``."""
        stages = []
        for activation, stores in outputs:
            constants = NO_CONSTANTS
            if activation is not None:
                own, bias, slope = activation
                values = np.stack([own * gain, own, bias + own * correction, slope], 1)
                constants = self.program.add_constants(values.astype(np.float32))
            stages.append(Stage(constants, tuple(self._with_constants(store) for store in stores), residual))
            gain, correction, residual = np.ones_like(gain), np.zeros_like(correction), ()
        return tuple(stages)

    def _with_constants(self, store: Store) -> Store:
        """Add the quantisation constants that a store to an int8 map needs."""
        target = store.target.map
        if target.element != INT8:
            return store
        first = store.target.word * INT8.per_word
        slots = slice(first, first + store.count)
        values = np.stack([1 / np.array(target.scales[slots]), np.array(target.zero_points[slots])], 1)
        return replace(store, constants=self.program.add_constants(values.astype(np.float32)))

    def _pack_kernels(
        self, source: FeatureMap, kernels: Sequence[np.ndarray]
    ) -> Tuple[List[int], np.ndarray, Sequence[np.ndarray]]:
        """Pack the (out, in, row, column) weights of convolutions whose sums accumulate along a chain.

        Returns:
            Offset of each; the value of one unit of the sums, (outputs,); and the correction after each convolution.
        """
        arranged = [kernel.transpose(2, 1, 3, 0) for kernel in kernels]  # (row, in, column, out)
        outputs = arranged[0].shape[-1]
        gain, corrections = np.ones(outputs), [np.zeros(outputs)] * len(kernels)
        if source.element == INT8:
            arranged, gain, corrections = quantise_weights(source, arranged)
        return [self.program.add_constants(pack_weights(source, values)) for values in arranged], gain, corrections

    def _pack_transposed(self, source: FeatureMap, kernel: np.ndarray) -> int:
        values = kernel.transpose(2, 0, 3, 1)  # (in, out, row, column) to (row, in, column, out)
        return self.program.add_constants(pack_weights(source, values))


def _branch_output(output: Output, first: int, count: int, word: int) -> Output:
    """Return the part of ``output`` for ``count`` channels from ``first`` on, ``word`` words into each target."""
    activation = None if output.activation is None else output.activation.channels(first, first + count)
    stores = [Store(MapSlice(store.target.map, store.target.word + word), 0, count) for store in output.stores]
    return Output(activation, stores)
