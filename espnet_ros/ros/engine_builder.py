"""Builds engines in the background; only the newest wish counts. Knows nothing of ROS."""

from __future__ import annotations

import threading
from typing import Callable, NamedTuple, Optional

from espnet_ros.config import NodeConfig
from espnet_ros.engines.base import Engine


class BuildResult(NamedTuple):
    """How the building of one engine ended.

    Attributes:
        config: what was asked for.
        engine: the engine, already in use; None when the build failed.
        error: why it failed.
    """

    config: NodeConfig
    engine: Optional[Engine]
    error: Optional[Exception]


class EngineBuilder:
    """A thread that builds the engine asked for last.

    A wish that comes while another is being built waits; a newer one takes its place. An engine that nobody wishes for
    any more when it is ready is closed.

    Args:
        build: builds the engine of a configuration.
        adopt: puts a finished engine into use; called in the builder's thread.
        finished: told, in the builder's thread, that ``take_result`` has something.
    """

    def __init__(
        self,
        build: Callable[[NodeConfig], Engine],
        adopt: Callable[[NodeConfig, Engine], None],
        finished: Callable[[], None],
    ) -> None:
        self._build = build
        self._adopt = adopt
        self._finished = finished
        self._lock = threading.Lock()
        self._wish: Optional[NodeConfig] = None
        self._result: Optional[BuildResult] = None
        self._thread: Optional[threading.Thread] = None

    @property
    def wish(self) -> Optional[NodeConfig]:
        """What is being built or waits to be; None when there is nothing to do."""
        return self._wish

    def request(self, config: NodeConfig) -> None:
        """Build this, instead of anything asked for before."""
        with self._lock:
            self._wish = config
            self._result = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine builder", daemon=True)
                self._thread.start()

    def cancel(self) -> None:
        """Build nothing more. An engine under way is closed once it is ready."""
        with self._lock:
            self._wish = None
            self._result = None

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

    def _run(self) -> None:
        while True:
            with self._lock:
                config = self._wish
                if config is None:
                    self._thread = None
                    return
            result = self._build_one(config)
            with self._lock:
                is_newest = self._wish is config
                if is_newest:
                    self._wish = None
                    self._result = result
            # An engine that got into use and was unwished in the same moment has to be noticed too.
            if is_newest or result.engine is not None:
                self._finished()

    def _build_one(self, config: NodeConfig) -> BuildResult:
        engine: Optional[Engine] = None
        try:
            engine = self._build(config)
            with self._lock:
                is_wanted = self._wish is config
            if is_wanted:
                self._adopt(config, engine)
                return BuildResult(config, engine, None)
            engine.close()
            return BuildResult(config, None, None)
        except Exception as error:  # the thread's edge: the node shows what it was
            if engine is not None:
                engine.close()
            return BuildResult(config, None, error)
