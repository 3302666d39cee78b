"""Counts the multiplications and the memory traffic of ESPNet and ESPNet-C without building the networks.

The structure mirrors ``model/espnet.py``; a test compares the counts with those of the real network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Iterator, Tuple

from espnet_ros.errors import ParameterError

_BRANCHES = 5
_LEVEL_2_BLOCKS = 2
NETWORKS = ("espnet", "espnet_c")


@dataclass(frozen=True)
class Convolution:
    """One convolution or transposed convolution on a single image."""

    inputs: int
    outputs: int
    multiplications: int
    input_pixels: int
    output_pixels: int


@dataclass(frozen=True)
class Operations:
    """Operations for one image."""

    multiplications: int
    """Multiply-adds in convolutions."""
    traffic: int
    """Values read and written if each convolution reads its input from memory and writes its output back."""

    def traffic_bytes(self, bytes_per_value: int) -> int:
        """Return ``traffic`` in bytes; a value has 2 bytes in 16 bit and 4 in 32 bit."""
        return self.traffic * bytes_per_value


@lru_cache(maxsize=256)
def count_operations(
    alpha: int, size: Tuple[int, int], classes: int = 20, network: str = "espnet", skip_channels: int = 16
) -> Operations:
    """Count the operations for one image.

    Args:
        alpha: ESP blocks at the third level.
        size: (height, width) of the network's input in pixels, multiples of 8.
        classes: channels of the logits.
        network: one of ``NETWORKS``.
        skip_channels: 16 or 19, see ``model/espnet.py``.

    Raises:
        ParameterError: the network is unknown, or the size is not a multiple of 8.
    """
    if network not in NETWORKS:
        raise ParameterError(f"network must be one of {', '.join(NETWORKS)}, is '{network}'")
    if any(side <= 0 or side % 8 for side in size):
        raise ParameterError(f"size must be positive multiples of 8, is {size[0]}x{size[1]}")
    pixels = size[0] * size[1]
    layers = list(_encoder(alpha, classes, pixels))
    if network == "espnet":
        layers += _decoder(classes, pixels, skip_channels)
    multiplications = sum(layer.multiplications for layer in layers)
    traffic = sum(layer.inputs * layer.input_pixels + layer.outputs * layer.output_pixels for layer in layers)
    return Operations(multiplications, traffic)


def _encoder(alpha: int, classes: int, pixels: int) -> Iterator[Convolution]:
    yield _convolution(3, 16, 3, pixels, pixels // 4)
    yield from _esp_block(16 + 3, 64, 3, pixels // 4, pixels // 16)
    for _ in range(_LEVEL_2_BLOCKS):
        yield from _esp_block(64, 64, 1, pixels // 16, pixels // 16)
    yield from _esp_block(64 + 64 + 3, 128, 3, pixels // 16, pixels // 64)
    for _ in range(alpha):
        yield from _esp_block(128, 128, 1, pixels // 64, pixels // 64)
    yield _convolution(128 + 128, classes, 1, pixels // 64, pixels // 64)


def _decoder(classes: int, pixels: int, skip_channels: int) -> Iterator[Convolution]:
    yield _convolution(64 + 64 + 3, classes, 1, pixels // 16, pixels // 16)
    yield _transposed_convolution(classes, pixels // 64)
    yield from _esp_block(2 * classes, classes, 1, pixels // 16, pixels // 16)
    yield _transposed_convolution(classes, pixels // 16)
    yield _convolution(skip_channels + classes, classes, 3, pixels // 4, pixels // 4)
    yield _transposed_convolution(classes, pixels // 4)


def _esp_block(inputs: int, outputs: int, kernel: int, input_pixels: int, output_pixels: int) -> Iterator[Convolution]:
    width = outputs // _BRANCHES
    yield _convolution(inputs, width, kernel, input_pixels, output_pixels)
    for branch in range(_BRANCHES):
        branch_outputs = width if branch else outputs - (_BRANCHES - 1) * width
        yield _convolution(width, branch_outputs, 3, output_pixels, output_pixels)


def _convolution(inputs: int, outputs: int, kernel: int, input_pixels: int, output_pixels: int) -> Convolution:
    multiplications = inputs * outputs * kernel * kernel * output_pixels
    return Convolution(inputs, outputs, multiplications, input_pixels, output_pixels)


def _transposed_convolution(channels: int, input_pixels: int) -> Convolution:
    # A 2x2 kernel at stride 2: each input pixel is multiplied by each of the four weights once.
    return Convolution(channels, channels, channels * channels * 4 * input_pixels, input_pixels, 4 * input_pixels)
