"""Builds engines in a background thread; only the newest request counts."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Generic, NamedTuple, Optional, TypeVar

from espnet_ros.engines.base import Engine
from espnet_ros.stopping import Stopped

Request = TypeVar("Request")

_logger = logging.getLogger(__name__)


class BuildResult(NamedTuple):
    """Outcome of a build.

    Attributes:
        request: the request.
        engine: the engine, if it is in use now; None if it is not or the build failed.
        error: why the build failed; None if it did not.
    """

    request: Any
    engine: Optional[Engine]
    error: Optional[Exception]


class EngineBuilder(Generic[Request]):
    """Builds the engine that was requested last, and runs idle work in between.

    A request that arrives during a build waits; a newer one replaces it. The thread lives while there is work, and
    calls all callbacks.

    Args:
        build: builds the requested engine.
        adopt: receives a finished engine, even if it is no longer requested; returns whether it is now in use.
        finished: called when `take_result` has a result.
        run_idle_work: runs one step of work that nobody waits for; returns whether there may be more.
    """

    def __init__(
        self,
        build: Callable[[Request], Engine],
        adopt: Callable[[Request, Engine], bool],
        finished: Callable[[], None],
        run_idle_work: Callable[[], bool] = lambda: False,
    ) -> None:
        self._build = build
        self._adopt = adopt
        self._finished = finished
        self._run_idle_work_callback = run_idle_work
        self._lock = threading.Lock()
        self._requested: Optional[Request] = None
        self._is_woken = False
        self._result: Optional[BuildResult] = None
        self._thread: Optional[threading.Thread] = None

    @property
    def requested(self) -> Optional[Request]:
        """The request that is being built or waits; None if there is none."""
        return self._requested

    def request(self, request: Request) -> None:
        """Build an engine. This replaces earlier requests."""
        with self._lock:
            self._requested = request
            self._result = None
            self._ensure_thread()

    def cancel(self) -> None:
        """Cancel the request. A build in progress is finished and its engine offered to ``adopt``."""
        with self._lock:
            self._requested = None
            self._result = None

    def wake(self) -> None:
        """Run idle work, if there is any."""
        with self._lock:
            self._is_woken = True
            self._ensure_thread()

    def take_result(self) -> Optional[BuildResult]:
        """Return the outcome of the newest build once; None if there is none."""
        with self._lock:
            result, self._result = self._result, None
            return result

    def join(self, timeout: Optional[float] = None) -> bool:
        """Wait until the thread has no work left. Return whether it has none."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="engine builder", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                request = self._requested
                self._is_woken = False
            try:
                has_more = self._process(request) if request is not None else self._run_idle_work()
            except Stopped:  # the process is to end
                return
            if not has_more:
                with self._lock:
                    if self._requested is None and not self._is_woken:
                        self._thread = None
                        return

    def _process(self, request: Request) -> bool:
        result = self._build_one(request)
        with self._lock:
            is_newest = self._requested is request
            if is_newest:
                self._requested = None
                self._result = result
        # Also report an engine that came into use just as its request was cancelled.
        if is_newest or result.engine is not None:
            self._finished()
        return True

    def _build_one(self, request: Request) -> BuildResult:
        try:
            engine = self._build(request)
            return BuildResult(request, engine if self._adopt(request, engine) else None, None)
        except Exception as error:  # reported as the result; must not end the thread
            return BuildResult(request, None, error)

    def _run_idle_work(self) -> bool:
        try:
            return self._run_idle_work_callback()
        except Exception:  # must not end the thread
            _logger.exception("background work on engines failed")
            return False
