"""The optimizer, its learning rate over time, and the average of the weights."""

from __future__ import annotations

import math
from typing import Dict, List, Mapping

import torch
from torch import Tensor, nn

from espnet_ros.training.config import Stage
from espnet_ros.training.muon import Muon

_MOMENTUM = 0.9
_POLY_POWER = 0.9
_EMA_WARMUP = 10.0


def build_optimizer(network: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """The stage's optimizer. Convolutions decay; scales, shifts and PReLU slopes, all vectors, do not."""
    decayed = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    free = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": stage.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if stage.optimizer == "muon":
        return Muon(decayed, free, stage.learning_rate, stage.weight_decay)
    if stage.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=stage.learning_rate, momentum=_MOMENTUM, nesterov=True)
    kind = torch.optim.AdamW if stage.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=stage.learning_rate)


def learning_rate(stage: Stage, step: int, total_steps: int) -> float:
    """Learning rate of a step, 0 <= step < total_steps: a linear rise, then the schedule's fall towards 0."""
    warmup = min(stage.warmup_steps, total_steps)
    if step < warmup:
        return stage.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    if stage.schedule == "cosine":
        return stage.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
    if stage.schedule == "poly":
        return stage.learning_rate * float((1.0 - progress) ** _POLY_POWER)
    return stage.learning_rate


class AveragedWeights:
    """Exponential moving average of a network's state; what does not average, as counters, is copied.

    Args:
        network: whose state it starts from.
        decay: at most this much of the average is kept each step; 0 follows the network.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = network.state_dict()
        self._average = {name: value.detach().clone() for name, value in self._live.items()}

    @property
    def state(self) -> Dict[str, Tensor]:
        """The averaged state by name; its tensors change with every update."""
        return self._average

    def update(self, step: int) -> None:
        """Take the network's state of ``step`` in. Early on it keeps less, as its start was random."""
        decay = min(self._decay, (1.0 + step) / (_EMA_WARMUP + step))
        averaged: List[Tensor] = []
        live: List[Tensor] = []
        for name, value in self._live.items():
            if value.is_floating_point():
                averaged.append(self._average[name])
                live.append(value.detach())
            else:
                self._average[name].copy_(value)
        torch._foreach_lerp_(averaged, live, 1.0 - decay)  # one launch on a GPU instead of hundreds

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a saved average."""
        for name, value in state.items():
            self._average[name].copy_(value)
