"""The network as TensorRT runs it: what ``model/graph.py`` computes, in operations that torch2trt can convert.

torch2trt knows neither argmax nor integer outputs, and it takes a call that it does not know for a constant. So the
label of each pixel is decided in functions of this module, for which ``converters.py`` has converters of our own.
"""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.engines.tensorrt.converters import SUBPIXELS, UPSCALING
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet
from espnet_ros.model.graph import interleave_subpixels
from espnet_ros.model.loading import Network
from espnet_ros.types import ImageSize


class TensorRtGraph(nn.Module):
    """Normalisation, network and labels in one module, for images of one size.

    Normalisation is not folded into the first convolution: its zero padding, and the pooled image that joins the
    features, are of the normalised image.

    Args:
        network: in evaluation mode.
        checkpoint: its normalisation.
        size: of the images.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: Network, checkpoint: Checkpoint, size: ImageSize) -> None:
        super().__init__()
        self.network = network
        self.size = size
        std = torch.tensor(checkpoint.std_bgr).reshape(1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(checkpoint.mean_bgr).reshape(1, 3, 1, 1))
        self.register_buffer("scale", 1.0 / (std * checkpoint.divisor))
        if isinstance(network, ESPNet):
            weight = network.classifier.weight.detach()  # (C in, C out, 2, 2)
            inputs, classes = weight.shape[:2]
            # the transposed convolution with kernel and stride 2 as a 1x1 convolution, so that labels are decided
            # before pixels are put in place
            self.subpixel_scores = nn.Conv2d(inputs, SUBPIXELS**2 * classes, 1, bias=False)
            mixed = weight.permute(2, 3, 1, 0).reshape(-1, inputs, 1, 1)  # (row, column, class)
            self.subpixel_scores.weight.data.copy_(mixed)

    def forward(self, pixels: Tensor) -> Tuple[Tensor, Tensor]:
        """(1, H, W, 3) float32 BGR pixel values 0..255 to (1, H, W) float32 labels and probabilities of them."""
        x = (pixels.permute(0, 3, 1, 2) - self.mean) * self.scale  # (1, 3, H, W)
        if isinstance(self.network, ESPNet):
            scores = self.subpixel_scores(self.network.half_size_features(x))  # (1, 4 * C, H/2, W/2)
            return label_subpixels(scores, self.size)
        return label_upscaled(self.network(x), self.size)


def label_subpixels(scores: Tensor, size: ImageSize) -> Tuple[Tensor, Tensor]:
    """(1, 4 * C, h, w) scores, in the order row, column, class, to (1, 2h, 2w) labels and their probabilities."""
    height, width = size.height // SUBPIXELS, size.width // SUBPIXELS
    logits = scores.reshape(SUBPIXELS**2, -1, height, width)  # (4, C, h, w): one batch entry a subpixel
    labels, confidence = _decide(logits)  # (4, h, w)
    return interleave_subpixels(labels), interleave_subpixels(confidence)


def label_upscaled(scores: Tensor, size: ImageSize) -> Tuple[Tensor, Tensor]:
    """(1, C, h, w) scores to (1, 8h, 8w) labels and their probabilities, ``size`` being that size."""
    return _decide(functional.interpolate(scores, scale_factor=float(UPSCALING), mode="bilinear", align_corners=False))


def _decide(logits: Tensor) -> Tuple[Tensor, Tensor]:
    """(N, C, h, w) to (N, h, w) float32 labels and probabilities."""
    confidence = functional.softmax(logits, 1).max(1)[0]
    return logits.max(1)[1].to(torch.float32), confidence
