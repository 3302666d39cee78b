"""Lowers ESPNet to a program: folds normalisations, and makes each layer write to its place in concatenated maps."""

from __future__ import annotations

from types import MappingProxyType
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np
from torch import Tensor, nn

from espnet_ros.engines.native.builder import DILATIONS, ChannelRanges, Output, ProgramBuilder
from espnet_ros.engines.native.packing import Activation, fold_activation, fold_batch_norm
from espnet_ros.engines.native.program import FP32, ElementType, FeatureMap, MapSlice, Program, Store, word_count
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import BRANCHES, ESPNet, SpatialPyramid
from espnet_ros.types import ImageSize

DECODER_INPUT = "decoder"
"""Name of the ranges of the decoder's last 3x3 convolution's input. Ranges of an ESP unit have its module name."""
_LEVEL1 = 16
_IMAGE = 3


def lower(
    network: ESPNet,
    checkpoint: Checkpoint,
    size: ImageSize,
    element: ElementType,
    ranges: Mapping[str, ChannelRanges] = MappingProxyType({}),
) -> Program:
    """Lower a network to a program for one image size.

    Args:
        network: in evaluation mode.
        checkpoint: source of the mean, standard deviation and divisor.
        size: image size.
        element: element type of all maps, except the image's, which are fp32, and those in ``ranges``.
        ranges: by name, the ranges of the maps to quantise to int8.
    """
    return _Lowering(network, checkpoint, size, element, ranges).builder.program


