"""ESPNet and ESPNet-C (Mehta et al., "ESPNet: Efficient Spatial Pyramid of Dilated Convolutions", ECCV 2018).

Attributes have the names used in the published checkpoints, so those load with ``strict=True``. Shapes are
(batch, channels, height, width); H and W are the height and width of the input image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

BRANCHES = 5
"""Number of parallel dilated convolutions in an ESP unit: dilations 1, 2, 4, 8 and 16."""
ALPHA_2 = 2
"""Number of ESP blocks at the second level; fixed in the paper."""
_BN_EPS = 1e-3


class Conv(nn.Module):
    """Convolution without bias, padded so that the output size is the input size divided by the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = (kernel - 1) // 2 * dilation
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class BatchNormAct(nn.Module):
    """Batch normalisation followed by PReLU with one slope per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=_BN_EPS)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(x))
        return out


class ConvBatchNormAct(nn.Module):
    """Convolution, batch normalisation and PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_BN_EPS)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(self.conv(x)))
        return out


class SpatialPyramid(nn.Module):
    """Reduce, split, transform and merge: the part that the ESP block shares with its strided variant.

    A reduction brings the input to a fifth of the output channels, and five dilated convolutions read the result. Their
    outputs are added hierarchically before concatenation (hierarchical feature fusion, HFF), which removes the gridding
    artefacts of large dilations. The undilated branch takes the remainder of the division by five and is left out of
    the sums.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = outputs // BRANCHES
        first = outputs - (BRANCHES - 1) * width
        self.c1 = Conv(inputs, width, kernel, stride)
        self.d1 = Conv(width, first, 3, dilation=1)
        self.d2 = Conv(width, width, 3, dilation=2)
        self.d4 = Conv(width, width, 3, dilation=4)
        self.d8 = Conv(width, width, 3, dilation=8)
        self.d16 = Conv(width, width, 3, dilation=16)

    def pyramid(self, x: Tensor) -> Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h / stride, w / stride)."""
        reduced = self.c1(x)  # (N, outputs // 5, h / stride, w / stride)
        sum2 = self.d2(reduced)
        sum4 = sum2 + self.d4(reduced)
        sum8 = sum4 + self.d8(reduced)
        sum16 = sum8 + self.d16(reduced)
        return torch.cat([self.d1(reduced), sum2, sum4, sum8, sum16], 1)


class EspBlock(SpatialPyramid):
    """ESP block. With ``residual``, the input is added before batch normalisation and activation."""

    def __init__(self, inputs: int, outputs: int, residual: bool = True) -> None:
        super().__init__(inputs, outputs, kernel=1, stride=1)
        self.bn = BatchNormAct(outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        merged = self.pyramid(x)
        out: Tensor = self.bn(x + merged if self.residual else merged)
        return out


class StridedEspBlock(SpatialPyramid):
    """ESP block that halves the size: its reduction is a 3x3 convolution with stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel=3, stride=2)
        self.bn = nn.BatchNorm2d(outputs, eps=_BN_EPS)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(self.pyramid(x)))
        return out


class StemFeatures(NamedTuple):
    """First-level features, the input of the second and third levels."""

    level1: Tensor
    """(N, 16, H/2, W/2): output of the first convolution."""
    level1_joined: Tensor
    """(N, 19, H/2, W/2): ``level1`` concatenated with the image at half size, batch-normalised and activated."""
    quarter: Tensor
    """(N, 3, H/4, W/4): image at a quarter of its size."""


class EncoderFeatures(NamedTuple):
    """Encoder features that the decoder reads."""

    level1: Tensor
    """(N, 16, H/2, W/2): output of the first convolution."""
    level1_joined: Tensor
    """(N, 19, H/2, W/2): ``level1`` concatenated with the image at half size, batch-normalised and activated."""
    level2_joined: Tensor
    """(N, 131, H/4, W/4): last and first block of level 2 and the image at quarter size, normalised and activated."""
    scores: Tensor
    """(N, classes, H/8, W/8): logits of the encoder's classifier."""


class ESPNetC(nn.Module):
    """ESPNet-C: the encoder with a classifier at an eighth of the input size.

    Args:
        num_classes: number of output channels.
        alpha: number of ESP blocks at the third level (alpha_3 in the paper, ``q`` in the published code).
    """

    def __init__(self, num_classes: int, alpha: int) -> None:
        super().__init__()
        self.level1 = ConvBatchNormAct(3, 16, 3, stride=2)
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1)
        self.b1 = BatchNormAct(16 + 3)
        self.level2_0 = StridedEspBlock(16 + 3, 64)
        self.level2 = nn.ModuleList([EspBlock(64, 64) for _ in range(ALPHA_2)])
        self.b2 = BatchNormAct(64 + 64 + 3)
        self.level3_0 = StridedEspBlock(64 + 64 + 3, 128)
        self.level3 = nn.ModuleList([EspBlock(128, 128) for _ in range(alpha)])
        self.b3 = BatchNormAct(128 + 128)
        self.classifier = Conv(128 + 128, num_classes, 1)

    def features(self, image: Tensor) -> EncoderFeatures:
        """Map a normalised (N, 3, H, W) image to the features of each level; H and W are multiples of 8."""
        return self.features_from_stem(self.stem(image))

    def stem(self, image: Tensor) -> StemFeatures:
        """Compute the first level, and average-pool the image to half and quarter size."""
        half = self.shrink(image)  # (N, 3, H/2, W/2)
        quarter = self.shrink(half)  # (N, 3, H/4, W/4)
        level1 = self.level1(image)  # (N, 16, H/2, W/2)
        return StemFeatures(level1, self.b1(torch.cat([level1, half], 1)), quarter)

    def features_from_stem(self, stem: StemFeatures) -> EncoderFeatures:
        """Compute the second and third levels and the encoder's classifier."""
        level1, level1_joined, quarter = stem
        level2_first = self.level2_0(level1_joined)  # (N, 64, H/4, W/4)
        level2 = _apply_in_order(self.level2, level2_first)  # (N, 64, H/4, W/4)
        level2_joined = self.b2(torch.cat([level2, level2_first, quarter], 1))  # (N, 131, H/4, W/4)
        level3_first = self.level3_0(level2_joined)  # (N, 128, H/8, W/8)
        level3 = _apply_in_order(self.level3, level3_first)  # (N, 128, H/8, W/8)
        level3_joined = self.b3(torch.cat([level3_first, level3], 1))  # (N, 256, H/8, W/8)
        return EncoderFeatures(level1, level1_joined, level2_joined, self.classifier(level3_joined))

    def forward(self, image: Tensor) -> Tensor:
        """Map a normalised (N, 3, H, W) image to (N, classes, H/8, W/8) logits."""
        return self.features(image).scores


