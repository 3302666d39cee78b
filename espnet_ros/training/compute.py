"""Device and number format of a training run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Optional

import torch
from torch import Tensor, nn

from espnet_ros.errors import ParameterError
from espnet_ros.training.config import TrainingConfig


@dataclass(frozen=True)
class Compute:
    """Device and number format of a run.

    Attributes:
        device: of the network and the images.
        autocast: number format of convolutions; None for float32.
        memory_format: of the network and its input.
        needs_scaling: whether the loss must be scaled, because gradients would underflow in ``autocast``.
    """

    device: torch.device
    autocast: Optional[torch.dtype]
    memory_format: torch.memory_format
    needs_scaling: bool = False


def choose_compute(config: TrainingConfig, device: str = "auto") -> Compute:
    """Resolve the automatic settings of a config.

    Args:
        config: of the run.
        device: ``auto`` (a GPU if torch finds one), ``cpu`` or ``cuda``.

    Raises:
        ParameterError: the device does not exist or does not support the precision.
    """
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ParameterError("device must be cpu or auto here, is 'cuda': torch finds no GPU")
    place = torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if _has_bf16(place) else "fp32"
    if place.type == "cpu" and precision == "fp16":
        raise ParameterError("precision must be fp32 or bf16 on a CPU, is 'fp16'")
    layout = config.memory_format
    return Compute(
        place,
        {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision],
        torch.contiguous_format if layout == "contiguous" else torch.channels_last,
        precision == "fp16",
    )


def _has_bf16(place: torch.device) -> bool:
    if place.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Older torch versions cannot tell, and emulated bf16 is slower than fp32.
    features = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, feature, lambda: False)()) for feature in features)


class _Float32Conv2d(nn.Conv2d):
    """A convolution that computes in float32 even under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


_SAFE_BF16_CHANNELS = 16


def guard_convolutions(network: nn.Module, compute: Compute) -> None:
    """Compute convolutions in float32 whose bf16 gradients are wrong on a CPU.

    torch 2.13 (oneDNN 3.12) returns NaN or wrong numbers, or crashes, in the weight gradient of dilated channels_last
    bf16 convolutions with 25 channels; with 12 channels it is correct. In ESPNet, these are the dilated convolutions of
    the third level.
    """
    if compute.device.type != "cpu" or compute.autocast is not torch.bfloat16:
        return
    for module in network.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if max(module.dilation) > 1 and module.in_channels > _SAFE_BF16_CHANNELS:
            module.__class__ = _Float32Conv2d  # keeps its parameters and their names


def prepare(config: TrainingConfig, compute: Compute) -> None:
    """Apply settings that torch keeps per process: threads, and deterministic algorithms on a GPU."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if compute.device.type == "cuda":
        # cuBLAS reads this before its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = not config.deterministic
        torch.backends.cudnn.deterministic = config.deterministic
        torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
        # a debugging aid that costs time
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
