"""Accuracy of a network on labelled images, with the metrics of the evaluation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.classes import ClassTable
from espnet_ros.evaluation.metrics import ConfusionMatrix
from espnet_ros.evaluation.report import confusion_matrix_for
from espnet_ros.model.checkpoint import Channels
from espnet_ros.training.images import LabelledImages

_BATCH = 8


class Normalisation(nn.Module):
    """Maps BGR 0..255 to the network's input, as ``SegmentationGraph`` does with divisor 1."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("scale", 1.0 / torch.tensor(std).reshape(1, 3, 1, 1))

    def forward(self, colours: Tensor) -> Tensor:
        """Normalise (N, 3, H, W) float32 colours."""
        return (colours - self.mean) * self.scale


def predict(network: nn.Module, normalisation: Normalisation, images: Tensor) -> Tensor:
    """Return (N, H, W) uint8 labels of (N, H, W, 3) uint8 BGR images, in float32. The network must be in eval mode."""
    colours = images.permute(0, 3, 1, 2).float()
    logits = network(normalisation(colours).contiguous(memory_format=_format_of(network)))
    if logits.shape[-1] != colours.shape[-1]:  # the encoder alone
        logits = functional.interpolate(logits, scale_factor=8.0, mode="bilinear", align_corners=False)
    labels: Tensor = logits.argmax(1).to(torch.uint8)
    return labels


@torch.no_grad()
def measure(
    network: nn.Module, normalisation: Normalisation, source: LabelledImages, table: ClassTable
) -> ConfusionMatrix:
    """Return the confusion matrix over all images of a source, which may be on any device."""
    device = normalisation.mean.device
    confusion = confusion_matrix_for(table)
    for start in range(0, len(source), _BATCH):
        labels = predict(network, normalisation, source.images[start : start + _BATCH].to(device)).cpu().numpy()
        for predicted, truth in zip(labels, source.labels[start : start + _BATCH].cpu().numpy()):
            confusion.add(predicted, truth)
    return confusion


def _format_of(network: nn.Module) -> torch.memory_format:
    for parameter in network.parameters():
        if parameter.dim() == 4 and parameter.shape[1] > 1 and parameter.shape[2] > 1:
            is_last = parameter.is_contiguous(memory_format=torch.channels_last)
            return torch.channels_last if is_last else torch.contiguous_format
    return torch.contiguous_format
