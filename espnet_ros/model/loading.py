"""Builds a network and fills it from a checkpoint's file, as data only."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Dict, List, Mapping, Union

import torch
from torch import Tensor

from espnet_ros.errors import WeightsError
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet, ESPNetC

Network = Union[ESPNet, ESPNetC]
_LISTED = 5
_SKIP_KEY = "conv.conv.weight"


def load_network(checkpoint: Checkpoint) -> Network:
    """Build the checkpoint's network in evaluation mode on the CPU, with its weights.

    Raises:
        WeightsError: the file cannot be read, or does not fit the network; the message names missing, unexpected
            and mis-shaped keys.
    """
    if checkpoint.path is None:
        raise WeightsError(f"weights '{checkpoint.name}' have no file: locate them first")
    state = read_state_dict(checkpoint.path)
    num_classes = len(checkpoint.load_class_table())
    network = build_network(checkpoint.network, checkpoint.alpha, num_classes, _skip_channels(state, num_classes))
    problems = compare_keys(network.state_dict(), state)
    if problems:
        raise WeightsError(
            f"weights {checkpoint.path} do not fit {checkpoint.network} with alpha {checkpoint.alpha} and "
            f"{num_classes} classes: {'; '.join(problems)}"
        )
    network.load_state_dict(state, strict=False)
    return network.eval()


def build_network(network: str, alpha: int, num_classes: int, skip_channels: int = 16) -> Network:
    """An untrained network; ``skip_channels`` is the decoder's variant and means nothing to ``espnet_c``."""
    if network == "espnet_c":
        return ESPNetC(num_classes, alpha)
    return ESPNet(num_classes, alpha, skip_channels)


def read_state_dict(path: Path) -> Dict[str, Tensor]:
    """Tensors of a .pth or .safetensors file by name, on the CPU. No code in the file is run.

    Raises:
        WeightsError: it is no such file, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        content = torch.load(str(path), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"weights {path}: cannot be read as tensors: {reason}") from error
    except Exception as error:  # safetensors raises its own type, which has no public base
        raise WeightsError(f"weights {path}: cannot be read as tensors: {error}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"weights {path}: must hold tensors by name, holds {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def compare_keys(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> List[str]:
    """What keeps ``found`` from filling a network that has ``expected``; empty where it fits.

    Batch normalisation's counters, which inference does not use and old files lack, may be missing.
    """
    missing = [key for key in expected if key not in found and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in found if key not in expected]
    misshaped = [
        f"{key} is {tuple(found[key].shape)}, must be {tuple(expected[key].shape)}"
        for key in expected
        if key in found and expected[key].shape != found[key].shape
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("mis-shaped", misshaped))
    return [f"{len(keys)} {name}: {_shorten(keys)}" for name, keys in groups if keys]


def _skip_channels(state: Mapping[str, Tensor], num_classes: int) -> int:
    """The decoder's variant shows in the inputs of the convolution where the skip connection joins."""
    weight = state.get(_SKIP_KEY)
    is_joined_variant = weight is not None and weight.dim() == 4 and weight.shape[1] == num_classes + 19
    return 19 if is_joined_variant else 16


def _shorten(keys: List[str]) -> str:
    more = f", and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(keys[:_LISTED]) + more
