"""The published pipeline's steps, one after another in eager PyTorch: what every speed-up is measured against."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.loading import load_network
from espnet_ros.types import ImageSize


class PublishedPipeline:
    """Image to labels in the order and precision of the authors' test script, on the CPU.

    In floating point: subtract the mean and divide by the deviation channel by channel, resize, divide by 255; then the
    network, and for ESPNet-C a bilinear upsampling by 8; argmax over the full-size scores; bytes.
    """

    def __init__(self, checkpoint: Checkpoint, size: ImageSize) -> None:
        self._checkpoint = checkpoint
        self._size = size
        self._network = load_network(checkpoint)
        self._upsample = torch.nn.Upsample(scale_factor=8, mode="bilinear", align_corners=False)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 BGR to (h, w) uint8 labels at the pipeline's size."""
        checkpoint = self._checkpoint
        pixels = image.astype(np.float32)
        for channel in range(3):
            pixels[:, :, channel] -= checkpoint.mean_bgr[channel]
        for channel in range(3):
            pixels[:, :, channel] /= checkpoint.std_bgr[channel]
        pixels = np.asarray(cv2.resize(pixels, (self._size.width, self._size.height)))
        pixels /= checkpoint.divisor
        batch = torch.from_numpy(pixels.transpose((2, 0, 1))).unsqueeze(0)  # (1, 3, h, w)
        with torch.no_grad():
            scores = self._network(batch)
            if checkpoint.network == "espnet_c":
                scores = self._upsample(scores)
        labels: np.ndarray = scores[0].max(0)[1].byte().numpy()
        return labels
