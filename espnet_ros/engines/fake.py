"""An engine without a network: the same image always gives the same labels. For tests, and for trying the wiring."""

from __future__ import annotations

import os
import time
from typing import Optional

import numpy as np

from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.errors import EngineError

LATENCY_VARIABLE = "ESPNET_FAKE_LATENCY"
"""Environment variable: seconds that a fake engine takes for an image."""
FAIL_AFTER_VARIABLE = "ESPNET_FAKE_FAIL_AFTER"
"""Environment variable: number of images after which a fake engine fails; unset or empty: it never does."""


class FakeEngine:
    """Labels each pixel with its mean brightness, split evenly over the classes.

    Args:
        spec: its class table gives the number of labels.
        latency: seconds that each call takes at least.
        fail_after: number of images after which every call fails; None for what the environment says.
        reason: why this backend was chosen.
    """

    backend = "fake"
    device = "none"
    precision = "fp32"

    def __init__(
        self, spec: EngineSpec, latency: float = 0.0, fail_after: Optional[int] = None, reason: str = "asked for"
    ) -> None:
        self.spec = spec
        self.reason = reason
        self._latency = latency
        in_environment = os.environ.get(FAIL_AFTER_VARIABLE, "")
        self._left = int(in_environment) if fail_after is None and in_environment else fail_after

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """Label by brightness: class ``floor(mean(b, g, r) * classes / 256)``, confidence 255 minus the spread."""
        check_pixels(pixels, self.spec.input_size)
        if self._left is not None:
            if self._left == 0:
                raise EngineError("fake engine: told to fail")
            self._left -= 1
        start = time.monotonic()
        values = pixels.astype(np.uint16)
        brightness = values.sum(axis=2) // 3
        labels = (brightness * len(self.spec.class_table) // 256).astype(np.uint8)
        confidence = None
        if with_confidence:
            confidence = (255 - (values.max(axis=2) - values.min(axis=2))).astype(np.uint8)
        left = self._latency - (time.monotonic() - start)
        if left > 0:
            time.sleep(left)
        return EngineOutput(labels, confidence)

    def close(self) -> None:
        """Nothing to free."""
