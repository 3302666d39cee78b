"""Builds a network and loads its weights from a checkpoint file, without running code from the file."""

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
_MAX_LISTED_KEYS = 5
_SKIP_KEY = "conv.conv.weight"


def load_network(checkpoint: Checkpoint) -> Network:
    """Build the checkpoint's network on the CPU, in evaluation mode, and load its weights.

    Raises:
        WeightsError: the checkpoint has no path, or its file cannot be read or does not fit the network. The message
            names missing, unexpected and mis-shaped keys.
    """
    if checkpoint.path is None:
        raise WeightsError(f"weights '{checkpoint.name}' have no file: call locate_checkpoint first")
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
    """Build an untrained network.

    Args:
        network: ``espnet`` or ``espnet_c``.
        alpha: number of ESP blocks at the third level.
        num_classes: number of output channels.
        skip_channels: decoder variant, see ``ESPNet``; ignored for ``espnet_c``.
    """
    if network == "espnet_c":
        return ESPNetC(num_classes, alpha)
    return ESPNet(num_classes, alpha, skip_channels)


def read_state_dict(path: Path) -> Dict[str, Tensor]:
    """Read the tensors of a .pth or .safetensors file onto the CPU, by name. Code in the file is not run.

    Raises:
        WeightsError: the file cannot be read, or contains anything but named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        content = torch.load(str(path), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"weights {path}: cannot be read as tensors: {reason}") from error
    except Exception as error:  # safetensors raises its own type, which has no public base class
        raise WeightsError(f"weights {path}: cannot be read as tensors: {error}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"weights {path}: must contain tensors by name, contains {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def compare_keys(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> List[str]:
    """Return the reasons why ``found`` cannot be loaded in place of ``expected``; empty if it can.

    Batch normalisation's ``num_batches_tracked`` may be missing: inference does not use it, and old files lack it.

    Args:
        expected: state of the network.
        found: state from the file.
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
    """Detect the decoder variant from the input channels of the convolution that reads the skip connection."""
    weight = state.get(_SKIP_KEY)
    has_image = weight is not None and weight.dim() == 4 and weight.shape[1] == num_classes + 19
    return 19 if has_image else 16


def _shorten(keys: List[str]) -> str:
    more = f", and {len(keys) - _MAX_LISTED_KEYS} more" if len(keys) > _MAX_LISTED_KEYS else ""
    return ", ".join(keys[:_MAX_LISTED_KEYS]) + more
