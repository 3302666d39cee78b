"""Counts of a drive by alpha: each frame belongs to the alpha that answered it, or to a switch between two alphas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

import numpy as np

from espnet_ros.evaluation.metrics import ConfusionMatrix


@dataclass(frozen=True)
class AlphaReport:
    """Results of one alpha, over the frames that no other alpha can have answered.

    Attributes:
        alpha: ESP blocks at the network's third level.
        sent, answered: numbers of frames.
        latency_p50: median latency in seconds; None without answers.
        mean_iou: over the answers; None without true labels or answers.
        engine_time: median of the engine's own time, in seconds; None if the alpha was in use too briefly for the node
            to report it.
    """

    alpha: int
    sent: int
    answered: int
    latency_p50: Optional[float]
    mean_iou: Optional[float]
    engine_time: Optional[float]

    def as_dict(self) -> Dict[str, Any]:
        """Return the numbers for JSON; times in seconds."""
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
    """A switch: from the request for an alpha until the node reports it in use. Either engine may have answered.

    Attributes:
        alpha: the requested one.
        asked: time of the request, in seconds since the first frame was sent.
        duration: in seconds; until the failure if there is one.
        sent, answered: numbers of frames, including those without an answer at the time of the request.
        failure: why the alpha did not come into use; "" if it did.
    """

    alpha: int
    asked: float
    duration: float
    sent: int
    answered: int
    failure: str

    def as_dict(self) -> Dict[str, Any]:
        """Return the numbers for JSON; times in seconds."""
        return {
            "alpha": self.alpha,
            "asked": self.asked,
            "duration": self.duration,
            "frames_sent": self.sent,
            "frames_answered": self.answered,
            "frames_dropped": self.sent - self.answered,
            "failure": self.failure,
        }


class FrameCounts:
    """Counts of the frames of one alpha or one switch.

    Args:
        matrix: confusion matrix of the answers; None if the frames have no true labels.
    """

    def __init__(self, matrix: Optional[ConfusionMatrix]) -> None:
        self.matrix = matrix
        self.sent = 0
        self.latencies: List[float] = []

    def latency_p50(self) -> Optional[float]:
        """Return the median latency in seconds; None without answers."""
        return float(np.median(self.latencies)) if self.latencies else None

    def mean_iou(self) -> Optional[float]:
        """Return the mean IoU of the answers; None without true labels or answers."""
        mean = float("nan") if self.matrix is None else self.matrix.mean_iou()
        return None if np.isnan(mean) else mean


class _Switch:
    """A switch that has started; times are monotonic, in seconds."""

    def __init__(self, alpha: int, asked: float, counts: FrameCounts) -> None:
        self.alpha = alpha
        self.asked = asked
        self.counts = counts
        self.ended = asked
        self.failure = ""


class CountsByAlpha:
    """Assigns frames to alphas and switches, from the requests to the node and its status.

    Args:
        alpha: in use when the drive starts.
        new_matrix: returns an empty confusion matrix, or None if the frames have no true labels.
    """

    def __init__(self, alpha: int, new_matrix: Callable[[], Optional[ConfusionMatrix]]) -> None:
        self._new_matrix = new_matrix
        self._alpha = alpha
        self._by_alpha = {alpha: FrameCounts(new_matrix())}
        self._engine_times: Dict[int, float] = {}
        self._switches: List[_Switch] = []
        self.current = self._by_alpha[alpha]
        """Counts that frames sent now belong to."""

    def begin_switch(self, alpha: int, now: float) -> None:
        """Start a switch; call before the node is asked for the alpha."""
        self.current = FrameCounts(self._new_matrix())
        self._switches.append(_Switch(alpha, now, self.current))

    def end_switch(self, now: float, failure: str) -> None:
        """End the switch: the requested alpha is in use, or the previous one still is if there is a failure."""
        switch = self._switches[-1]
        switch.ended, switch.failure = now, failure
        if not failure:
            self._alpha = switch.alpha
        self.current = self._by_alpha.setdefault(self._alpha, FrameCounts(self._new_matrix()))

    def record_engine_time(self, alpha: int, seconds: float) -> None:
        """Record the median of the engine's own time, in seconds, with this alpha."""
        self._engine_times[alpha] = seconds

    def alphas(self) -> List[AlphaReport]:
        """Return the report of each alpha that came into use, in that order."""
        return [
            AlphaReport(
                alpha=alpha,
                sent=counts.sent,
                answered=len(counts.latencies),
                latency_p50=counts.latency_p50(),
                mean_iou=counts.mean_iou(),
                engine_time=self._engine_times.get(alpha),
            )
            for alpha, counts in self._by_alpha.items()
        ]

    def switches(self, start: float) -> List[SwitchReport]:
        """Return the report of each switch, in order. ``start`` is the monotonic time of the first frame in seconds."""
        return [
            SwitchReport(
                alpha=switch.alpha,
                asked=switch.asked - start,
                duration=switch.ended - switch.asked,
                sent=switch.counts.sent,
                answered=len(switch.counts.latencies),
                failure=switch.failure,
            )
            for switch in self._switches
        ]
