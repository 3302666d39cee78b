"""The optimizer, its learning rate schedule, and the averaged weights."""

from __future__ import annotations

import math
from typing import List, Tuple, Union

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from espnet_ros.training.config import Stage
from espnet_ros.training.muon import Muon

_Tensors = Union[Tuple[Tensor, ...], List[Tensor]]
_MOMENTUM = 0.9
_POLY_POWER = 0.9
_EMA_WARMUP = 10.0


def build_optimizer(network: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """Return the stage's optimizer. Weight decay applies to convolutions, not to scales, shifts and PReLU slopes."""
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
    """Return the learning rate of a step: a linear warm-up, then the schedule's decay to 0.

    Ours instead of torch's schedulers: those multiply from step to step, so their rounding errors add up and would
    change the weights of a run, and they have a state that snapshots would have to keep.

    Args:
        stage: warm-up, schedule and highest learning rate.
        step: 0 <= step < total_steps.
        total_steps: length of the stage.
    """
    warmup = min(stage.warmup_steps, total_steps)
    if step < warmup:
        return stage.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    if stage.schedule == "cosine":
        return stage.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
    if stage.schedule == "poly":
        return stage.learning_rate * float((1.0 - progress) ** _POLY_POWER)
    return stage.learning_rate


def average_weights(network: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a network's parameters and buffers. Integer buffers are copied.

    The decay of update ``n`` (from 1) is at most ``n / (n + 9)``: the network starts at random, so early weights count
    less. Set ``n_averaged`` to the number of the update before each ``update_parameters``.

    Args:
        network: the average starts as a copy of it.
        decay: share of the average that an update keeps at most, 0..1; 0 follows the network.
    """

    def update(averaged: _Tensors, current: _Tensors, _number: Union[Tensor, int]) -> None:
        if averaged[0].is_floating_point():
            # On the CPU. _number is torch's copy of it on the GPU; reading that would wait for the GPU once more.
            count = int(model.n_averaged)
            kept = min(decay, count / (count - 1 + _EMA_WARMUP))
            torch._foreach_lerp_(averaged, current, 1.0 - kept)  # one kernel launch instead of hundreds
        else:
            torch._foreach_copy_(averaged, current)

    model = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    return model
