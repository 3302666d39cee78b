"""Names the network that tensors belong to, from their names and shapes."""

from __future__ import annotations

import re
from typing import Mapping, NamedTuple, Optional, Tuple

from torch import Tensor

from espnet_ros.model.espnet import ALPHA_2

_FOREIGN: Tuple[Tuple[str, str], ...] = (
    (r"\.spp_dw\.\d|\.eesp\.", "ESPNetv2"),
    (r"^learning_to_downsample\.", "Fast-SCNN"),
    (r"^segformer\.|\.linear_c4\.|^linear_c4\.|^backbone\.patch_embed1\.", "SegFormer"),
    (r"^detail\.S1\.|^bga\.", "BiSeNetV2"),
    (r"^cp\.(resnet|backbone|arm16)|^ffm\.convblk", "BiSeNet"),
    (r"^classifier\.0\.convs\.|^classifier\.aspp\.|^aspp\.|\.aspp\.", "DeepLab"),
    (r"\.conv3x1_1\.", "ERFNet"),
    (r"^pag3\.", "PIDNet"),
    (r"^compression3\.", "DDRNet"),
    (r"^initial_block\.main_branch\.", "ENet"),
    (r"^(inc|down1|up1)\..*(double_conv|maxpool_conv)\.", "U-Net"),
    (r"^stage4\.\d+\.fuse_layers\.", "HRNet"),
    (r"^model\.\d+\.(conv|cv1|m)\.|^\d+\.(conv|cv1)\.conv\.", "YOLO"),
    (r"^(backbone\.)?layer4\.0\.(conv1|downsample)\.", "a network on ResNet"),
    (r"^(backbone\.)?features\.\d+\.(conv\.0|0|block\.0)\.", "a network on MobileNet"),
)
"""Pattern of a key that only this network has, after wrappers' prefixes are removed, and its name."""
_PREFIX = re.compile(r"^(module|_orig_mod|model|net|network|student)\.")
_LEVEL = re.compile(r"^(?:encoder\.)?level(2|3)\.(\d+)\.")


class Recognised(NamedTuple):
    """An ESPNet that tensors belong to.

    Attributes:
        network: ``espnet`` or ``espnet_c``.
        alpha: number of ESP blocks at the third level.
        classes: number of outputs.
        alpha_2: number of ESP blocks at the second level; others than 2 are not supported.
    """

    network: str
    alpha: int
    classes: int
    alpha_2: int

    def __str__(self) -> str:
        second = "" if self.alpha_2 == ALPHA_2 else f" and {self.alpha_2} instead of {ALPHA_2} blocks at level 2"
        return f"{self.network} with alpha {self.alpha} and {self.classes} classes{second}"


def recognise_espnet(state: Mapping[str, Tensor]) -> Optional[Recognised]:
    """Return the ESPNet that tensors belong to; None if they belong to none."""
    network, prefix = ("espnet", "encoder.") if "encoder.level1.conv.weight" in state else ("espnet_c", "")
    classifier = state.get(f"{prefix}classifier.conv.weight")
    if classifier is None or f"{prefix}level3_0.d16.conv.weight" not in state:
        return None
    found = [match.groups() for match in map(_LEVEL.match, state) if match]
    second, third = ({int(index) for level, index in found if level == wanted} for wanted in "23")
    return Recognised(network, len(third), int(classifier.shape[0]), len(second))


def recognise_foreign(state: Mapping[str, Tensor]) -> str:
    """Return the name of another network that tensors belong to; "" if it is not known."""
    keys = list(state)
    for _ in range(3):
        keys = [*keys, *(_PREFIX.sub("", key) for key in keys if _PREFIX.match(key))]
    for pattern, name in _FOREIGN:
        expression = re.compile(pattern)
        if any(expression.search(key) for key in keys):
            return name
    return ""
