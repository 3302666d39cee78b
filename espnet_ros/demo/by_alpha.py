"""Divides the frames of a drive among the alphas that answered them, and the switches between two alphas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

import numpy as np

from espnet_ros.evaluation.metrics import ConfusionMatrix


@dataclass(frozen=True)
class AlphaReport:
    """What one alpha did: of the frames that were sent and answered while no other could be in use.

    Attributes:
        alpha: ESP blocks at the network's third level.
        sent, answered: numbers of frames.
        latency_p50: median of their latencies, in seconds; None without answers.
        mean_iou: over the answers; None without true labels or answers.
        engine_time: median of the engine's own time, in seconds; None where the node did not tell it, as the alpha
            was in use for too short a time.
    """

    alpha: int
    sent: int
    answered: int
    latency_p50: Optional[float]
    mean_iou: Optional[float]
    engine_time: Optional[float]

    def as_dict(self) -> Dict[str, Any]:
        """The numbers, ready for JSON; times in seconds."""
        return {
            "alpha": self.alpha,
            "frames_sent": self.sent,
            "frames_answered": self.answered,
            "frames_dropped": self.sent - self.answered,
            "latency_p50": self.latency_p50,
            "mean_iou": self.mean_iou,
            "engine_time": self.engine_time,
        }


@dataclass(frozen=True)
class SwitchReport:
    """From the moment an alpha was asked for to the node's word that it is in use; either engine may have answered.

    Attributes:
        alpha: that was asked for.
        asked: when, in seconds since the first frame was sent.
        duration: in seconds; until the failure where there is one.
        sent, answered: numbers of frames, those included that had no answer yet when the alpha was asked for.
        failure: why the alpha did not come into use; "" where it did.
    """

    alpha: int
    asked: float
    duration: float
    sent: int
    answered: int
    failure: str

    def as_dict(self) -> Dict[str, Any]:
        """The numbers, ready for JSON; times in seconds."""
        return {
            "alpha": self.alpha,
            "asked": self.asked,
            "duration": self.duration,
            "frames_sent": self.sent,
            "frames_answered": self.answered,
            "frames_dropped": self.sent - self.answered,
            "failure": self.failure,
        }


class Part:
    """Account of the frames that belong together.

    Args:
        matrix: for the answers; None where the frames have no true labels.
    """

    def __init__(self, matrix: Optional[ConfusionMatrix]) -> None:
        self.matrix = matrix
        self.sent = 0
        self.latencies: List[float] = []

    def latency_p50(self) -> Optional[float]:
        """Median, in seconds; None without answers."""
        return float(np.median(self.latencies)) if self.latencies else None

    def mean_iou(self) -> Optional[float]:
        """Over the answers; None without true labels or answers."""
        mean = float("nan") if self.matrix is None else self.matrix.mean_iou()
        return None if np.isnan(mean) else mean


class _Switch:
    """A switch that has begun; times are monotonic, in seconds."""

    def __init__(self, alpha: int, asked: float, part: Part) -> None:
        self.alpha = alpha
        self.asked = asked
        self.part = part
        self.ended = asked
        self.failure = ""


class AlphaParts:
    """The part of the drive that a frame belongs to, by what the node was asked for and what it said.

    Args:
        alpha: in use when the drive begins.
        new_matrix: makes an empty confusion matrix; None where the frames have no true labels.
    """

    def __init__(self, alpha: int, new_matrix: Callable[[], Optional[ConfusionMatrix]]) -> None:
        self._new_matrix = new_matrix
        self._alpha = alpha
        self._by_alpha = {alpha: Part(new_matrix())}
        self._engine_times: Dict[int, float] = {}
        self._switches: List[_Switch] = []
        self.current = self._by_alpha[alpha]
        """What is sent now belongs to this."""

    def begin_switch(self, alpha: int, now: float) -> None:
        """The node is about to be asked for another alpha."""
        self.current = Part(self._new_matrix())
        self._switches.append(_Switch(alpha, now, self.current))

    def end_switch(self, now: float, failure: str) -> None:
        """The alpha that was asked for is in use; or, where there is a failure, the one before still is."""
        switch = self._switches[-1]
        switch.ended, switch.failure = now, failure
        if not failure:
            self._alpha = switch.alpha
        self.current = self._by_alpha.setdefault(self._alpha, Part(self._new_matrix()))

    def note_engine_time(self, alpha: int, seconds: float) -> None:
        """The median of the engine's own time with this alpha."""
        self._engine_times[alpha] = seconds

    def alphas(self) -> List[AlphaReport]:
        """Account of each alpha that came into use, in that order."""
        return [
            AlphaReport(
                alpha=alpha,
                sent=part.sent,
                answered=len(part.latencies),
                latency_p50=part.latency_p50(),
                mean_iou=part.mean_iou(),
                engine_time=self._engine_times.get(alpha),
            )
            for alpha, part in self._by_alpha.items()
        ]

    def switches(self, start: float) -> List[SwitchReport]:
        """Account of each switch, in order; ``start`` is the monotonic time of the first frame, in seconds."""
        return [
            SwitchReport(
                alpha=switch.alpha,
                asked=switch.asked - start,
                duration=switch.ended - switch.asked,
                sent=switch.part.sent,
                answered=len(switch.part.latencies),
                failure=switch.failure,
            )
            for switch in self._switches
        ]
