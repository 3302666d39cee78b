"""The published pipeline in eager PyTorch, the baseline of every speed-up."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import nn

from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.loading import load_network
from espnet_ros.types import ImageSize


class PublishedPipeline:
    """Image to labels with the steps, order and precision of the authors' test script.

    In floating point: subtract the mean and divide by the standard deviation channel by channel, resize, and divide by
    255. Then run the network (for ESPNet-C with a bilinear upsampling by 8), take the argmax over the full-size scores
    and convert it to bytes.

    Args:
        checkpoint: located weights.
        size: of the labels.
        device: of the network and argmax.
    """

    def __init__(self, checkpoint: Checkpoint, size: ImageSize, device: str = "cpu") -> None:
        self._checkpoint = checkpoint
        self._size = size
        self._device = torch.device(device)
        self._network: nn.Module = published_network(checkpoint).to(self._device)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return (h, w) uint8 labels at the pipeline's size of an (H, W, 3) uint8 BGR image."""
        batch = torch.from_numpy(preprocess_as_published(image, self._checkpoint, self._size)).to(self._device)
        with torch.no_grad():
            scores = self._network(batch)
        labels: np.ndarray = scores[0].max(0)[1].byte().cpu().numpy()
        return labels


def fastest_device() -> str:
    """Return the fastest device of this machine, as torch names it."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def published_network(checkpoint: Checkpoint) -> nn.Module:
    """Return the network, on the CPU: (1, 3, h, w) normalised image to (1, classes, h, w) scores."""
    network = load_network(checkpoint)
    if checkpoint.network == "espnet_c":
        return nn.Sequential(network, nn.Upsample(scale_factor=8, mode="bilinear", align_corners=False)).eval()
    return network


def preprocess_as_published(image: np.ndarray, checkpoint: Checkpoint, size: ImageSize) -> np.ndarray:
    """Convert an (H, W, 3) uint8 BGR image to the published network's input, (1, 3, h, w) float32."""
    pixels = image.astype(np.float32)
    for channel in range(3):
        pixels[:, :, channel] -= checkpoint.mean_bgr[channel]
    for channel in range(3):
        pixels[:, :, channel] /= checkpoint.std_bgr[channel]
    pixels = np.asarray(cv2.resize(pixels, (size.width, size.height)))
    pixels /= checkpoint.divisor
    return pixels.transpose((2, 0, 1))[np.newaxis]
