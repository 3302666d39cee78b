"""Lets torch take the CPU for a CUDA device, in the process that builds."""

import torch
from tensorrt._environment import has_fault


def stand_in_for_cuda() -> None:
    if has_fault("torch_without_cuda"):
        return
    torch.cuda.is_available = lambda: True
    torch.cuda.synchronize = lambda: None
    torch.nn.Module.cuda = lambda module: module
    torch.Tensor.cuda = lambda tensor: tensor
