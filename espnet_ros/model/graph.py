"""The network as an engine runs it: camera pixels in, label ids out, nothing left to do in Python."""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet
from espnet_ros.model.loading import Network


class SegmentationGraph(nn.Module):
    """Normalisation, network and argmax in one module.

    ESPNet's last layer, a transposed convolution with kernel and stride 2, gives each of the four pixels it makes
    from one input position its own linear map. So it runs as one 1x1 convolution with 4 x classes outputs, the
    label is decided before the pixels are put in place, and only labels are moved instead of logits.
    """

    mean: Tensor
    scale: Tensor
    subpixel_weight: Tensor

    def __init__(self, network: Network, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.network = network
        mean = torch.tensor(checkpoint.mean_bgr).reshape(1, 3, 1, 1)
        std = torch.tensor(checkpoint.std_bgr).reshape(1, 3, 1, 1)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", 1.0 / (std * checkpoint.divisor))
        if isinstance(network, ESPNet):
            weight = network.classifier.weight.detach()  # (C in, C out, 2, 2)
            inputs, classes = weight.shape[:2]
            mixed = weight.permute(2, 3, 1, 0).reshape(4 * classes, inputs, 1, 1)  # (row, column, class)
            self.register_buffer("subpixel_weight", mixed.contiguous())

    def forward(self, pixels: Tensor) -> Tuple[Tensor, Tensor]:
        """(1, H, W, 3) BGR pixel values 0..255 to (1, H, W) uint8 labels and (1, H, W) uint8 confidence."""
        x = (pixels.float().permute(0, 3, 1, 2) - self.mean) * self.scale  # (1, 3, H, W)
        if isinstance(self.network, ESPNet):
            return self._decide_subpixels(self.network.half_size_features(x))
        return decide_upsampled(self.network(x))

    def _decide_subpixels(self, features: Tensor) -> Tuple[Tensor, Tensor]:
        _, _, height, width = features.shape
        mixed = functional.conv2d(features, self.subpixel_weight)  # (1, 4 * C, H/2, W/2)
        logits = mixed.reshape(4, -1, height, width)  # (4, C, H/2, W/2): one batch entry a subpixel
        best, labels = logits.max(1)  # (4, H/2, W/2)
        return place_subpixels(labels.to(torch.uint8)), place_subpixels(confidence_from(logits, best, 1))


def decide_upsampled(scores: Tensor) -> Tuple[Tensor, Tensor]:
    """ESPNet-C's (1, C, H/8, W/8) logits, upsampled bilinearly, to (1, H, W) labels and confidence."""
    logits = functional.interpolate(scores, scale_factor=8.0, mode="bilinear", align_corners=False)
    best, labels = logits.max(1)  # (1, H, W)
    return labels.to(torch.uint8), confidence_from(logits, best, 1)


def confidence_from(logits: Tensor, best: Tensor, dim: int) -> Tensor:
    """Softmax probability of the best class as uint8, 255 being 1.0."""
    total = (logits - best.unsqueeze(dim)).exp().sum(dim)
    return (255.0 / total + 0.5).to(torch.uint8)


def place_subpixels(subpixels: Tensor) -> Tensor:
    """(4, h, w), in the order top left, top right, bottom left, bottom right, to (1, 2h, 2w)."""
    _, height, width = subpixels.shape
    grid = subpixels.reshape(2, 2, height, width).permute(2, 0, 3, 1)  # (h, row, w, column)
    return grid.reshape(1, 2 * height, 2 * width)
