"""Data that passes between the parts of espnet_ros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np

from espnet_ros.classes import ClassTable

UNLABELLED = 255
"""Label of a pixel that has no class."""


class ImageSize(NamedTuple):
    """Height and width of an image, in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True)
class StageTimes:
    """Where the time of one image went, in seconds."""

    preprocess: float
    infer: float
    decode: float

    @property
    def total(self) -> float:
        """Seconds from the image to its labels."""
        return self.preprocess + self.infer + self.decode


@dataclass(frozen=True)
class Segmentation:
    """What one image shows.

    Attributes:
        labels: (H, W) uint8 at the image's size: class id, or ``UNLABELLED``.
        confidence: (H, W) uint8 softmax probability of the label, 255 being 1.0; None where it was not asked for.
        times: where the time went.
        class_table: what the labels mean; it is the one of the engine that made them.
        engine_number: which engine that was: 0 for the segmenter's first, one more for each that took over.
    """

    labels: np.ndarray
    confidence: Optional[np.ndarray]
    times: StageTimes
    class_table: ClassTable
    engine_number: int = 0
