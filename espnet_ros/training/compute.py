"""Where a run computes, and in which numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Optional

import torch

from espnet_ros.errors import ParameterError
from espnet_ros.training.config import TrainingConfig

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Compute:
    """Device and number format of a run.

    Attributes:
        device: where the network and the images are.
        autocast: type that convolutions compute in; None: float32.
        memory_format: of the network and its input.
        needs_scaling: gradients would vanish in ``autocast`` without a factor.
    """

    device: torch.device
    autocast: Optional[torch.dtype]
    memory_format: torch.memory_format
    needs_scaling: bool = False


def choose_compute(config: TrainingConfig, device: str = "auto") -> Compute:
    """Resolve what the config leaves automatic.

    Args:
        config: of the run.
        device: ``auto`` (a GPU where torch sees one), ``cpu`` or ``cuda``.

    Raises:
        ParameterError: there is no such device, or it cannot compute so.
    """
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ParameterError("device must be cpu or auto here, is 'cuda': torch sees no GPU")
    place = torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if place.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    if place.type == "cpu" and precision == "fp16":
        raise ParameterError("precision must be fp32 or bf16 on a CPU, is 'fp16'")
    layout = config.memory_format
    # torch 2.13 ends with a segmentation fault where bf16 autocast meets channels_last on a CPU.
    is_broken_pair = place.type == "cpu" and precision == "bf16"
    if layout == "channels_last" and is_broken_pair:
        raise ParameterError("memory_format must be contiguous with bf16 on a CPU, is 'channels_last'")
    if layout == "auto":
        layout = "contiguous" if is_broken_pair else "channels_last"
    return Compute(
        place,
        {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision],
        torch.channels_last if layout == "channels_last" else torch.contiguous_format,
        precision == "fp16",
    )


def prepare(config: TrainingConfig, compute: Compute) -> None:
    """Set what torch has for the whole process: threads, and repeatable algorithms on a GPU."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if compute.device.type == "cuda":
        # cuBLAS reads this before its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = not config.deterministic
        torch.backends.cudnn.deterministic = config.deterministic
        torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
        # A guard for debugging that costs time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
