"""Folds normalisations, and packs and quantises weights into the layout that the machine code reads."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
from torch import nn

from espnet_ros.engines.native.program import BF16, EMPTY_SLOT, INT8, FeatureMap

_LARGEST = 127
_MIN_WEIGHT = 1e-12
"""Replaces the largest weight of an output whose weights are all 0."""


class Activation(NamedTuple):
    """Batch normalisation and PReLU, folded: ``y = gain * x + bias``, multiplied by ``slope`` if negative.

    All are (channels,) float64.
    """

    gain: np.ndarray
    bias: np.ndarray
    slope: np.ndarray

    def channels(self, first: int, end: int) -> Activation:
        """Return the activation of the channels from ``first`` up to, but not including, ``end``."""
        return Activation(*(each[first:end] for each in self))


def fold_batch_norm(norm: nn.BatchNorm2d) -> Activation:
    """Fold a batch normalisation in evaluation mode; all slopes are 1."""
    assert norm.running_mean is not None and norm.running_var is not None
    weight, bias, mean, variance = (
        each.detach().double().numpy() for each in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    gain = weight / np.sqrt(variance + norm.eps)
    return Activation(gain, bias - mean * gain, np.ones_like(gain))


def fold_activation(layer: nn.Module) -> Activation:
    """Fold a layer's batch normalisation ``bn`` and the PReLU ``act`` that follows it."""
    assert isinstance(layer.bn, nn.BatchNorm2d) and isinstance(layer.act, nn.PReLU)
    return fold_batch_norm(layer.bn)._replace(slope=layer.act.weight.detach().double().numpy())


def pack_weights(source: FeatureMap, values: np.ndarray) -> np.ndarray:
    """Pack (row, in, column, out) weights as (row, word, column, out, value in the word), in the source's element type.

    Weights of empty slots are 0.
    """
    rows, _, columns, outputs = values.shape
    slots = np.zeros((rows, len(source.slots), columns, outputs))
    for slot, channel in enumerate(source.slots):
        if channel != EMPTY_SLOT:
            slots[:, slot] = values[:, channel]
    words = slots.reshape(rows, source.words, source.element.per_word, columns, outputs).transpose(0, 1, 3, 4, 2)
    if source.element == BF16:
        return round_to_bf16(words)
    return words.astype(np.int8 if source.element == INT8 else np.float32)


def quantise_weights(
    source: FeatureMap, kernels: Sequence[np.ndarray]
) -> Tuple[List[np.ndarray], np.ndarray, List[np.ndarray]]:
    """Quantise convolutions that read the same int8 map and whose sums accumulate along a chain.

    The value of a channel is ``scale * (quantised - zero_point)``. The scales are folded into the weights. All kernels
    of one output share a quantisation step, so their sums stay integers. The contribution of the zero points is
    constant and goes into the corrections.

    Args:
        source: map that they read.
        kernels: (row, in, column, out) weights of each convolution.

    Returns:
        The quantised kernels, -127 to 127; the value of one unit of the integer sums, (outputs,); and for each
        convolution, (outputs,), the correction to add to the accumulated sum up to and including it.

    The corrections include the bias correction of Nagel et al., "Data-Free Quantization" (2019), section 4.2.
    """
    scales, zero_points, means = (
        _in_channel_order(source, by_slot) for by_slot in (source.scales, source.zero_points, source.means)
    )
    scaled = [kernel * scales[:, None, None] for kernel in kernels]
    gain = np.maximum(np.max([np.abs(kernel).max((0, 1, 2)) for kernel in scaled], 0), _MIN_WEIGHT) / _LARGEST
    quantised = [np.round(kernel / gain) for kernel in scaled]
    zero_offset = [-(kernel * zero_points[:, None, None]).sum((0, 1, 2)) * gain for kernel in quantised]
    # mean error of rounding the weights, estimated at the channels' means
    rounding_error = [
        ((kernel - rounded * gain) * (means / scales)[:, None, None]).sum((0, 1, 2))
        for kernel, rounded in zip(scaled, quantised)
    ]
    return quantised, gain, list(np.cumsum(np.add(zero_offset, rounding_error), 0))


def round_to_bf16(values: np.ndarray) -> np.ndarray:
    """Round to the nearest bfloat16, ties to even; return the bits as uint16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _in_channel_order(source: FeatureMap, by_slot: Sequence[float]) -> np.ndarray:
    ordered = sorted((channel, value) for channel, value in zip(source.slots, by_slot) if channel != EMPTY_SLOT)
    return np.array([value for _, value in ordered])
