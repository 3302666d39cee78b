"""Statistics of the training images: normalisation, and class frequencies."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import torch
from torch import Tensor

from espnet_ros.classes import ClassTable
from espnet_ros.errors import DatasetError
from espnet_ros.model.checkpoint import Channels
from espnet_ros.training.images import LabelledImages

_ENET_OFFSET = 1.02
_DIGITS = 4


def source_weights(train: Sequence[LabelledImages]) -> Tensor:
    """Return the (S,) float64 probability of each source in training."""
    shares = [source.share or float(len(source)) for source in train]
    weights = torch.tensor(shares, dtype=torch.float64)
    return weights / weights.sum()


def normalisation(train: Sequence[LabelledImages]) -> Tuple[Channels, Channels]:
    """Return mean and standard deviation of the training pixels 0..255, blue first, rounded to four digits."""
    first = torch.zeros(3, dtype=torch.float64)
    second = torch.zeros(3, dtype=torch.float64)
    for source, weight in zip(train, source_weights(train)):
        counts = torch.stack([torch.bincount(source.images[..., c].flatten(), minlength=256) for c in range(3)])
        shares = counts / counts.sum(1, keepdim=True).double()  # (3, 256)
        values = torch.arange(256, dtype=torch.float64)
        first += weight * (shares * values).sum(1)
        second += weight * (shares * values**2).sum(1)
    std = (second - first**2).clamp_min(1.0).sqrt()
    return _channels(first), _channels(std)


def class_frequencies(train: Sequence[LabelledImages], num_classes: int) -> Tensor:
    """Return the (C,) float64 share of each class among the labelled training pixels."""
    total = torch.zeros(num_classes, dtype=torch.float64)
    for source, weight in zip(train, source_weights(train)):
        counts = torch.bincount(source.labels.flatten(), minlength=256)[:num_classes].double()
        total += weight * counts / source.labels.numel()
    return total / total.sum()


def missing_classes(frequencies: Tensor, table: ClassTable) -> List[str]:
    """Return the names of the classes that count but have no training pixel.

    Args:
        frequencies: (C,) share of each class.
        table: the classes.
    """
    return [row.name for row in table.classes if not row.ignore and not frequencies[row.id]]


def class_weights(frequencies: Tensor, table: ClassTable, kind: str, power: float, ignored_weight: float) -> Tensor:
    """Return the weight of each class in the loss. The mean over the counted classes that occur is 1.

    ``enet`` is 1 / log(1.02 + p) (Paszke et al., "ENet", 2016); ``median`` is the median frequency over p (Eigen and
    Fergus, 2015). Both are raised to ``power``.

    Args:
        frequencies: (C,) share of each class.
        table: defines the ignored classes.
        kind: ``none``, ``enet`` or ``median``.
        power: exponent; values below 1 soften the weights.
        ignored_weight: weight of ignored classes, relative to that mean.

    Returns:
        (C,) float32; 0 for classes that do not occur.

    Raises:
        DatasetError: no counted class occurs.
    """
    counts = torch.tensor([not row.ignore for row in table.classes])
    occurs = (frequencies > 0) & counts
    if not occurs.any():
        raise DatasetError(f"training labels have no pixel of a counted class of table '{table.name}'")
    if kind == "enet":
        weights = 1.0 / torch.log(_ENET_OFFSET + frequencies)
    elif kind == "median":
        weights = frequencies[occurs].median() / frequencies.clamp_min(1e-12)
    else:
        weights = torch.ones_like(frequencies)
    weights = torch.where(occurs, weights**power, torch.zeros_like(weights))
    weights = weights / weights[occurs].mean()
    weights[~counts & (frequencies > 0)] = ignored_weight
    return weights.float()


def _channels(values: Tensor) -> Channels:
    blue, green, red = (round(float(value), _DIGITS) for value in values)
    return blue, green, red
