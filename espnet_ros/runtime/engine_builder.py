"""Builds engines in the background; only the newest request counts. Knows nothing of ROS."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Generic, NamedTuple, Optional, TypeVar

from espnet_ros.engines.base import Engine

Request = TypeVar("Request")

_logger = logging.getLogger(__name__)


class BuildResult(NamedTuple):
    """How the building of one engine ended.

    Attributes:
        request: what was asked for.
        engine: the engine, already in use; None when the build failed.
        error: why it failed.
    """

    request: Any
    engine: Optional[Engine]
    error: Optional[Exception]


class EngineBuilder(Generic[Request]):
    """A thread that builds the engine asked for last, and does what nobody waits for when no engine is asked for.

    A request that comes while another is being built waits; a newer one takes its place.

    Args:
        build: builds the engine that is asked for.
        adopt: takes a finished engine over, even one that is no longer requested; returns whether it is now in use.
        finished: told that ``take_result`` has something.
        tend: does one piece of the work that nobody waits for; returns whether there may be more.

    All are called in the builder's thread, which lives as long as it has work.
    """

    def __init__(
        self,
        build: Callable[[Request], Engine],
        adopt: Callable[[Request, Engine], bool],
        finished: Callable[[], None],
        tend: Callable[[], bool] = lambda: False,
    ) -> None:
        self._build = build
        self._adopt = adopt
        self._finished = finished
        self._tend = tend
        self._lock = threading.Lock()
        self._requested: Optional[Request] = None
        self._is_woken = False
        self._result: Optional[BuildResult] = None
        self._thread: Optional[threading.Thread] = None

    @property
    def requested(self) -> Optional[Request]:
        """What is being built or waits to be; None when nobody waits for an engine."""
        return self._requested

    def request(self, request: Request) -> None:
        """Build this, instead of anything asked for before."""
        with self._lock:
            self._requested = request
            self._result = None
            self._ensure_thread()

    def cancel(self) -> None:
        """Build nothing more of what was asked for."""
        with self._lock:
            self._requested = None
            self._result = None

    def wake(self) -> None:
        """There may be work that nobody waits for."""
        with self._lock:
            self._is_woken = True
            self._ensure_thread()

    def take_result(self) -> Optional[BuildResult]:
        """The end of the newest build, once; None when there is none."""
        with self._lock:
            result, self._result = self._result, None
            return result

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait until the thread has nothing left to do."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="engine builder", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                request = self._requested
                self._is_woken = False
            if request is not None:
                self._fulfil(request)
            elif not self._tend_safely():
                with self._lock:
                    if self._requested is None and not self._is_woken:
                        self._thread = None
                        return

    def _fulfil(self, request: Request) -> None:
        result = self._build_one(request)
        with self._lock:
            is_newest = self._requested is request
            if is_newest:
                self._requested = None
                self._result = result
        # An engine that got into use and stopped being asked for in the same moment has to be noticed too.
        if is_newest or result.engine is not None:
            self._finished()

    def _build_one(self, request: Request) -> BuildResult:
        try:
            engine = self._build(request)
            return BuildResult(request, engine if self._adopt(request, engine) else None, None)
        except Exception as error:  # the thread's edge: the node shows what it was
            return BuildResult(request, None, error)

    def _tend_safely(self) -> bool:
        try:
            return self._tend()
        except Exception:  # the thread's edge
            _logger.exception("engines: work in the background failed")
            return False
