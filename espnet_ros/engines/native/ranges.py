"""Measures what the maps that are multiplied in int8 hold, on images like those that the engine will see."""

from __future__ import annotations

from typing import Dict, List, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from espnet_ros.engines.native.lowering import DECODER_INPUT, Ranges
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.model.espnet import ESPNet
from espnet_ros.model.graph import SegmentationGraph


def measure_ranges(network: ESPNet, checkpoint: Checkpoint, images: Sequence[np.ndarray]) -> Dict[str, Ranges]:
    """The least and the largest value of each channel, over all the images, and its mean.

    They are those of what the third level's dilated convolutions and the decoder's last 3x3 convolution read: the
    heaviest convolutions, two thirds of all multiplications, and the ones that lose least. Ranges that leave out rare
    values cost more labels than they save.

    Args:
        network: in evaluation mode, in fp32.
        checkpoint: mean, deviation and divisor of the pixels.
        images: (h, w, 3) uint8 BGR; at least one.
    """
    graph = SegmentationGraph(network, checkpoint).eval()
    found: Dict[str, List[Tensor]] = {}

    def note(name: str, values: Tensor) -> None:
        places = (0, 2, 3)
        found.setdefault(name, []).append(torch.stack([values.amin(places), values.amax(places), values.mean(places)]))

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda _module, arguments: note(name, arguments[0]))

    names = {module: name for name, module in network.named_modules()}
    handles = [watch(DECODER_INPUT, network.conv.conv)]
    handles += [watch(names[block], block.d1.conv) for block in (network.encoder.level3_0, *network.encoder.level3)]
    try:
        with torch.inference_mode():
            for image in images:
                graph(torch.from_numpy(image[np.newaxis]))
    finally:
        for handle in handles:
            handle.remove()
    ranges = {}
    for name, values in found.items():
        low, high, mean = torch.stack(values).unbind(1)  # (images, channels) each
        ranges[name] = Ranges(low.amin(0).numpy(), high.amax(0).numpy(), mean.mean(0).numpy())
    return ranges
