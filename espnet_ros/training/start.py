"""What a stage's network starts from: chance, our own weights, or the encoder of the stage before."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional

import torch
from torch import Tensor

from espnet_ros.errors import WeightsError
from espnet_ros.model.loading import Network, build_network, read_state_dict
from espnet_ros.training.config import Stage, TrainingConfig

_ENCODER = "encoder."


def start_network(
    config: TrainingConfig, index: int, num_classes: int, encoder_state: Optional[Mapping[str, Tensor]]
) -> Network:
    """Build the network of a stage.

    Args:
        config: of the run; its seed and stage number choose the random start.
        index: of the stage.
        num_classes: outputs.
        encoder_state: state of an ESPNet-C that the stage before trained, or None.

    Raises:
        WeightsError: ``init`` cannot be read or shares nothing with the network.
    """
    stage: Stage = config.stages[index]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + index)
        network = build_network(stage.network, config.alpha, num_classes, config.skip_channels)
    if encoder_state is not None:
        _take(network, {_ENCODER + name: value for name, value in encoder_state.items()})
    elif config.init and index == 0:
        found = read_state_dict(Path(config.init))
        if not _take(network, _renamed(found, network)):
            raise WeightsError(
                f"init {config.init}: must share a tensor's name and shape with {stage.network} of alpha "
                f"{config.alpha}, shares none"
            )
    return network


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
