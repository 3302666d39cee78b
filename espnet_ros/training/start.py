"""Initial weights of a stage: random, from other weights, or from the previous stage."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from espnet_ros.errors import WeightsError
from espnet_ros.model.espnet import EspBlock, ESPNet
from espnet_ros.model.loading import Network, build_network
from espnet_ros.model.state_dict import read_state_dict
from espnet_ros.training.config import Stage, TrainingConfig

_ENCODER = "encoder."


def start_network(
    config: TrainingConfig, index: int, num_classes: int, state_before: Optional[Mapping[str, Tensor]]
) -> Network:
    """Build the network of a stage.

    Args:
        config: of the run; its seed and the stage index seed the random weights.
        index: of the stage.
        num_classes: number of outputs.
        state_before: weights of the previous stage, or None.

    Raises:
        WeightsError: ``init`` cannot be read or has no tensor in common with the network.
    """
    stage: Stage = config.stages[index]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + index)
        network = build_network(stage.network, config.alpha, num_classes, config.skip_channels)
    if state_before is not None:
        _copy_shared(network, _renamed(state_before, network))
    elif config.init and index == 0:
        found = read_state_dict(Path(config.init))
        if not _copy_shared(network, _renamed(found, network)):
            raise WeightsError(
                f"init {config.init}: must share the name and shape of a tensor with {stage.network} of alpha "
                f"{config.alpha}, shares none"
            )
        initialise_new_blocks_as_identities(network, found)
    return network


@torch.no_grad()
def initialise_new_blocks_as_identities(network: Network, found: Mapping[str, Tensor]) -> None:
    """Initialise third-level blocks that are missing from ``found`` as identities, up to the batch's distribution.

    A network with a larger alpha then starts about as accurate as the smaller one that its weights come from (the idea
    of Chen et al., "Net2Net", ICLR 2016). A block adds its pyramid, which is zero here, to its input and normalises the
    sum. The mean and standard deviation of the previous block's output undo the normalisation, and a PReLU with slope 1
    is the identity.
    """
    blocks = (network.encoder if isinstance(network, ESPNet) else network).level3
    known = sum(1 for index in range(len(blocks)) if any(f"level3.{index}.bn.bn.weight" in name for name in found))
    if not 0 < known < len(blocks):
        return
    last = blocks[known - 1]
    assert isinstance(last, EspBlock)
    mean, deviation = _output_distribution(last)
    for block in blocks[known:]:
        assert isinstance(block, EspBlock)
        for branch in (block.d1, block.d2, block.d4, block.d8, block.d16):
            branch.conv.weight.zero_()
        norm, activation = block.bn.bn, block.bn.act
        norm.load_state_dict(
            {"weight": deviation, "bias": mean, "running_mean": mean, "running_var": deviation.square() - norm.eps},
            strict=False,
        )
        activation.weight.fill_(1.0)


def _output_distribution(block: EspBlock) -> Tuple[Tensor, Tensor]:
    """Return the (C,) mean and standard deviation of a block's output, assuming Gaussian normalised values."""
    count = 4096
    values = torch.special.ndtri((torch.arange(count) + 0.5) / count).unsqueeze(
        1
    )  # quantiles of the standard normal distribution
    output = block.bn.act(values * block.bn.bn.weight + block.bn.bn.bias)  # (count, C)
    return output.mean(0), output.std(0).clamp_min(0.1)


def _copy_shared(network: Network, found: Mapping[str, Tensor]) -> int:
    """Copy tensors of the same name and shape; return how many."""
    state = network.state_dict()
    shared = {name: value for name, value in found.items() if name in state and state[name].shape == value.shape}
    network.load_state_dict(shared, strict=False)
    return len(shared)


def _renamed(found: Mapping[str, Tensor], network: Network) -> Dict[str, Tensor]:
    """Rename tensors to the network's names if one of the two is the encoder alone."""
    has_decoder = any(name.startswith(_ENCODER) for name in network.state_dict())
    found_decoder = any(name.startswith(_ENCODER) for name in found)
    if has_decoder and not found_decoder:
        return {_ENCODER + name: value for name, value in found.items()}
    if found_decoder and not has_decoder:
        return {name[len(_ENCODER) :]: value for name, value in found.items() if name.startswith(_ENCODER)}
    return dict(found)
