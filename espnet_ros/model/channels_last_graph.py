"""The segmentation graph, rearranged for CPU kernels that keep the channels of a pixel side by side.

The function is that of ``SegmentationGraph``, in other steps: each saves a pass over memory, or a change of layout,
that profiling showed. What they bring is in docs/performance.md.
"""

from __future__ import annotations

import copy
from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet, ESPNetC, StemFeatures
from espnet_ros.model.graph import confidence_from, decide_upsampled, place_subpixels
from espnet_ros.model.loading import Network
from espnet_ros.types import ImageSize

_LEVEL1 = 16
"""Channels of the first convolution; the three of the image follow."""
_IMAGE = 3
_WINDOW = 9
"""Pixels of the 3x3 window that the image is averaged over each time it is halved."""


class ChannelsLastGraph(nn.Module):
    """Normalisation, network and argmax in one module, for images of one size.

    - Rows are normalised as flat vectors, since three channels fill no vector register.
    - Two neighbouring pixels count as one with six channels, which makes the first convolution's kernel 3x2.
    - That convolution halves the image too, by three more outputs that pass through its activation unchanged. They and
      the image at a quarter size are sums instead of means, and the normalisation that follows divides: so the weights
      are exactly 1 in any precision.
    - The last layer runs as four 1x1 convolutions, one for each subpixel, so that the logits of one are labels before
      those of the next exist.

    Args:
        network: left as it is.
        checkpoint: mean, deviation and divisor of the pixels.
        size: of the images; its width is even.
    """

    mean: Tensor
    scale: Tensor
    first_weight: Tensor
    first_bias: Tensor
    first_slope: Tensor
    quarter_weight: Tensor
    subpixel_weights: Tensor

    def __init__(self, network: Network, checkpoint: Checkpoint, size: ImageSize) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._size = size
        self._encoder: ESPNetC = self.network.encoder if isinstance(self.network, ESPNet) else self.network
        self.register_buffer("mean", torch.tensor(checkpoint.mean_bgr).repeat(size.width))
        std = torch.tensor(checkpoint.std_bgr)
        self.register_buffer("scale", (1.0 / (std * checkpoint.divisor)).repeat(size.width))
        self._arrange_stem()
        if isinstance(self.network, ESPNet):
            self._arrange_decoder(self.network)

    def forward(self, pixels: Tensor) -> Tuple[Tensor, Tensor]:
        """(1, H, W, 3) BGR pixel values 0..255 to (1, H, W) uint8 labels and (1, H, W) uint8 confidence."""
        encoded = self._encoder.features_below(self._stem(pixels))
        if isinstance(self.network, ESPNet):
            return self._decide(self.network.decode(encoded))
        return decide_upsampled(encoded.scores)

    def _stem(self, pixels: Tensor) -> StemFeatures:
        height, width = self._size
        rows = (pixels.float().reshape(1, height, 3 * width) - self.mean) * self.scale
        pairs = rows.reshape(1, height, width // 2, 6).permute(0, 3, 1, 2)  # (1, 6, H, W/2)
        padded = functional.pad(pairs, (1, 0, 1, 0))
        sums = functional.conv2d(padded, self.first_weight, self.first_bias, stride=(2, 1))
        first = functional.prelu(sums, self.first_slope)  # (1, 19, H/2, W/2)
        quarter = functional.conv2d(first, self.quarter_weight, stride=2, padding=1)  # (1, 3, H/4, W/4)
        return StemFeatures(first, self._encoder.b1(first), quarter)

    def _decide(self, features: Tensor) -> Tuple[Tensor, Tensor]:
        labels: List[Tensor] = []
        confidence: List[Tensor] = []
        for weight in self.subpixel_weights:
            logits = functional.conv2d(features, weight)  # (1, C, H/2, W/2)
            best, winners = logits.max(1)
            labels.append(winners.to(torch.uint8))
            confidence.append(confidence_from(logits, best, 1))
        return place_subpixels(torch.cat(labels)), place_subpixels(torch.cat(confidence))

    def _arrange_stem(self) -> None:
        encoder, level1 = self._encoder, self._encoder.level1
        mean, variance = level1.bn.running_mean, level1.bn.running_var
        assert mean is not None and variance is not None
        gain = level1.bn.weight / torch.sqrt(variance + level1.bn.eps)
        outputs = _LEVEL1 + _IMAGE
        weight = torch.zeros(outputs, _IMAGE, 3, 3)
        bias, slope = torch.zeros(outputs), torch.ones(outputs)
        weight[:_LEVEL1] = level1.conv.weight * gain.reshape(-1, 1, 1, 1)
        bias[:_LEVEL1] = level1.bn.bias - mean * gain
        slope[:_LEVEL1] = level1.act.weight
        quarter = torch.zeros(_IMAGE, outputs, 3, 3)
        for channel in range(_IMAGE):
            weight[_LEVEL1 + channel, channel] = 1.0
            quarter[channel, _LEVEL1 + channel] = 1.0
        self.register_buffer("first_weight", _over_pairs(weight))
        self.register_buffer("first_bias", bias)
        self.register_buffer("first_slope", slope)
        self.register_buffer("quarter_weight", quarter)
        _expect_sums(encoder.b1.bn, _LEVEL1, _WINDOW)
        _expect_sums(encoder.b2.bn, encoder.b2.bn.num_features - _IMAGE, _WINDOW**2)

    def _arrange_decoder(self, network: ESPNet) -> None:
        if network.skip_channels == _LEVEL1:  # the decoder is handed all 19, and takes the image's with weight 0
            joined = network.conv.conv
            image = torch.zeros(joined.out_channels, _IMAGE, 3, 3)
            network.conv.conv = nn.Conv2d(joined.in_channels + _IMAGE, joined.out_channels, 3, padding=1, bias=False)
            network.conv.conv.weight = nn.Parameter(torch.cat([joined.weight, image], 1), requires_grad=False)
        weight = network.classifier.weight  # (C in, C out, 2, 2)
        inputs, classes = weight.shape[:2]
        self.register_buffer("subpixel_weights", weight.permute(2, 3, 1, 0).reshape(4, classes, inputs, 1, 1))


def _over_pairs(weight: Tensor) -> Tensor:
    """A (N, 3, 3, 3) kernel of stride 2 on pixels to one of stride (2, 1), (N, 6, 3, 2), on pairs of them.

    Output column j sees the pixels 2j - 1, 2j and 2j + 1: the right one of pair j - 1, and both of pair j.
    """
    nothing = torch.zeros_like(weight[:, :, :, 0])
    left_pair = torch.cat([nothing, weight[:, :, :, 0]], 1)  # (N, 6, 3)
    own_pair = torch.cat([weight[:, :, :, 1], weight[:, :, :, 2]], 1)
    return torch.stack([left_pair, own_pair], 3)


def _expect_sums(norm: nn.BatchNorm2d, first: int, count: int) -> None:
    """Make ``norm`` take, from channel ``first`` on, sums of ``count`` pixels where it took means."""
    assert norm.running_mean is not None
    norm.running_mean[first:] *= count
    norm.weight[first:] /= count
