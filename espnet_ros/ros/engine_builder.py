"""Builds engines in the background; only the newest wish counts. Knows nothing of ROS."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Generic, NamedTuple, Optional, TypeVar

from espnet_ros.engines.base import Engine

Wish = TypeVar("Wish")

_logger = logging.getLogger(__name__)


class BuildResult(NamedTuple):
    """How the building of one engine ended.

    Attributes:
        wish: what was asked for.
        engine: the engine, already in use; None when the build failed.
        error: why it failed.
    """

    wish: Any
    engine: Optional[Engine]
    error: Optional[Exception]


class EngineBuilder(Generic[Wish]):
    """A thread that builds the engine asked for last, and does what nobody waits for when no engine is asked for.

    A wish that comes while another is being built waits; a newer one takes its place.

    Args:
        build: builds the engine that is wished for.
        adopt: takes a finished engine over, also one that nobody wishes for any more; returns whether it is in use now.
        finished: told that ``take_result`` has something.
        tend: does one piece of the work that nobody waits for; returns whether there may be more.

    All are called in the builder's thread, which lives as long as it has work.
    """

    def __init__(
        self,
        build: Callable[[Wish], Engine],
        adopt: Callable[[Wish, Engine], bool],
        finished: Callable[[], None],
        tend: Callable[[], bool] = lambda: False,
    ) -> None:
        self._build = build
        self._adopt = adopt
        self._finished = finished
        self._tend = tend
        self._lock = threading.Lock()
        self._wish: Optional[Wish] = None
        self._is_woken = False
        self._result: Optional[BuildResult] = None
        self._thread: Optional[threading.Thread] = None

    @property
    def wish(self) -> Optional[Wish]:
        """What is being built or waits to be; None when nobody waits for an engine."""
        return self._wish

    def request(self, wish: Wish) -> None:
        """Build this, instead of anything asked for before."""
        with self._lock:
            self._wish = wish
            self._result = None
            self._ensure_thread()

    def cancel(self) -> None:
        """Build nothing more of what was asked for."""
        with self._lock:
            self._wish = None
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
                wish = self._wish
                self._is_woken = False
            if wish is not None:
                self._fulfil(wish)
            elif not self._tend_safely():
                with self._lock:
                    if self._wish is None and not self._is_woken:
                        self._thread = None
                        return

    def _fulfil(self, wish: Wish) -> None:
        result = self._build_one(wish)
        with self._lock:
            is_newest = self._wish is wish
            if is_newest:
                self._wish = None
                self._result = result
        # An engine that got into use and was unwished in the same moment has to be noticed too.
        if is_newest or result.engine is not None:
            self._finished()

    def _build_one(self, wish: Wish) -> BuildResult:
        try:
            engine = self._build(wish)
            return BuildResult(wish, engine if self._adopt(wish, engine) else None, None)
        except Exception as error:  # the thread's edge: the node shows what it was
            return BuildResult(wish, None, error)

    def _tend_safely(self) -> bool:
        try:
            return self._tend()
        except Exception:  # the thread's edge
            _logger.exception("engines: work in the background failed")
            return False
