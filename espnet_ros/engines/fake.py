"""An engine without a network, for tests and for trying out a robot's setup. Deterministic."""

from __future__ import annotations

import os
import time
from typing import Optional

import numpy as np

from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.errors import EngineError

LATENCY_VARIABLE = "ESPNET_FAKE_LATENCY"
"""Environment variable: minimum duration of each call, in seconds."""
FAIL_AFTER_VARIABLE = "ESPNET_FAKE_FAIL_AFTER"
"""Environment variable: number of images after which every call fails. Unset or empty: never."""


class FakeEngine:
    """Labels each pixel by its brightness, which is divided evenly among the classes.

    Args:
        spec: what to build; its class table sets the number of labels.
        latency: minimum duration of each call, in seconds.
        fail_after: number of images after which every call fails; None uses the environment variable.
        reason: why this backend was chosen.
    """

    backend = "fake"
    device = "none"
    precision = "fp32"

    def __init__(
        self, spec: EngineSpec, latency: float = 0.0, fail_after: Optional[int] = None, reason: str = "requested"
    ) -> None:
        self.spec = spec
        self.reason = reason
        self._latency = latency
        in_environment = os.environ.get(FAIL_AFTER_VARIABLE, "")
        self._images_left = int(in_environment) if fail_after is None and in_environment else fail_after

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. Class: ``floor(mean(b, g, r) * classes / 256)``; confidence: 255 - (max - min)."""
        check_pixels(pixels, self.spec.input_size)
        if self._images_left is not None:
            if self._images_left == 0:
                raise EngineError("fake engine: configured to fail")
            self._images_left -= 1
        start = time.monotonic()
        values = pixels.astype(np.uint16)
        brightness = values.sum(axis=2) // 3
        labels = (brightness * len(self.spec.class_table) // 256).astype(np.uint8)
        confidence = None
        if with_confidence:
            confidence = (255 - (values.max(axis=2) - values.min(axis=2))).astype(np.uint8)
        remaining = self._latency - (time.monotonic() - start)
        if remaining > 0:
            time.sleep(remaining)
        return EngineOutput(labels, confidence)

    def close(self) -> None:
        """Do nothing: there is nothing to free."""
