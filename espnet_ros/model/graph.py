"""The network as an engine runs it: camera pixels in, labels and confidence out."""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet
from espnet_ros.model.loading import Network


class SegmentationGraph(nn.Module):
    """Normalisation, network, argmax and confidence in one module.

    ESPNet's last layer is a transposed convolution with kernel and stride 2: each input position produces a 2x2 block
    of pixels, each through its own linear map. The graph computes it as one 1x1 convolution with 4 x classes outputs
    and takes the argmax before interleaving the four subpixels. So labels are rearranged, not logits.

    Args:
        network: in evaluation mode.
        checkpoint: source of the mean, standard deviation and divisor.
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
        """Map (1, H, W, 3) BGR pixel values 0..255 to (1, H, W) uint8 labels and (1, H, W) uint8 confidence."""
        x = (pixels.float().permute(0, 3, 1, 2) - self.mean) * self.scale  # (1, 3, H, W)
        if isinstance(self.network, ESPNet):
            return self._classify_subpixels(self.network.half_size_features(x))
        return classify_upsampled(self.network(x))

    def _classify_subpixels(self, features: Tensor) -> Tuple[Tensor, Tensor]:
        _, _, height, width = features.shape
        mixed = functional.conv2d(features, self.subpixel_weight)  # (1, 4 * C, H/2, W/2)
        logits = mixed.reshape(4, -1, height, width)  # (4, C, H/2, W/2): one batch entry per subpixel
        best, labels = logits.max(1)  # (4, H/2, W/2)
        confidence = softmax_confidence(logits, best, 1)
        return interleave_subpixels(labels.to(torch.uint8)), interleave_subpixels(confidence)


def classify_upsampled(scores: Tensor) -> Tuple[Tensor, Tensor]:
    """Upsample ESPNet-C's (1, C, H/8, W/8) logits bilinearly; return (1, H, W) uint8 labels and confidence."""
    logits = functional.interpolate(scores, scale_factor=8.0, mode="bilinear", align_corners=False)
    best, labels = logits.max(1)  # (1, H, W)
    return labels.to(torch.uint8), softmax_confidence(logits, best, 1)


def softmax_confidence(logits: Tensor, best: Tensor, dim: int) -> Tensor:
    """Return the softmax probability of the best class as uint8: 255 is 1.0.

    Args:
        logits: scores of all classes along ``dim``.
        best: maximum of ``logits`` over ``dim``.
        dim: class dimension.
    """
    total = (logits - best.unsqueeze(dim)).exp().sum(dim)
    return (255.0 / total + 0.5).to(torch.uint8)


def interleave_subpixels(subpixels: Tensor) -> Tensor:
    """Interleave (4, h, w) subpixels into (1, 2h, 2w). Order: top left, top right, bottom left, bottom right."""
    _, height, width = subpixels.shape
    grid = subpixels.reshape(2, 2, height, width).permute(2, 0, 3, 1)  # (h, row, w, column)
    return grid.reshape(1, 2 * height, 2 * width)
