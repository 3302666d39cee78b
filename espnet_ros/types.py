"""Data types that most modules share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np

from espnet_ros.classes import ClassTable

UNLABELLED = 255
"""Label of a pixel without a class."""


class ImageSize(NamedTuple):
    """Height and width of an image, in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True)
class StageTimes:
    """Duration of each stage of one image, in seconds.

    Attributes:
        preprocess: resizing and colour conversion.
        infer: the engine.
        decode: resizing of labels and confidence to the image's size.
    """

    preprocess: float
    infer: float
    decode: float

    @property
    def total(self) -> float:
        """Sum of the stages, in seconds."""
        return self.preprocess + self.infer + self.decode


@dataclass(frozen=True)
class Segmentation:
    """Result for one image.

    Attributes:
        labels: (H, W) uint8 class ids at the image's size; ``UNLABELLED`` for pixels without a class.
        confidence: (H, W) uint8 softmax probability of the label, 255 is 1.0; None if it was not requested.
        times: duration of each stage.
        class_table: meaning of the labels, from the engine that produced them.
        engine_number: 0 for the segmenter's first engine, incremented each time the engine is exchanged.
    """

    labels: np.ndarray
    confidence: Optional[np.ndarray]
    times: StageTimes
    class_table: ClassTable
    engine_number: int = 0