class _Lowering:
    def __init__(
        self,
        network: ESPNet,
        checkpoint: Checkpoint,
        size: ImageSize,
        element: ElementType,
        ranges: Mapping[str, ChannelRanges],
    ) -> None:
        self.builder = ProgramBuilder(size, element, ranges)
        self.network = network
        self.names = {module: name for name, module in network.named_modules()}
        self.half, self.quarter, self.eighth = ((size.height // by, size.width // by) for by in (2, 4, 8))
        self.classes = network.encoder.classifier.conv.out_channels
        self.width = network.level3_C.conv.out_channels  # of the decoder
        self._lower(checkpoint, size)

    def _lower(self, checkpoint: Checkpoint, size: ImageSize) -> None:
        builder, network = self.builder, self.network
        decoder = range(self.width)
        skip = [self.width + channel for channel in range(network.skip_channels)]
        decoder_input = builder.add_map(self.half, decoder, skip, border=1, name=DECODER_INPUT)
        skip_target = MapSlice(decoder_input, word_count(self.width, decoder_input.element))
        level1_joined, half_image = self._level1(self._normalise(checkpoint, size), skip_target)
        level2_joined = self._level2(level1_joined, half_image)
        joined = self._join_levels(level2_joined, self._level3(level2_joined))
        up_l2, activation = network.up_l2
        builder.add_upsampling(joined, _array(up_l2.weight), fold_activation(activation), MapSlice(decoder_input))
        features = builder.add_map(self.half, decoder)
        outputs = [_output(network.conv, MapSlice(features))]
        builder.add_convolution(decoder_input, _array(network.conv.conv.weight), outputs)
        builder.add_classifier(features, _array(network.classifier.weight))

    # -- levels

    def _normalise(self, checkpoint: Checkpoint, size: ImageSize) -> FeatureMap:
        image = self.builder.program.add_map((size.height, size.width), range(_IMAGE), FP32, border=1)
        gain = 1.0 / (np.array(checkpoint.std_bgr) * checkpoint.divisor)
        self.builder.add_normalisation(image, gain, -np.array(checkpoint.mean_bgr) * gain)
        return image

    def _level1(self, image: FeatureMap, skip: MapSlice) -> Tuple[FeatureMap, FeatureMap]:
        """Add the first convolution; three extra outputs average-pool the image.

        Returns:
            The concatenated first level, and the image at half size.
        """
        encoder = self.network.encoder
        joined = self.builder.add_map(self.half, range(_LEVEL1 + _IMAGE), border=1)
        half_image = self.builder.program.add_map(self.half, range(_IMAGE), FP32, border=1)
        identity = Activation(np.ones(_IMAGE), np.zeros(_IMAGE), np.ones(_IMAGE))
        first = Activation(*(np.concatenate(pair) for pair in zip(fold_activation(encoder.level1), identity)))
        before_b1 = [Store(MapSlice(half_image), _LEVEL1, _IMAGE)]
        after_b1 = [Store(MapSlice(joined), 0, _LEVEL1 + _IMAGE)]
        (before_b1 if self.network.skip_channels == _LEVEL1 else after_b1).append(
            Store(skip, 0, self.network.skip_channels)
        )
        weight = np.concatenate([_array(encoder.level1.conv.weight), _average_pooling()])
        outputs = [Output(first, before_b1), Output(fold_activation(encoder.b1), after_b1)]
        self.builder.add_convolution(image, weight, outputs, stride=2)
        return joined, half_image

    def _level2(self, level1_joined: FeatureMap, half_image: FeatureMap) -> FeatureMap:
        """Add the second level; return its last block, its first block and the quarter-size image, concatenated."""
        encoder, activation = self.network.encoder, fold_activation(self.network.encoder.b2)
        slices = _branch_channels(64)
        joined = self.builder.add_map(self.quarter, *slices, *_shift(slices, 64), range(128, 131), border=1)
        words = sum(word_count(len(part), self.builder.element) for part in slices)
        image = Output(activation.channels(128, 131), [Store(MapSlice(joined, 2 * words), 0, _IMAGE)])
        self.builder.add_convolution(half_image, _average_pooling(), [image], stride=2)
        after_first = activation.channels(64, 128)
        first = self._first_block(encoder.level2_0, level1_joined, after_first, MapSlice(joined, words))
        self._blocks(encoder.level2, first, activation.channels(0, 64), MapSlice(joined))
        return joined

    def _level3(self, level2_joined: FeatureMap) -> FeatureMap:
        """Add the third level and the encoder's classifier; return its scores, batch-normalised."""
        encoder, activation = self.network.encoder, fold_activation(self.network.encoder.b3)
        slices = _branch_channels(128)
        joined = self.builder.add_map(self.eighth, *slices, *_shift(slices, 128))
        first = self._first_block(encoder.level3_0, level2_joined, activation.channels(0, 128), MapSlice(joined))
        self._blocks(encoder.level3, first, activation.channels(128, 256), MapSlice(joined, joined.words // 2))
        scores = self.builder.add_map(self.eighth, range(self.classes))
        output = Output(fold_batch_norm(self.network.br), [Store(MapSlice(scores), 0, self.classes)])
        self.builder.add_convolution(joined, _array(encoder.classifier.conv.weight), [output])
        return scores

    def _join_levels(self, level2_joined: FeatureMap, scores: FeatureMap) -> FeatureMap:
        """Add the decoder's ESP block, which reads the second and the upsampled third level."""
        width, (joined_activation, block) = self.width, self.network.combine_l2_l3
        assert isinstance(block, SpatialPyramid)
        activation = fold_activation(joined_activation)
        combined = self.builder.add_map(self.quarter, range(width), range(width, 2 * width))
        from_level2 = Output(activation.channels(0, width), [Store(MapSlice(combined), 0, width)])
        self.builder.add_convolution(level2_joined, _array(self.network.level3_C.conv.weight), [from_level2])
        from_level3 = MapSlice(combined, word_count(width, self.builder.element))
        up_l3 = _array(self.network.up_l3[0].weight)
        self.builder.add_upsampling(scores, up_l3, activation.channels(width, 2 * width), from_level3)
        joined = self.builder.add_map((combined.height, combined.width), *_branch_channels(width))
        self._pyramid(self._reduce(combined, block), block, [_output(block.bn, MapSlice(joined))])
        return joined

    # -- ESP blocks

    def _first_block(
        self, block: nn.Module, source: FeatureMap, activation: Activation, target: MapSlice
    ) -> FeatureMap:
        """Add a level's strided block. Its output is returned, and also stored to ``target`` after ``activation``."""
        assert isinstance(block, SpatialPyramid)
        reduced = self._reduce(source, block, stride=2)
        first = self.builder.add_map((reduced.height, reduced.width), *_branch_channels(len(activation.gain)))
        joined = Output(activation, [Store(target, 0, len(activation.gain))])
        self._pyramid(reduced, block, [_output(block, MapSlice(first)), joined])
        return first

    def _blocks(self, blocks: nn.ModuleList, first: FeatureMap, activation: Activation, target: MapSlice) -> None:
        """Add a level's residual blocks. The output of the last is only stored to ``target``, after ``activation``."""
        current, channels = first, len(activation.gain)
        for index, block in enumerate(blocks):
            assert isinstance(block, SpatialPyramid)
            if index == len(blocks) - 1:
                outputs = [_output(block.bn), Output(activation, [Store(target, 0, channels)])]
                self._pyramid(self._reduce(current, block), block, outputs, residual=current)
                return
            following = self.builder.add_map((current.height, current.width), *_branch_channels(channels))
            outputs = [_output(block.bn, MapSlice(following))]
            self._pyramid(self._reduce(current, block), block, outputs, residual=current)
            self.builder.program.release(current)
            current = following

    def _reduce(self, source: FeatureMap, block: SpatialPyramid, stride: int = 1) -> FeatureMap:
        """Add an ESP unit's first convolution, which reduces the number of channels."""
        width, size = block.c1.conv.out_channels, (source.height // stride, source.width // stride)
        reduced = self.builder.add_map(size, range(width), border=max(DILATIONS), name=self.names[block])
        output = Output(None, [Store(MapSlice(reduced), 0, width)])
        self.builder.add_convolution(source, _array(block.c1.conv.weight), [output], stride)
        return reduced

    def _pyramid(
        self,
        reduced: FeatureMap,
        block: SpatialPyramid,
        outputs: Sequence[Output],
        residual: Optional[FeatureMap] = None,
    ) -> None:
        kernels = [_array(getattr(block, f"d{dilation}").conv.weight) for dilation in DILATIONS]
        self.builder.add_pyramid(reduced, kernels, outputs, residual)


def _output(layer: object, *targets: MapSlice) -> Output:
    """Return the stage for a layer's batch normalisation and PReLU, stored to each target."""
    assert isinstance(layer, nn.Module)
    activation = fold_activation(layer)
    return Output(activation, [Store(target, 0, len(activation.gain)) for target in targets])


def _branch_channels(channels: int) -> List[range]:
    """Return the output channels of each branch of an ESP unit."""
    width = channels // BRANCHES
    bounds = range(channels - (BRANCHES - 1) * width, channels + 1, width)
    return [range(bounds[0]), *(range(start, start + width) for start in bounds[:-1])]


def _shift(parts: Sequence[range], by: int) -> List[range]:
    return [range(part.start + by, part.stop + by) for part in parts]


def _average_pooling() -> np.ndarray:
    """Return (3, 3, 3, 3) weights that average the 3x3 window of each channel."""
    return np.asarray(np.eye(_IMAGE)[:, :, None, None] * np.full((1, 1, 3, 3), 1 / 9))


def _array(values: object) -> np.ndarray:
    assert isinstance(values, Tensor)
    return values.detach().double().numpy()
