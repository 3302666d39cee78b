"""The prediction of ``tx2_prediction.py`` as a cost model, for a TX2 without measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from espnet_ros.governor import tx2_prediction


@dataclass(frozen=True)
class Tx2CostModel:
    """Predicted costs of a TX2; a mode of ``None`` is the mode in which the board boots."""

    precision: str = "fp16"

    def frame_time(self, alpha: int, size: Tuple[int, int], mode: Optional[str]) -> float:
        """Return the seconds of inference per frame."""
        return tx2_prediction.predict_frame_time(alpha, size, mode or tx2_prediction.BOOT_MODE, self.precision)

    def watts(self, alpha: int, size: Tuple[int, int], mode: Optional[str], rate: float) -> float:
        """Return the watts of the board when frames are requested at ``rate`` Hz."""
        return tx2_prediction.predict_watts(alpha, size, mode or tx2_prediction.BOOT_MODE, rate, self.precision)
