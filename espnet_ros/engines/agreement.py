"""Whether an engine says what torch says: labels compared on a sample of images."""

from __future__ import annotations

from typing import Any, Callable, Dict, Sequence

import numpy as np

from espnet_ros.engines.agreement_result import AgreementResult
from espnet_ros.engines.base import EngineSpec
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


def judge_against_torch(
    spec: EngineSpec, network: Any, precision: str, found: Labeller, images: Sequence[np.ndarray], limit: float
) -> AgreementResult:
    """Compare an engine's labels with those of torch in fp32, which this imports.

    Args:
        spec: what the engine was built from.
        network: the spec's, in evaluation mode, in torch.
        precision: what the engine computes in.
        found: labels an image with the engine.
        images: (h, w, 3) uint8 BGR, at least one.
        limit: the least agreement that is taken.

    Raises:
        EngineError: there is no image, or one of them failed.
    """
    import torch

    from espnet_ros.model.graph import SegmentationGraph

    reference = SegmentationGraph(network, spec.checkpoint).eval()

    def expect(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(reference(torch.from_numpy(image[np.newaxis]))[0][0].numpy())

    return AgreementResult(precision, measure_agreement(found, expect, images), len(images), limit)
