"""The network in the form that torch2trt can convert. It computes the same function as ``model/graph.py``.

torch2trt supports neither argmax nor integer outputs, and turns the result of an unknown call into a constant. So
argmax and confidence are functions of this module, for which ``converters.py`` registers our own converters.
"""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.engines.tensorrt.converters import SUBPIXELS, UPSAMPLING
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet
from espnet_ros.model.graph import interleave_subpixels
from espnet_ros.model.loading import Network
from espnet_ros.types import ImageSize


class TensorRtGraph(nn.Module):
    """Normalisation, network, argmax and confidence in one module, for one image size.

    Normalisation is not folded into the first convolution, because that convolution's zero padding, and the pooled
    image that is concatenated to its output, refer to the normalised image.

    Args:
        network: in evaluation mode.
        checkpoint: source of the mean, standard deviation and divisor.
        size: image size.
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
            # the transposed convolution with kernel and stride 2 as a 1x1 convolution, see SegmentationGraph
            self.subpixel_scores = nn.Conv2d(inputs, SUBPIXELS**2 * classes, 1, bias=False)
            mixed = weight.permute(2, 3, 1, 0).reshape(-1, inputs, 1, 1)  # (row, column, class)
            self.subpixel_scores.weight.data.copy_(mixed)

    def forward(self, pixels: Tensor) -> Tuple[Tensor, Tensor]:
        """Map (1, H, W, 3) float32 BGR pixel values 0..255 to (1, H, W) float32 labels and their probabilities."""
        x = (pixels.permute(0, 3, 1, 2) - self.mean) * self.scale  # (1, 3, H, W)
        if isinstance(self.network, ESPNet):
            scores = self.subpixel_scores(self.network.half_size_features(x))  # (1, 4 * C, H/2, W/2)
            return classify_subpixels(scores, self.size)
        return classify_upsampled(self.network(x), self.size)


def classify_subpixels(scores: Tensor, size: ImageSize) -> Tuple[Tensor, Tensor]:
    """Map (1, 4 * C, h, w) scores, in the order row, column, class, to (1, 2h, 2w) labels and their probabilities.

    Args:
        scores: output of the last layer as a 1x1 convolution.
        size: image size, (2h, 2w).
    """
    height, width = size.height // SUBPIXELS, size.width // SUBPIXELS
    logits = scores.reshape(SUBPIXELS**2, -1, height, width)  # (4, C, h, w): one batch entry per subpixel
    labels, confidence = _classify(logits)  # (4, h, w)
    return interleave_subpixels(labels), interleave_subpixels(confidence)


def classify_upsampled(scores: Tensor, size: ImageSize) -> Tuple[Tensor, Tensor]:
    """Map (1, C, h, w) scores to (1, 8h, 8w) labels and their probabilities.

    Args:
        scores: output of ESPNet-C.
        size: image size, (8h, 8w); used only by the converter.
    """
    logits = functional.interpolate(scores, scale_factor=float(UPSAMPLING), mode="bilinear", align_corners=False)
    return _classify(logits)


def _classify(logits: Tensor) -> Tuple[Tensor, Tensor]:
    """Reduce (N, C, h, w) logits to (N, h, w) float32 labels and probabilities."""
    confidence = functional.softmax(logits, 1).max(1)[0]
    return logits.max(1)[1].to(torch.float32), confidence
