"""The prediction of ``tx2.py`` as costs that the governor reckons with, for a TX2 that nobody has measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from espnet_ros.governor import tx2


@dataclass(frozen=True)
class PredictedCosts:
    """What ``tx2.py`` predicts; a mode of ``None`` is the one the board boots in."""

    precision: str = "fp16"

    def seconds(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Seconds of inference a frame."""
        return tx2.predict_seconds(alpha, size, mode or tx2.BOOT_MODE, self.precision)

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Watts of the board at ``rate`` frames a second asked."""
        return tx2.predict_watts(alpha, size, mode or tx2.BOOT_MODE, rate, self.precision)
