"""ChannelsLastGraph computes the same function as SegmentationGraph."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

from espnet_ros.model.channels_last_graph import ChannelsLastGraph
from espnet_ros.model.graph import SegmentationGraph
from espnet_ros.model.loading import build_network
from espnet_ros.types import ImageSize

SIZE = ImageSize(48, 64)


def _lively(network, skip_channels, seed=0):
    """An untrained network whose batch normalisations and PReLUs are not trivial."""
    torch.manual_seed(seed)
    built = build_network(network, 3, 12, skip_channels)
    with torch.no_grad():
        for module in built.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.3)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
            elif isinstance(module, torch.nn.PReLU):
                module.weight.uniform_(-0.2, 0.5)
    return built.eval()


@pytest.fixture
def pixels():
    """(1, 48, 64, 3): noise, in which any misplaced pixel shows."""
    values = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3))
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.parametrize(
    ("network", "skip_channels", "divisor"),
    [("espnet", 16, 255.0), ("espnet", 19, 255.0), ("espnet", 19, 1.0), ("espnet_c", 16, 1.0)],
)
def test_labels_and_confidence_are_those_of_the_plain_graph(
    untrained_checkpoint, pixels, network, skip_channels, divisor
):
    checkpoint = replace(untrained_checkpoint, divisor=divisor)
    built = _lively(network, skip_channels)
    with torch.no_grad():
        expected = SegmentationGraph(built, checkpoint).eval()(pixels)
        found = ChannelsLastGraph(built, checkpoint, SIZE).eval()(pixels)
    assert len(np.unique(expected[0])) > 3
    assert [tensor.shape for tensor in found] == [(1, 48, 64)] * 2
    assert np.mean((found[0] == expected[0]).numpy()) >= 0.9999
    assert (found[1].int() - expected[1].int()).abs().max() <= 1


def test_the_network_that_it_is_made_from_stays_as_it_is(untrained_checkpoint):
    built = _lively("espnet", 16)
    before = {key: value.clone() for key, value in built.state_dict().items()}
    ChannelsLastGraph(built, untrained_checkpoint, SIZE)
    after = built.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
