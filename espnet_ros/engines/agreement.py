"""Agreement of an engine with torch: the share of pixels to which both give the same label."""

from __future__ import annotations

from typing import Any, Callable, Dict, Sequence

import numpy as np

from espnet_ros.engines.agreement_result import AgreementResult
from espnet_ros.engines.base import EngineSpec
from espnet_ros.errors import EngineError

LIMITS: Dict[str, float] = {"fp32": 0.99, "fp16": 0.99, "int8": 0.97}
"""Minimum agreement of a TensorRT engine, by precision.

The limits of fp16 and int8 are this project's requirements. fp32 has the limit of fp16 because GPUs since Ampere
multiply in TF32, whose mantissa is as short as that of fp16.
"""

Labeller = Callable[[np.ndarray], np.ndarray]
"""Maps an image, (h, w, 3) uint8, to its labels, (h, w) uint8."""


def measure_agreement(found: Labeller, expected: Labeller, images: Sequence[np.ndarray]) -> float:
    """Return the share of all pixels of the images, 0 to 1, to which both labellers give the same label.

    Raises:
        EngineError: there are no images, or a labeller failed.
    """
    if not images:
        raise EngineError("labels must be compared on at least one image, there is none")
    equal = pixels = 0
    for image in images:
        labels = found(image)
        equal += int(np.count_nonzero(labels == expected(image)))
        pixels += labels.size
    return equal / pixels


def compare_with_torch(
    spec: EngineSpec, network: Any, precision: str, label: Labeller, images: Sequence[np.ndarray], limit: float
) -> AgreementResult:
    """Compare an engine's labels with those of torch in fp32. Imports torch.

    Args:
        spec: what the engine was built from.
        network: the spec's network as a torch module in evaluation mode.
        precision: the engine's precision.
        label: labels an image with the engine.
        images: (h, w, 3) uint8 BGR, at least one.
        limit: minimum agreement.

    Raises:
        EngineError: there are no images, or the engine failed.
    """
    import torch

    from espnet_ros.model.graph import SegmentationGraph

    reference = SegmentationGraph(network, spec.checkpoint).eval()

    def expect(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(reference(torch.from_numpy(image[np.newaxis]))[0][0].numpy())

    return AgreementResult(precision, measure_agreement(label, expect, images), len(images), limit)
