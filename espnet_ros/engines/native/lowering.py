"""Lays out a network as the steps of a program: normalisations are folded, joins are a matter of where things go."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from torch import Tensor, nn

from espnet_ros.engines.native.packing import Activation, activation_of, normalisation_of, pack, split_quantised
from espnet_ros.engines.native.program import (
    FP32,
    INT8,
    NOTHING,
    Branch,
    ClassifierArgmax,
    Convolution,
    Element,
    FeatureMap,
    Normalisation,
    Place,
    Program,
    Stage,
    Store,
    TransposedConvolution2x,
    fill_words,
)
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import BRANCHES, ESPNet, SpatialPyramid
from espnet_ros.types import ImageSize

DECODER_INPUT = "decoder"
"""Name of the ranges of what the decoder's last 3x3 convolution reads. Those of an ESP unit have the module's name."""
_DILATIONS = [1, 2, 4, 8, 16]
_MARGIN = 1.25
"""Of ranges: other images hold more than those that the ranges were measured on."""
_LEVEL1 = 16
_IMAGE = 3


class Ranges(NamedTuple):
    """(channels,) each: the least and the largest value that an int8 map has to hold, and their mean."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray


class _Result(NamedTuple):
    """What follows a convolution: an activation of all its outputs, and where the result goes.

    Attributes:
        activation: None where there is none.
        stores: with places in the maps as if the outputs began there.
    """

    activation: Optional[Activation]
    stores: Sequence[Store]


def lower(
    network: ESPNet,
    checkpoint: Checkpoint,
    size: ImageSize,
    element: Element,
    ranges: Mapping[str, Ranges] = MappingProxyType({}),
) -> Program:
    """The program of a network for images of one size.

    Args:
        network: in evaluation mode.
        checkpoint: mean, deviation and divisor of the pixels.
        size: of the images.
        element: of all maps but the image's, which are fp32, and those that have ranges.
        ranges: of the maps that are int8, by name.
    """
    return _Lowering(network, checkpoint, size, element, ranges).program


