"""Whether an engine says what torch says: labels compared on a sample of images."""

from __future__ import annotations

from typing import Callable, Dict, Sequence

import numpy as np

from espnet_ros.errors import EngineError

LIMITS: Dict[str, float] = {"fp32": 0.99, "fp16": 0.99, "int8": 0.97}
"""Share of a sample's pixels that must have torch's label, by the precision of a TensorRT engine.

Those of fp16 and int8 are what this project asks of one. fp32 is held to that of fp16, since GPUs from
Ampere on multiply in TF32, whose mantissa is as short as that of fp16.
"""

Labeller = Callable[[np.ndarray], np.ndarray]
"""Labels (h, w) uint8 of an image (h, w, 3) uint8."""


def measure_agreement(found: Labeller, expected: Labeller, images: Sequence[np.ndarray]) -> float:
    """Share of all pixels of the images, 0 to 1, that both label alike.

    Raises:
        EngineError: there is no image, or one of them failed.
    """
    if not images:
        raise EngineError("labels must be compared on at least one image, there is none")
    equal = pixels = 0
    for image in images:
        labels = found(image)
        equal += int(np.count_nonzero(labels == expected(image)))
        pixels += labels.size
    return equal / pixels
