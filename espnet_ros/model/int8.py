"""Makes the heaviest convolutions of a network compute in int8, with ranges from images that it will see.

The rest keeps its precision: an ESP unit's sums, residuals and activations lose too much in eight bits. What is changed
are the dilated convolutions of the third level and the decoder's last 3x3 convolution, two thirds of alpha 8's
multiplications; their sums leave them unrounded.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.model.espnet import ESPNet, ESPNetC, SpatialPyramid
from espnet_ros.model.loading import Network

_LARGEST = 127
_SMALLEST = -128
_NO_RANGE = 1e-6
"""Stands for the range of a channel, or of a filter's weights, that is always 0."""


class QuantisedInput(nn.Module):
    """Rounds each channel to 256 steps over its own range, in units of its step.

    Args:
        ranges: (C,) largest magnitude of each channel.
    """

    per_step: Tensor

    def __init__(self, ranges: Tensor) -> None:
        super().__init__()
        self.register_buffer("per_step", (_LARGEST / ranges).reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape, whole numbers."""
        return torch.fake_quantize_per_tensor_affine(x * self.per_step, 1.0, 0, _SMALLEST, _LARGEST)


class QuantisedConv(nn.Module):
    """A convolution of quantised input, its weights rounded to 255 steps a filter.

    Args:
        conv: without bias.
        ranges: (C in,) of its input, as given to ``QuantisedInput``.
    """

    weight: Tensor
    steps: Tensor
    zero_points: Tensor

    def __init__(self, conv: nn.Conv2d, ranges: Tensor) -> None:
        super().__init__()
        self._call: Callable[[Tensor, Tensor], Tensor] = lambda x, weight: functional.conv2d(
            x, weight, None, conv.stride, conv.padding, conv.dilation
        )
        weight = conv.weight.detach() * (ranges / _LARGEST).reshape(1, -1, 1, 1)
        steps = weight.abs().amax((1, 2, 3)).clamp(min=_NO_RANGE) / _LARGEST
        self.register_buffer("weight", weight)
        self.register_buffer("steps", steps)
        self.register_buffer("zero_points", torch.zeros(len(steps), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C in, h, w), whole numbers, to (N, C out, h, w) in the original's unit."""
        rounded = torch.fake_quantize_per_channel_affine(
            self.weight, self.steps, self.zero_points, 0, -_LARGEST, _LARGEST
        )
        return self._call(x, rounded)


def quantise(network: Network, run: Callable[[Tensor], object], images: Iterable[Tensor]) -> None:
    """Change ``network`` in place.

    Args:
        network: in evaluation mode.
        run: calls a graph that holds the network.
        images: what to call it with; each channel's largest magnitude over all of them is its range.
    """
    encoder: ESPNetC = network.encoder if isinstance(network, ESPNet) else network
    pyramids: List[SpatialPyramid] = [encoder.level3_0, *encoder.level3]  # type: ignore[list-item]
    inputs: Dict[str, nn.Conv2d] = {str(number): pyramid.d1.conv for number, pyramid in enumerate(pyramids)}
    if isinstance(network, ESPNet):
        inputs["decoder"] = network.conv.conv
    ranges = _measure_ranges(inputs, run, images)
    for number, pyramid in enumerate(pyramids):
        pyramid.c1.add_module("conv", nn.Sequential(pyramid.c1.conv, QuantisedInput(ranges[str(number)])))
        for branch in (pyramid.d1, pyramid.d2, pyramid.d4, pyramid.d8, pyramid.d16):
            branch.add_module("conv", QuantisedConv(branch.conv, ranges[str(number)]))
    if isinstance(network, ESPNet):
        decoder = ranges["decoder"]
        joined = nn.Sequential(QuantisedInput(decoder), QuantisedConv(network.conv.conv, decoder))
        network.conv.add_module("conv", joined)


def _measure_ranges(
    convolutions: Dict[str, nn.Conv2d], run: Callable[[Tensor], object], images: Iterable[Tensor]
) -> Dict[str, Tensor]:
    """(C,) largest magnitude of each channel of each convolution's input."""
    ranges = {name: torch.full((conv.in_channels,), _NO_RANGE) for name, conv in convolutions.items()}

    def watch(name: str) -> Callable[..., None]:
        def note(_conv: nn.Module, arguments: Tuple[Tensor, ...]) -> None:
            ranges[name] = torch.maximum(ranges[name], arguments[0].abs().amax((0, 2, 3)))

        return note

    handles = [conv.register_forward_pre_hook(watch(name)) for name, conv in convolutions.items()]
    try:
        with torch.no_grad():
            for image in images:
                run(image)
    finally:
        for handle in handles:
            handle.remove()
    return ranges
