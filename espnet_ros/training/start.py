"""What a stage's network starts from: chance, other weights, or the stage before."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from espnet_ros.errors import WeightsError
from espnet_ros.model.espnet import EspBlock, ESPNet
from espnet_ros.model.loading import Network, build_network, read_state_dict
from espnet_ros.training.config import Stage, TrainingConfig

_ENCODER = "encoder."


def start_network(
    config: TrainingConfig, index: int, num_classes: int, state_before: Optional[Mapping[str, Tensor]]
) -> Network:
    """Build the network of a stage.

    Args:
        config: of the run; its seed and stage number choose the random start.
        index: of the stage.
        num_classes: outputs.
        state_before: what the stage before trained, or None.

    Raises:
        WeightsError: ``init`` cannot be read or shares nothing with the network.
    """
    stage: Stage = config.stages[index]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + index)
        network = build_network(stage.network, config.alpha, num_classes, config.skip_channels)
    if state_before is not None:
        _take(network, _renamed(state_before, network))
    elif config.init and index == 0:
        found = read_state_dict(Path(config.init))
        if not _take(network, _renamed(found, network)):
            raise WeightsError(
                f"init {config.init}: must share a tensor's name and shape with {stage.network} of alpha "
                f"{config.alpha}, shares none"
            )
        pass_through_new_blocks(network, found)
    return network


@torch.no_grad()
def pass_through_new_blocks(network: Network, found: Mapping[str, Tensor]) -> None:
    """Let the third level's blocks that ``found`` has not got hand on what they get, up to how it is spread in a batch.

    A network of larger alpha then starts about as good as the smaller one that it takes its weights from (the idea of
    Chen et al., "Net2Net", ICLR 2016). A block adds its pyramid, zero here, to its input and normalises the sum; what
    undoes the normalisation is the mean and deviation of the block before, and a PReLU of slope 1 changes nothing.
    """
    blocks = (network.encoder if isinstance(network, ESPNet) else network).level3
    known = sum(1 for index in range(len(blocks)) if any(f"level3.{index}.bn.bn.weight" in name for name in found))
    if not 0 < known < len(blocks):
        return
    last = blocks[known - 1]
    assert isinstance(last, EspBlock)
    mean, deviation = _spread_after(last)
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


def _spread_after(block: EspBlock) -> Tuple[Tensor, Tensor]:
    """(C,) mean and deviation of a block's output, its normalised values taken as Gaussian."""
    count = 4096
    values = torch.special.ndtri((torch.arange(count) + 0.5) / count).unsqueeze(1)  # as dense as they are likely
    output = block.bn.act(values * block.bn.bn.weight + block.bn.bn.bias)  # (count, C)
    return output.mean(0), output.std(0).clamp_min(0.1)


def _take(network: Network, found: Mapping[str, Tensor]) -> int:
    """Fill what has the same name and shape; says how many."""
    state = network.state_dict()
    shared = {name: value for name, value in found.items() if name in state and state[name].shape == value.shape}
    network.load_state_dict(shared, strict=False)
    return len(shared)


def _renamed(found: Mapping[str, Tensor], network: Network) -> Dict[str, Tensor]:
    """Names as the network has them, where one of the two is the encoder alone."""
    has_decoder = any(name.startswith(_ENCODER) for name in network.state_dict())
    found_decoder = any(name.startswith(_ENCODER) for name in found)
    if has_decoder and not found_decoder:
        return {_ENCODER + name: value for name, value in found.items()}
    if found_decoder and not has_decoder:
        return {name[len(_ENCODER) :]: value for name, value in found.items() if name.startswith(_ENCODER)}
    return dict(found)
