"""``SegmentationGraph`` restructured for CPU kernels with channels-last memory layout.

It computes the same function. Each change removes a pass over memory, or a change of layout, that showed up in
profiles; docs/performance.md has the gains.
"""

from __future__ import annotations

import copy
from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet, ESPNetC, StemFeatures
from espnet_ros.model.graph import classify_upsampled, interleave_subpixels, softmax_confidence
from espnet_ros.model.loading import Network
from espnet_ros.types import ImageSize

_LEVEL1 = 16
"""Output channels of the first convolution. The image's three follow them."""
_IMAGE = 3
_WINDOW = 9
"""Pixels in the 3x3 window of the average pooling that halves the image."""


class ChannelsLastGraph(nn.Module):
    """Normalisation, network, argmax and confidence in one module, for one image size.

    Differences from ``SegmentationGraph``:

    - Rows are normalised as flat vectors, because three channels do not fill a vector register.
    - Two neighbouring pixels are treated as one pixel with six channels. The first convolution's kernel becomes 3x2.
    - The first convolution also halves the image, through three extra outputs that its activation leaves unchanged.
      These and the quarter-size image are sums, not means; the batch normalisation that follows includes the division.
      The pooling weights are therefore exactly 1 in any precision.
    - The last layer runs as four 1x1 convolutions, one per subpixel. Each one's logits are reduced to labels before the
      next one's are computed.

    Args:
        network: in evaluation mode; copied, not modified.
        checkpoint: source of the mean, standard deviation and divisor.
        size: image size; the width must be even.
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
        self._fuse_stem()
        if isinstance(self.network, ESPNet):
            self._split_classifier(self.network)

    def forward(self, pixels: Tensor) -> Tuple[Tensor, Tensor]:
        """Map (1, H, W, 3) BGR pixel values 0..255 to (1, H, W) uint8 labels and (1, H, W) uint8 confidence."""
        encoded = self._encoder.features_from_stem(self._stem(pixels))
        if isinstance(self.network, ESPNet):
            return self._classify(self.network.decode(encoded))
        return classify_upsampled(encoded.scores)

    def _stem(self, pixels: Tensor) -> StemFeatures:
        height, width = self._size
        rows = (pixels.float().reshape(1, height, 3 * width) - self.mean) * self.scale
        pairs = rows.reshape(1, height, width // 2, 6).permute(0, 3, 1, 2)  # (1, 6, H, W/2)
        padded = functional.pad(pairs, (1, 0, 1, 0))
        sums = functional.conv2d(padded, self.first_weight, self.first_bias, stride=(2, 1))
        first = functional.prelu(sums, self.first_slope)  # (1, 19, H/2, W/2)
        quarter = functional.conv2d(first, self.quarter_weight, stride=2, padding=1)  # (1, 3, H/4, W/4)
        return StemFeatures(first, self._encoder.b1(first), quarter)

    def _classify(self, features: Tensor) -> Tuple[Tensor, Tensor]:
        labels: List[Tensor] = []
        confidence: List[Tensor] = []
        for weight in self.subpixel_weights:
            logits = functional.conv2d(features, weight)  # (1, C, H/2, W/2)
            best, winners = logits.max(1)
            labels.append(winners.to(torch.uint8))
            confidence.append(softmax_confidence(logits, best, 1))
        return interleave_subpixels(torch.cat(labels)), interleave_subpixels(torch.cat(confidence))

    def _fuse_stem(self) -> None:
        """Fold batch normalisation and image pooling into the weights of the first convolution."""
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
        self.register_buffer("first_weight", _kernel_for_pixel_pairs(weight))
        self.register_buffer("first_bias", bias)
        self.register_buffer("first_slope", slope)
        self.register_buffer("quarter_weight", quarter)
        _fold_division(encoder.b1.bn, _LEVEL1, _WINDOW)
        _fold_division(encoder.b2.bn, encoder.b2.bn.num_features - _IMAGE, _WINDOW**2)

    def _split_classifier(self, network: ESPNet) -> None:
        """Split the last layer by subpixel, and make the decoder accept all 19 stem channels."""
        if network.skip_channels == _LEVEL1:  # the image's three channels get weight 0
            joined = network.conv.conv
            image = torch.zeros(joined.out_channels, _IMAGE, 3, 3)
            network.conv.conv = nn.Conv2d(joined.in_channels + _IMAGE, joined.out_channels, 3, padding=1, bias=False)
            network.conv.conv.weight = nn.Parameter(torch.cat([joined.weight, image], 1), requires_grad=False)
        weight = network.classifier.weight  # (C in, C out, 2, 2)
        inputs, classes = weight.shape[:2]
        self.register_buffer("subpixel_weights", weight.permute(2, 3, 1, 0).reshape(4, classes, inputs, 1, 1))


def _kernel_for_pixel_pairs(weight: Tensor) -> Tensor:
    """Convert a (N, 3, 3, 3) kernel with stride 2 to (N, 6, 3, 2) with stride (2, 1), on pairs of pixels.

    Output column j reads pixels 2j - 1, 2j and 2j + 1: the right pixel of pair j - 1 and both pixels of pair j.
    """
    zeros = torch.zeros_like(weight[:, :, :, 0])
    previous_pair = torch.cat([zeros, weight[:, :, :, 0]], 1)  # (N, 6, 3)
    own_pair = torch.cat([weight[:, :, :, 1], weight[:, :, :, 2]], 1)
    return torch.stack([previous_pair, own_pair], 3)


def _fold_division(norm: nn.BatchNorm2d, first: int, count: int) -> None:
    """Rescale ``norm`` in place so that channels from ``first`` on expect sums of ``count`` pixels, not means."""
    assert norm.running_mean is not None
    norm.running_mean[first:] *= count
    norm.weight[first:] /= count
