"""A node whose engine takes the time for an image that the test says, so that any machine gives the same decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

RATE = 5.0  # images per second, the governor's goal
UNDISTURBED, LOADED = 1.0, 7.0
"""At 5 images per second alpha 8 needs 0.2 of the time, and 1.4 of it under the load; alpha 3 then needs 0.53."""
_TIME_PER_ALPHA = 0.005  # s: alpha 8 takes 40 ms for an image, alpha 3 15 ms
_ENGINE = f"""
import os
import sys
import time
from pathlib import Path

from espnet_ros.engines.fake import FakeEngine
from espnet_ros.ros.node import main

infer = FakeEngine.infer

def infer_at_the_tests_speed(self, pixels, with_confidence=False):
    slowdown = float(Path(os.environ["ESPNET_TEST_SLOWDOWN"]).read_text())
    time.sleep(slowdown * {_TIME_PER_ALPHA} * self.spec.checkpoint.alpha)
    return infer(self, pixels, with_confidence)

FakeEngine.infer = infer_at_the_tests_speed
sys.exit(main())
"""
PROGRAM = ("-c", _ENGINE)
"""What Python runs in place of the node."""


class Load:
    """What slows the engine down, as a program that competes for the processor would.

    Args:
        file: through which the node's process learns of it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(UNDISTURBED)

    @property
    def environment(self) -> Dict[str, str]:
        """Variables of the node's process."""
        return {"ESPNET_TEST_SLOWDOWN": str(self._file)}

    def set(self, slowdown: float) -> None:
        """Multiply the engine's time from the next image on."""
        new = self._file.with_suffix(".new")
        new.write_text(str(slowdown))
        new.replace(self._file)


def image_time(alpha: int, slowdown: float) -> float:
    """Seconds that the engine takes for an image."""
    return slowdown * _TIME_PER_ALPHA * alpha
