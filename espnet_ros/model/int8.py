"""Quantises the heaviest convolutions of a network to int8, with ranges measured on calibration images.

Only the dilated convolutions of the third level and the decoder's last 3x3 convolution are quantised: two thirds of
alpha 8's multiplications. Their outputs are not rounded. The rest keeps its precision, since the sums, residuals and
activations of an ESP unit lose too much in eight bits.
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
_MIN_RANGE = 1e-6
"""Replaces the range of a channel, or of a filter's weights, that are all 0."""


class QuantisedInput(nn.Module):
    """Scales each channel by its own range and rounds it to whole numbers, -128 to 127.

    Args:
        ranges: (C,) largest magnitude of each channel.
    """

    inverse_scale: Tensor

    def __init__(self, ranges: Tensor) -> None:
        super().__init__()
        self.register_buffer("inverse_scale", (_LARGEST / ranges).reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to whole numbers of the same shape."""
        return torch.fake_quantize_per_tensor_affine(x * self.inverse_scale, 1.0, 0, _SMALLEST, _LARGEST)


class QuantisedConv(nn.Module):
    """A convolution of quantised input, with weights rounded to 255 levels per filter.

    Args:
        conv: convolution without bias.
        ranges: (C in,) ranges of its input, as passed to ``QuantisedInput``.
    """

    weight: Tensor
    scales: Tensor
    zero_points: Tensor

    def __init__(self, conv: nn.Conv2d, ranges: Tensor) -> None:
        super().__init__()
        self._call: Callable[[Tensor, Tensor], Tensor] = lambda x, weight: functional.conv2d(
            x, weight, None, conv.stride, conv.padding, conv.dilation
        )
        weight = conv.weight.detach() * (ranges / _LARGEST).reshape(1, -1, 1, 1)
        scales = weight.abs().amax((1, 2, 3)).clamp(min=_MIN_RANGE) / _LARGEST
        self.register_buffer("weight", weight)
        self.register_buffer("scales", scales)
        self.register_buffer("zero_points", torch.zeros(len(scales), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C in, h, w) whole numbers to (N, C out, h, w) values on the original convolution's scale."""
        rounded = torch.fake_quantize_per_channel_affine(
            self.weight, self.scales, self.zero_points, 0, -_LARGEST, _LARGEST
        )
        return self._call(x, rounded)


def quantise(network: Network, run: Callable[[Tensor], object], images: Iterable[Tensor]) -> None:
    """Quantise ``network`` in place.

    Args:
        network: in evaluation mode.
        run: runs a graph that contains the network on one image.
        images: calibration images, passed to ``run``. A channel's range is its largest magnitude over all of them.
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
    """Measure the largest magnitude of each channel of each convolution's input: name to (C,)."""
    ranges = {name: torch.full((conv.in_channels,), _MIN_RANGE) for name, conv in convolutions.items()}

    def make_hook(name: str) -> Callable[..., None]:
        def update_range(_conv: nn.Module, arguments: Tuple[Tensor, ...]) -> None:
            ranges[name] = torch.maximum(ranges[name], arguments[0].abs().amax((0, 2, 3)))

        return update_range

    handles = [conv.register_forward_pre_hook(make_hook(name)) for name, conv in convolutions.items()]
    try:
        with torch.no_grad():
            for image in images:
                run(image)
    finally:
        for handle in handles:
            handle.remove()
    return ranges
