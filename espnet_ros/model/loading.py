"""Builds a network and loads its weights from a checkpoint file, without running code from the file."""

from __future__ import annotations

from typing import List, Mapping, Union

from torch import Tensor

from espnet_ros.errors import WeightsError
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ALPHA_2, ESPNet, ESPNetC
from espnet_ros.model.recognition import recognise_espnet, recognise_foreign
from espnet_ros.model.state_dict import read_state_dict

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
    network = build_network(checkpoint.network, checkpoint.alpha, num_classes, _skip_channels(state))
    problems = compare_keys(network.state_dict(), state)
    if problems:
        wanted = f"{checkpoint.network} with alpha {checkpoint.alpha} and {num_classes} classes"
        reasons = "; ".join(_explain_misfit(checkpoint, num_classes, state) or problems)
        raise WeightsError(f"weights {checkpoint.path} do not fit {wanted}: {reasons}")
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


def _explain_misfit(checkpoint: Checkpoint, num_classes: int, state: Mapping[str, Tensor]) -> List[str]:
    """Return the network that the tensors belong to, if they are all there; empty if that is unknown."""
    found = recognise_espnet(state)
    if found is None:
        foreign = recognise_foreign(state)
        return [f"they are weights of another network, {foreign}"] if foreign else []
    if found.alpha_2 == ALPHA_2 and compare_keys(
        build_network(found.network, found.alpha, found.classes, _skip_channels(state)).state_dict(), state
    ):
        return []
    pairs = (
        ("network", found.network, checkpoint.network),
        ("alpha", found.alpha, checkpoint.alpha),
        ("classes", found.classes, num_classes),
    )
    wrong = [name for name, has, wanted in pairs if has != wanted]
    remedy = f": correct {' and '.join(wrong)} in its metadata" if wrong and found.alpha_2 == ALPHA_2 else ""
    return [f"the file has {found}{remedy}"]


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
    integers = [
        f"{key} is {found[key].dtype}"
        for key in expected
        if key in found and expected[key].is_floating_point() and not found[key].is_floating_point()
    ]
    groups = (
        ("missing", missing),
        ("unexpected", unexpected),
        ("mis-shaped", misshaped),
        ("not floating-point", integers),
    )
    return [f"{len(keys)} {name}: {_shorten(keys)}" for name, keys in groups if keys]


def _skip_channels(state: Mapping[str, Tensor]) -> int:
    """Detect the decoder variant from the input channels of the convolution that reads the skip connection."""
    weight = state.get(_SKIP_KEY)
    has_image = weight is not None and weight.dim() == 4 and weight.shape[1] == weight.shape[0] + 19
    return 19 if has_image else 16


def _shorten(keys: List[str]) -> str:
    more = f", and {len(keys) - _MAX_LISTED_KEYS} more" if len(keys) > _MAX_LISTED_KEYS else ""
    return ", ".join(keys[:_MAX_LISTED_KEYS]) + more
