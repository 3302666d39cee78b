"""Switch the alpha of the node during a drive, and track which one is in use."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, Optional, Sequence

from espnet_ros.demo.drive import DriveRecorder

_IN_FLIGHT = 1  # images that the previous engine has labelled but the node has not counted yet

Request = Callable[[int, Callable[[str], None]], None]
"""Requests an alpha from the node and returns immediately; the second argument gets the reason if the node refuses."""


class AlphaSwitcher:
    """Requests the alphas one after the other, each at the start of its equal share of the drive.

    A request waits until the previous alpha is in use. After a failed switch, no other alpha is requested. Requests
    come from one thread; the node's status may come from another.

    Args:
        alphas: in order; the first is in use when the drive starts.
        num_frames: length of the drive; ignored with one alpha.
        recorder: gets the start and the end of each switch.
        request: requests an alpha from the node.
    """

    def __init__(self, alphas: Sequence[int], num_frames: int, recorder: DriveRecorder, request: Request) -> None:
        self._alphas = alphas
        self._num_frames = num_frames
        self._recorder = recorder
        self._request = request
        self._lock = threading.Lock()
        self._num_requested = 1
        self._requested: Optional[int] = None
        self._answered_before = 0
        self._message = ""
        self._has_failed = False
        self.engines: Dict[int, Any] = {}
        """The newest EngineStatus of each alpha that was in use, in that order."""

    def before_frame(self, index: int) -> None:
        """Request the next alpha if the frame of this index, which is about to be sent, is the first of its share."""
        with self._lock:
            if self._requested is not None or self._has_failed or self._num_requested == len(self._alphas):
                return
            if index * len(self._alphas) < self._num_requested * self._num_frames:
                return
            requested = self._requested = self._alphas[self._num_requested]
            self._num_requested += 1
            self._recorder.begin_switch(requested, time.monotonic())
        self._request(requested, lambda reason: self._on_refusal(requested, reason))

    def on_status(self, status: Any) -> None:
        """Take an espnet_ros/EngineStatus of the node."""
        with self._lock:
            self._message = status.message
            if status.state == status.ACTIVE:
                self._on_active(status)
            elif status.state == status.FAILED:
                # No alpha is requested after a failure, so this failure is not an old one.
                self._end_switch(f"the node could not build an engine with alpha {self._requested}: {status.message}")

    def finish(self) -> None:
        """End the drive: a switch that is still in progress has failed."""
        with self._lock:
            self._end_switch(f"alpha {self._requested} was not in use yet when the drive ended: {self._message}")

    def _on_refusal(self, alpha: int, reason: str) -> None:
        with self._lock:
            self._end_switch(f"the node refused alpha {alpha}: {reason}")

    def _on_active(self, status: Any) -> None:
        # The node swaps its engine before it reports it, so the new one answers all frames sent from now on.
        if status.alpha == self._requested:
            self._end_switch("")
            self._answered_before = status.answered + _IN_FLIGHT
        self.engines[status.alpha] = status
        if status.answered > self._answered_before:  # otherwise the time is still that of the previous engine
            self._recorder.record_engine_time(status.alpha, status.inference_time)

    def _end_switch(self, failure: str) -> None:
        if self._requested is not None:
            self._requested = None
            self._has_failed = bool(failure)
            self._recorder.end_switch(time.monotonic(), failure)
