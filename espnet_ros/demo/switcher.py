"""Has the node change its alpha while it drives, and takes note of which one is in use."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, Optional, Sequence

from espnet_ros.demo.drive import DriveRecorder

_UNDER_WAY = 1  # image that the engine before has labelled, but that the node has not counted yet

Request = Callable[[int, Callable[[str], None]], None]
"""Asks the node for an alpha and returns at once; the second argument is to be told why, should the node refuse."""


class AlphaSwitcher:
    """Asks for one alpha after the other, each when its equal share of the drive begins.

    One that is not in use yet when the next one's share begins is waited for. After one that cannot be had no other is
    asked for. Asking is done in one thread; what the node says may come in another.

    Args:
        alphas: in their order; the first is in use when the drive begins.
        num_frames: of the drive; does not matter with one alpha.
        recorder: is told when a switch begins and ends.
        request: how the node is asked.
    """

    def __init__(self, alphas: Sequence[int], num_frames: int, recorder: DriveRecorder, request: Request) -> None:
        self._alphas = alphas
        self._num_frames = num_frames
        self._recorder = recorder
        self._request = request
        self._lock = threading.Lock()
        self._num_asked = 1
        self._wish: Optional[int] = None
        self._answered_before = 0
        self._message = ""
        self._has_failed = False
        self.engines: Dict[int, Any] = {}
        """By each alpha that was in use, in that order, the newest EngineStatus that says so."""

    def before_frame(self, index: int) -> None:
        """Ask for the next alpha if the frame of this index, which goes out now, is the first of its share."""
        with self._lock:
            if self._wish is not None or self._has_failed or self._num_asked == len(self._alphas):
                return
            if index * len(self._alphas) < self._num_asked * self._num_frames:
                return
            wish = self._wish = self._alphas[self._num_asked]
            self._num_asked += 1
            self._recorder.begin_switch(wish, time.monotonic())
        self._request(wish, lambda reason: self._note_refusal(wish, reason))

    def note_status(self, status: Any) -> None:
        """The node published this espnet_ros/EngineStatus."""
        with self._lock:
            self._message = status.message
            if status.state == status.ACTIVE:
                self._note_active(status)
            elif status.state == status.FAILED:
                # No alpha is asked for after a failure, so this one's is not an old one's.
                self._end_switch(f"the node could not build an engine with alpha {self._wish}: {status.message}")

    def finish(self) -> None:
        """The drive has ended: an alpha that is not in use by now has failed."""
        with self._lock:
            self._end_switch(f"alpha {self._wish} was not in use yet when the drive ended: {self._message}")

    def _note_refusal(self, alpha: int, reason: str) -> None:
        with self._lock:
            self._end_switch(f"the node refused alpha {alpha}: {reason}")

    def _note_active(self, status: Any) -> None:
        # The node exchanges its engine before it says so: what is sent from now on is the new one's.
        if status.alpha == self._wish:
            self._end_switch("")
            self._answered_before = status.answered + _UNDER_WAY
        self.engines[status.alpha] = status
        if status.answered > self._answered_before:  # else the engine's own time is still that of the one before
            self._recorder.note_engine_time(status.alpha, status.inference_time)

    def _end_switch(self, failure: str) -> None:
        if self._wish is not None:
            self._wish = None
            self._has_failed = bool(failure)
            self._recorder.end_switch(time.monotonic(), failure)
