"""Loss functions: cross entropy, optionally on the hardest pixels, and the Lovász extension of the Jaccard loss."""

from __future__ import annotations

from typing import Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from espnet_ros.training.config import Loss
from espnet_ros.types import UNLABELLED

_LOVASZ_STRIDE = 5
"""Every fifth pixel in each direction is enough to estimate the IoU, and sorting costs 1/25. The stride is odd, because
the last layer has separate weights for each of the four pixels that it computes from one; an even stride would reach
only some of them."""
_ENCODER_STRIDE = 8


class SegmentationLoss(nn.Module):
    """Loss of a batch.

    Args:
        settings: losses and their weights.
        class_weights: (C,) float32; pixels of a class with weight 0 are left out.
        counted: ids of the classes in the mean IoU.
    """

    class_weights: Tensor

    def __init__(self, settings: Loss, class_weights: Tensor, counted: Sequence[int]) -> None:
        super().__init__()
        self._settings = settings
        self._counted = tuple(counted)
        self.register_buffer("class_weights", class_weights)

    def forward(self, logits: Tensor, labels: Tensor, encoder_scores: Optional[Tensor] = None) -> Tensor:
        """Return the loss as a scalar.

        Args:
            logits: (N, C, h, w), at the labels' size or 1/8 of it.
            labels: (N, H, W) int64 class ids, 255 unlabelled.
            encoder_scores: (N, C, H/8, W/8), or None.
        """
        settings = self._settings
        is_full_size = logits.shape[-1] == labels.shape[-1]
        if not is_full_size:
            labels = eighth(labels)
        known = self._without_zero_weights(labels)
        loss = cross_entropy(logits, known, self.class_weights, settings.label_smoothing, settings.ohem_share)
        if settings.lovasz_weight:
            stride = _LOVASZ_STRIDE if is_full_size else 1
            thinned = logits[:, :, ::stride, ::stride], known[:, ::stride, ::stride]
            loss = loss + settings.lovasz_weight * lovasz_softmax(*thinned, self._counted)
        if encoder_scores is not None and settings.encoder_weight:
            coarse = cross_entropy(
                encoder_scores, eighth(known), self.class_weights, settings.label_smoothing, settings.ohem_share
            )
            loss = loss + settings.encoder_weight * coarse
        return loss

    def _without_zero_weights(self, labels: Tensor) -> Tensor:
        num_classes = len(self.class_weights)
        weights = self.class_weights[labels.clamp_max(num_classes - 1)]
        return torch.where((weights > 0) & (labels < num_classes), labels, torch.full_like(labels, UNLABELLED))


def eighth(labels: Tensor) -> Tensor:
    """Reduce (N, H, W) labels to (N, H/8, W/8), with the label near the centre of each 8x8 block."""
    middle = _ENCODER_STRIDE // 2
    return labels[:, middle::_ENCODER_STRIDE, middle::_ENCODER_STRIDE]


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor, label_smoothing: float = 0.0, hardest_share: float = 1.0
) -> Tensor:
    """Return the weighted mean cross entropy of the labelled pixels, or of the hardest ones; 0 without labelled pixels.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W) int64, 255 unlabelled.
        class_weights: (C,).
        label_smoothing: share of each target that is spread over all classes.
        hardest_share: of the labelled pixels, by loss (Shrivastava et al., "OHEM", 2016).
    """
    scores = logits.float()
    if logits.is_cuda:
        # One row per pixel: CUDA has no deterministic loss over images. On a CPU, that one is five times as fast.
        scores, labels = _rows(scores), labels.reshape(-1)
    known = labels != UNLABELLED
    losses = functional.cross_entropy(
        scores, labels, class_weights, ignore_index=UNLABELLED, reduction="none", label_smoothing=label_smoothing
    )
    weights = class_weights[labels.clamp_max(len(class_weights) - 1)] * known
    if hardest_share < 1.0:
        count = max(1, int(hardest_share * int(known.sum())))
        hardness = torch.where(known, losses.detach(), torch.full_like(losses, -1.0))
        is_hard = known & (hardness >= hardness.flatten().topk(count).values[-1])
        losses, weights = losses * is_hard, weights * is_hard
    return losses.sum() / weights.sum().clamp_min(1e-6)


def lovasz_softmax(logits: Tensor, labels: Tensor, counted: Sequence[int]) -> Tensor:
    """Return the Lovász extension of 1 - IoU, averaged over the present classes.

    See Berman et al., CVPR 2018, equations 8 and 11.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W) int64, 255 unlabelled.
        counted: ids of the classes to average over. Other pixels that are predicted as one of these are errors.
    """
    probabilities = _rows(logits.float()).softmax(1).t()[list(counted)]  # (K, P)
    target = labels.reshape(-1)
    known = (target != UNLABELLED).float()
    truth = (target == torch.tensor(counted, device=target.device).unsqueeze(1)).float()
    # Unlabelled pixels have neither error nor truth: they sort last and have no effect.
    ordered, place = ((truth - probabilities).abs() * known).sort(1, descending=True)
    losses = (ordered * _lovasz_gradient(truth.gather(1, place), known[place])).sum(1)
    is_present = (truth.sum(1) > 0).float()
    return (losses * is_present).sum() / is_present.sum().clamp_min(1.0)


def _rows(scores: Tensor) -> Tensor:
    """Reshape (N, C, H, W) to (N * H * W, C)."""
    return scores.permute(0, 2, 3, 1).reshape(-1, scores.shape[1])


def _lovasz_gradient(truth: Tensor, known: Tensor) -> Tensor:
    """Return the (K, P) gradient of the Jaccard loss's extension, by class, for pixels sorted by decreasing error."""
    positives = truth.sum(1, keepdim=True)
    intersection = positives - truth.cumsum(1)
    union = positives + ((1.0 - truth) * known).cumsum(1)
    jaccard = 1.0 - intersection / union.clamp_min(1.0)
    return torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], 1)