class ESPNet(nn.Module):
    """ESPNet: ESPNet-C with a light decoder that upsamples to the input size in three steps of 2x.

    The decoder's ESP block needs at least one channel for each of its branches. With fewer classes than branches, which
    the published code cannot build, the decoder is as wide as it has branches; else it is as wide as there are classes.

    Args:
        num_classes: number of output channels.
        alpha: number of ESP blocks at the third level.
        skip_channels: channels of the first-level skip connection. 16: the first convolution's output, as in the
            published Cityscapes checkpoints. 19: that and the image, as in the CamVid one.

    Raises:
        ValueError: ``skip_channels`` is neither 16 nor 19.
    """

    def __init__(self, num_classes: int, alpha: int, skip_channels: int = 16) -> None:
        super().__init__()
        if skip_channels not in (16, 19):
            raise ValueError(f"skip_channels must be 16 or 19, is {skip_channels}")
        self.skip_channels = skip_channels
        self.encoder = ESPNetC(num_classes, alpha)
        width = max(num_classes, BRANCHES)
        self.level3_C = Conv(131, width, 1)
        self.br = nn.BatchNorm2d(num_classes, eps=_BN_EPS)
        self.up_l3 = nn.Sequential(_upsample_2x(num_classes, width))
        self.combine_l2_l3 = nn.Sequential(BatchNormAct(2 * width), EspBlock(2 * width, width, residual=False))
        self.up_l2 = nn.Sequential(_upsample_2x(width, width), BatchNormAct(width))
        self.conv = ConvBatchNormAct(skip_channels + width, width, 3)
        self.classifier = _upsample_2x(width, num_classes)

    def decode(self, encoded: EncoderFeatures) -> Tensor:
        """Map encoder features to (N, D, H/2, W/2): the decoder, D channels wide, without its last layer."""
        from_level3 = self.up_l3(self.br(encoded.scores))  # (N, D, H/4, W/4)
        from_level2 = self.level3_C(encoded.level2_joined)  # (N, D, H/4, W/4)
        joined = self.combine_l2_l3(torch.cat([from_level2, from_level3], 1))  # (N, D, H/4, W/4)
        skip = encoded.level1 if self.skip_channels == 16 else encoded.level1_joined  # (N, skip, H/2, W/2)
        out: Tensor = self.conv(torch.cat([self.up_l2(joined), skip], 1))  # (N, D, H/2, W/2)
        return out

    def half_size_features(self, image: Tensor) -> Tensor:
        """Map a normalised (N, 3, H, W) image to the (N, D, H/2, W/2) input of the last layer, D as in ``decode``."""
        return self.decode(self.encoder.features(image))

    def forward(self, image: Tensor) -> Tensor:
        """Map a normalised (N, 3, H, W) image to (N, classes, H, W) logits; H and W are multiples of 8."""
        out: Tensor = self.classifier(self.half_size_features(image))
        return out


def _apply_in_order(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x


def _upsample_2x(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
