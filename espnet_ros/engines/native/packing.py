"""Weights and normalisations as the machine code wants them."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
from torch import nn

from espnet_ros.engines.native.program import BF16, INT8, NOTHING, FeatureMap

_LARGEST = 127
_NO_WEIGHT = 1e-12
"""Stands for the largest weight of an output that has none."""


class Activation(NamedTuple):
    """(channels,) float64 each: ``y = gain * x + bias``, then ``slope * y`` where that is negative."""

    gain: np.ndarray
    bias: np.ndarray
    slope: np.ndarray

    def part(self, first: int, last: int) -> Activation:
        """That of some channels."""
        return Activation(*(each[first:last] for each in self))


def normalisation_of(norm: nn.BatchNorm2d) -> Activation:
    """Batch normalisation in evaluation mode."""
    assert norm.running_mean is not None and norm.running_var is not None
    weight, bias, mean, variance = (
        each.detach().double().numpy() for each in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    gain = weight / np.sqrt(variance + norm.eps)
    return Activation(gain, bias - mean * gain, np.ones_like(gain))


def activation_of(layer: nn.Module) -> Activation:
    """Of a layer that has a batch normalisation ``bn`` and after it a PReLU ``act``."""
    assert isinstance(layer.bn, nn.BatchNorm2d) and isinstance(layer.act, nn.PReLU)
    return normalisation_of(layer.bn)._replace(slope=layer.act.weight.detach().double().numpy())


def pack(source: FeatureMap, values: np.ndarray) -> np.ndarray:
    """(row, in, column, out) weights to (row, word, column, out, values of a word) of the source's element."""
    rows, _, columns, outputs = values.shape
    slots = np.zeros((rows, len(source.slots), columns, outputs))
    for slot, channel in enumerate(source.slots):
        if channel != NOTHING:
            slots[:, slot] = values[:, channel]
    words = slots.reshape(rows, source.words, source.element.per_word, columns, outputs).transpose(0, 1, 3, 4, 2)
    if source.element == BF16:
        return round_to_bf16(words)
    return words.astype(np.int8 if source.element == INT8 else np.float32)


def split_quantised(
    source: FeatureMap, kernels: Sequence[np.ndarray]
) -> Tuple[List[np.ndarray], np.ndarray, List[np.ndarray]]:
    """Convolutions of an int8 map that add up, as whole numbers.

    A channel is ``scale * (step - zero)``. The scales go into the weights, which an output's convolutions share a step
    of, so that their sums stay whole numbers; what the zeros make of the sums is known beforehand.

    Args:
        source: what they read.
        kernels: (row, in, column, out) each.

    Returns:
        The kernels in steps, -127 to 127; what the sums are worth, (outputs,); and for each convolution, (outputs,),
        what has to be added to the value of the sums up to it.

    The last has the correction of biases of Nagel et al., "Data-Free Quantization" (2019), section 4.2, in it.
    """
    scales, zeros, means = (
        _in_channel_order(source, of_slots) for of_slots in (source.scales, source.zeros, source.means)
    )
    scaled = [kernel * scales[:, None, None] for kernel in kernels]
    gain = np.maximum(np.max([np.abs(kernel).max((0, 1, 2)) for kernel in scaled], 0), _NO_WEIGHT) / _LARGEST
    steps = [np.round(kernel / gain) for kernel in scaled]
    of_zeros = [-(kernel * zeros[:, None, None]).sum((0, 1, 2)) * gain for kernel in steps]
    # what rounding takes from an output at the channels' means would be missing everywhere
    lost = [
        ((kernel - rounded * gain) * (means / scales)[:, None, None]).sum((0, 1, 2))
        for kernel, rounded in zip(scaled, steps)
    ]
    return steps, gain, list(np.cumsum(np.add(of_zeros, lost), 0))


def round_to_bf16(values: np.ndarray) -> np.ndarray:
    """The nearest bfloat16, ties to even, as uint16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _in_channel_order(source: FeatureMap, of_slots: Sequence[float]) -> np.ndarray:
    ordered = sorted((channel, value) for channel, value in zip(source.slots, of_slots) if channel != NOTHING)
    return np.array([value for _, value in ordered])
