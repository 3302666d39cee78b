"""Measures the value ranges of the maps that are quantised to int8, on calibration images."""

from __future__ import annotations

from typing import Dict, List, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from espnet_ros.engines.native.builder import ChannelRanges
from espnet_ros.engines.native.lowering import DECODER_INPUT
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet
from espnet_ros.model.graph import SegmentationGraph


def measure_ranges(network: ESPNet, checkpoint: Checkpoint, images: Sequence[np.ndarray]) -> Dict[str, ChannelRanges]:
    """Measure minimum, maximum and mean of each channel over all images.

    Measured are the inputs of the third level's dilated convolutions and of the decoder's last 3x3 convolution. These
    are the heaviest convolutions, two thirds of all multiplications, and they lose the least accuracy in int8. Clipping
    the ranges to exclude rare values costs more labels than it saves.

    Args:
        network: in evaluation mode, in fp32.
        checkpoint: source of the mean, standard deviation and divisor.
        images: (h, w, 3) uint8 BGR; at least one.

    Returns:
        Ranges by name: ``DECODER_INPUT``, or the module name of an ESP block.
    """
    graph = SegmentationGraph(network, checkpoint).eval()
    statistics: Dict[str, List[Tensor]] = {}

    def record(name: str, values: Tensor) -> None:
        dims = (0, 2, 3)
        statistics.setdefault(name, []).append(torch.stack([values.amin(dims), values.amax(dims), values.mean(dims)]))

    def record_input(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda _module, arguments: record(name, arguments[0]))

    names = {module: name for name, module in network.named_modules()}
    blocks = (network.encoder.level3_0, *network.encoder.level3)
    handles = [record_input(DECODER_INPUT, network.conv.conv)]
    handles += [record_input(names[block], block.d1.conv) for block in blocks]
    try:
        with torch.inference_mode():
            for image in images:
                graph(torch.from_numpy(image[np.newaxis]))
    finally:
        for handle in handles:
            handle.remove()
    ranges = {}
    for name, values in statistics.items():
        low, high, mean = torch.stack(values).unbind(1)  # (images, channels) each
        ranges[name] = ChannelRanges(low.amin(0).numpy(), high.amax(0).numpy(), mean.mean(0).numpy())
    return ranges