class _Lowering:
    def __init__(
        self,
        network: ESPNet,
        checkpoint: Checkpoint,
        size: ImageSize,
        element: Element,
        ranges: Mapping[str, Ranges],
    ) -> None:
        self.program = Program(size.height, size.width)
        self.network = network
        self.element = element
        self.ranges = ranges
        self.names = {module: name for name, module in network.named_modules()}
        self.half, self.quarter, self.eighth = ((size.height // by, size.width // by) for by in (2, 4, 8))
        self.classes = network.level3_C.conv.out_channels
        classes = range(self.classes)

        skip = [self.classes + channel for channel in range(network.skip_channels)]
        decoder_input = self._map(self.half, classes, skip, border=1, name=DECODER_INPUT)
        skip_place = Place(decoder_input, _words(self.classes, decoder_input.element))
        level1_joined, half_image = self._level1(self._normalise(checkpoint, size), skip_place)
        level2_joined = self._level2(level1_joined, half_image)
        joined = self._join_levels(level2_joined, self._level3(level2_joined))
        up_l2, activation = network.up_l2
        self._double(joined, up_l2, activation_of(activation), Place(decoder_input))
        features = self._map(self.half, classes)
        self._convolve(decoder_input, network.conv.conv.weight, [self._result(network.conv, Place(features))])
        weights = self._doubling_weights(features, network.classifier)
        self.program.steps.append(ClassifierArgmax(features, self.classes, weights))

    # -- parts of the network

    def _normalise(self, checkpoint: Checkpoint, size: ImageSize) -> FeatureMap:
        image = self.program.add_map((size.height, size.width), range(_IMAGE), FP32, border=1)
        gain = 1.0 / (np.array(checkpoint.std_bgr) * checkpoint.divisor)
        constants = np.stack([gain, -np.array(checkpoint.mean_bgr) * gain], 1).astype(np.float32)
        self.program.steps.append(Normalisation(image, self.program.add_constants(constants)))
        return image

    def _level1(self, image: FeatureMap, skip: Place) -> Tuple[FeatureMap, FeatureMap]:
        """The first convolution, whose last three outputs are the image at half size: joined, and the image alone."""
        encoder = self.network.encoder
        joined = self._map(self.half, range(_LEVEL1 + _IMAGE), border=1)
        half_image = self.program.add_map(self.half, range(_IMAGE), FP32, border=1)
        unchanged = Activation(np.ones(_IMAGE), np.zeros(_IMAGE), np.ones(_IMAGE))
        first = Activation(*(np.concatenate(pair) for pair in zip(activation_of(encoder.level1), unchanged)))
        alone = [Store(Place(half_image), _LEVEL1, _IMAGE)]
        together = [Store(Place(joined), 0, _LEVEL1 + _IMAGE)]
        (alone if self.network.skip_channels == _LEVEL1 else together).append(
            Store(skip, 0, self.network.skip_channels)
        )
        weight = np.concatenate([_array(encoder.level1.conv.weight), _averages()])
        self._convolve(image, weight, [_Result(first, alone), _Result(activation_of(encoder.b1), together)], stride=2)
        return joined, half_image

    def _level2(self, level1_joined: FeatureMap, half_image: FeatureMap) -> FeatureMap:
        """The second level's blocks, joined with its first block and the image at a quarter of its size."""
        encoder, activation = self.network.encoder, activation_of(self.network.encoder.b2)
        slices = _slices(64)
        joined = self._map(self.quarter, *slices, *_moved(slices, 64), range(128, 131), border=1)
        words = sum(_words(len(part), self.element) for part in slices)
        image = _Result(activation.part(128, 131), [Store(Place(joined, 2 * words), 0, _IMAGE)])
        self._convolve(half_image, _averages(), [image], stride=2)
        first = self._first_block(encoder.level2_0, level1_joined, activation.part(64, 128), Place(joined, words))
        self._blocks(encoder.level2, first, activation.part(0, 64), Place(joined))
        return joined

    def _level3(self, level2_joined: FeatureMap) -> FeatureMap:
        """The third level to the classes' scores at an eighth of the image's size, normalised."""
        encoder, activation = self.network.encoder, activation_of(self.network.encoder.b3)
        slices = _slices(128)
        joined = self._map(self.eighth, *slices, *_moved(slices, 128))
        first = self._first_block(encoder.level3_0, level2_joined, activation.part(0, 128), Place(joined))
        self._blocks(encoder.level3, first, activation.part(128, 256), Place(joined, joined.words // 2))
        scores = self._map(self.eighth, range(self.classes))
        result = _Result(normalisation_of(self.network.br), [Store(Place(scores), 0, self.classes)])
        self._convolve(joined, encoder.classifier.conv.weight, [result])
        return scores

    def _join_levels(self, level2_joined: FeatureMap, scores: FeatureMap) -> FeatureMap:
        """The decoder's ESP block on both levels."""
        classes, (joined_activation, block) = self.classes, self.network.combine_l2_l3
        assert isinstance(block, SpatialPyramid)
        activation = activation_of(joined_activation)
        combined = self._map(self.quarter, range(classes), range(classes, 2 * classes))
        from_level2 = _Result(activation.part(0, classes), [Store(Place(combined), 0, classes)])
        self._convolve(level2_joined, self.network.level3_C.conv.weight, [from_level2])
        from_level3 = Place(combined, _words(classes, self.element))
        self._double(scores, self.network.up_l3[0], activation.part(classes, 2 * classes), from_level3)
        joined = self._map((combined.height, combined.width), *_slices(classes))
        self._pyramid(self._reduce(combined, block), block, [self._result(block.bn, Place(joined))])
        return joined

    def _first_block(self, block: nn.Module, source: FeatureMap, activation: Activation, place: Place) -> FeatureMap:
        """A level's first block, which halves the size; what it gives goes to ``place`` too, activated once more."""
        assert isinstance(block, SpatialPyramid)
        reduced = self._reduce(source, block, stride=2)
        first = self._map((reduced.height, reduced.width), *_slices(len(activation.gain)))
        again = _Result(activation, [Store(place, 0, len(activation.gain))])
        self._pyramid(reduced, block, [self._result(block, Place(first)), again])
        return first

    def _blocks(self, blocks: nn.ModuleList, first: FeatureMap, activation: Activation, place: Place) -> None:
        """ESP blocks one after the other; what the last gives is needed only activated once more, at ``place``."""
        current, channels = first, len(activation.gain)
        for index, block in enumerate(blocks):
            assert isinstance(block, SpatialPyramid)
            if index == len(blocks) - 1:
                results = [self._result(block.bn), _Result(activation, [Store(place, 0, channels)])]
                self._pyramid(self._reduce(current, block), block, results, residual=current)
                return
            following = self._map((current.height, current.width), *_slices(channels))
            results = [self._result(block.bn, Place(following))]
            self._pyramid(self._reduce(current, block), block, results, residual=current)
            self.program.release(current)
            current = following

    # -- steps

    def _reduce(self, source: FeatureMap, block: SpatialPyramid, stride: int = 1) -> FeatureMap:
        """An ESP unit's first convolution."""
        width, size = block.c1.conv.out_channels, (source.height // stride, source.width // stride)
        reduced = self._map(size, range(width), border=max(_DILATIONS), name=self.names[block])
        self._convolve(source, block.c1.conv.weight, [_Result(None, [Store(Place(reduced), 0, width)])], stride)
        return reduced

    def _pyramid(
        self,
        reduced: FeatureMap,
        block: SpatialPyramid,
        results: Sequence[_Result],
        residual: Optional[FeatureMap] = None,
    ) -> None:
        """The dilated convolutions of an ESP unit; ``reduced`` is free afterwards. ``residual`` is added at first."""
        kernels = [_array(getattr(block, f"d{dilation}").conv.weight) for dilation in _DILATIONS]
        chains = []
        channel, word = 0, 0
        # the undilated branch has no part in the sums
        for members in (slice(0, 1), slice(1, None)):
            weights, gain, corrections = self._weights(reduced, kernels[members])
            count, branches = len(gain), []
            for dilation, offset, correction in zip(_DILATIONS[members], weights, corrections):
                own = [_part(result, channel, count, word) for result in results]
                added = () if residual is None else (Place(residual, word),)
                branches.append(Branch(dilation, offset, self._stages(own, gain, correction, added)))
                channel += count
                word += _words(count, self.element)
            chains.append((count, tuple(branches)))
        self.program.steps.append(Convolution(reduced, 3, 1, reduced.height, reduced.width, tuple(chains)))
        self.program.release(reduced)

    def _convolve(self, source: FeatureMap, weight: object, results: Sequence[_Result], stride: int = 1) -> None:
        kernel = _array(weight)
        (offset,), gain, (correction,) = self._weights(source, [kernel])
        chain = (len(gain), (Branch(1, offset, self._stages(results, gain, correction)),))
        height, width = source.height // stride, source.width // stride
        self.program.steps.append(Convolution(source, kernel.shape[2], stride, height, width, (chain,)))

    def _double(self, source: FeatureMap, convolution: nn.Module, activation: Activation, place: Place) -> None:
        assert isinstance(convolution, nn.ConvTranspose2d)
        outputs = convolution.out_channels
        stages = self._stages([_Result(activation, [Store(place, 0, outputs)])], np.ones(outputs), np.zeros(outputs))
        weights = self._doubling_weights(source, convolution)
        self.program.steps.append(TransposedConvolution2x(source, outputs, weights, stages))

    def _stages(
        self,
        results: Sequence[_Result],
        gain: np.ndarray,
        correction: np.ndarray,
        residual: Tuple[Place, ...] = (),
    ) -> Tuple[Stage, ...]:
        """What sums go through that are worth ``gain`` each, with ``correction`` to be added after that."""
        stages = []
        for activation, stores in results:
            constants = NOTHING
            if activation is not None:
                own, bias, slope = activation
                values = np.stack([own * gain, own, bias + own * correction, slope], 1)
                constants = self.program.add_constants(values.astype(np.float32))
            stages.append(Stage(constants, tuple(self._in_steps(store) for store in stores), residual))
            gain, correction, residual = np.ones_like(gain), np.zeros_like(correction), ()
        return tuple(stages)

    def _in_steps(self, store: Store) -> Store:
        """With the constants that a place in int8 needs."""
        target = store.place.map
        if target.element != INT8:
            return store
        slots = slice(store.place.word * INT8.per_word, store.place.word * INT8.per_word + store.count)
        values = np.stack([1 / np.array(target.scales[slots]), np.array(target.zeros[slots])], 1)
        return replace(store, constants=self.program.add_constants(values.astype(np.float32)))

    # -- constants and maps

    def _weights(
        self, source: FeatureMap, kernels: Sequence[np.ndarray]
    ) -> Tuple[List[int], np.ndarray, Sequence[np.ndarray]]:
        """The weights of convolutions that add up.

        Returns:
            Their offsets; what the sums are worth, (outputs,); and what has to be added after each convolution.
        """
        arranged = [kernel.transpose(2, 1, 3, 0) for kernel in kernels]  # (row, in, column, out)
        outputs = arranged[0].shape[-1]
        gain, corrections = np.ones(outputs), [np.zeros(outputs)] * len(kernels)
        if source.element == INT8:
            arranged, gain, corrections = split_quantised(source, arranged)
        return [self.program.add_constants(pack(source, values)) for values in arranged], gain, corrections

    def _doubling_weights(self, source: FeatureMap, convolution: nn.ConvTranspose2d) -> int:
        values = _array(convolution.weight).transpose(2, 0, 3, 1)  # (in, out, row, column) to (row, in, column, out)
        return self.program.add_constants(pack(source, values))

    def _result(self, layer: object, *places: Place) -> _Result:
        """A layer that has a normalisation and an activation, its outputs stored as they come."""
        assert isinstance(layer, nn.Module)
        activation = activation_of(layer)
        return _Result(activation, [Store(place, 0, len(activation.gain)) for place in places])

    def _map(self, size: Tuple[int, int], *parts: Sequence[int], border: int = 0, name: str = "") -> FeatureMap:
        """A map in which each part begins with a word of its own, in int8 where ranges are known by its name."""
        ranges = self.ranges.get(name)
        if ranges is None:
            slots = [slot for part in parts for slot in fill_words(part, self.element)]
            return self.program.add_map(size, slots, self.element, border)
        slots = [slot for part in parts for slot in fill_words(part, INT8)]
        low, high = _MARGIN * np.minimum(ranges.low, 0.0), _MARGIN * np.maximum(ranges.high, 1e-6)
        scale = (high - low) / 255
        zero = np.round(-low / scale).clip(0, 255)
        scales = tuple(1.0 if slot == NOTHING else float(scale[slot]) for slot in slots)
        zeros = tuple(0 if slot == NOTHING else int(zero[slot]) for slot in slots)
        means = tuple(0.0 if slot == NOTHING else float(ranges.mean[slot]) for slot in slots)
        return self.program.add_quantised_map(FeatureMap(*size, tuple(slots), INT8, border, 0, scales, zeros, means))


def _part(result: _Result, first: int, count: int, word: int) -> _Result:
    """What is done to ``count`` outputs from ``first`` on, whose places begin ``word`` words further on."""
    activation = None if result.activation is None else result.activation.part(first, first + count)
    stores = [Store(Place(store.place.map, store.place.word + word), 0, count) for store in result.stores]
    return _Result(activation, stores)


def _words(channels: int, element: Element) -> int:
    return -(-channels // element.per_word)


def _slices(channels: int) -> List[range]:
    """The channels that each branch of an ESP unit gives."""
    width = channels // BRANCHES
    bounds = range(channels - (BRANCHES - 1) * width, channels + 1, width)
    return [range(bounds[0]), *(range(start, start + width) for start in bounds[:-1])]


def _moved(parts: Sequence[range], by: int) -> List[range]:
    return [range(part.start + by, part.stop + by) for part in parts]


def _averages() -> np.ndarray:
    """(3, 3, 3, 3) weights: the mean of each channel's 3x3 window."""
    return np.asarray(np.eye(_IMAGE)[:, :, None, None] * np.full((1, 1, 3, 3), 1 / 9))


def _array(values: object) -> np.ndarray:
    return values.detach().double().numpy() if isinstance(values, Tensor) else np.asarray(values)
