"""Engines besides the one in use: ready ones for other alphas, and unneeded ones that are to be freed."""

from __future__ import annotations

import logging
import threading
from typing import Callable, List, Optional, Set

from espnet_ros.config import NodeConfig
from espnet_ros.engines.base import Engine
from espnet_ros.engines.memory import available_memory, return_free_memory
from espnet_ros.engines.pool import EnginePool
from espnet_ros.engines.priority import low_priority
from espnet_ros.errors import EngineError, EspnetError
from espnet_ros.runtime.engine_request import EngineKey, EngineRequest
from espnet_ros.segmenter import Segmenter

_logger = logging.getLogger(__name__)


class ReadyEngines:
    """Builds engines ahead, keeps them warm, and frees unneeded ones.

    `run_idle_work` is called in one thread, the other methods in any.

    Args:
        build: builds an engine and warms it up.
        changed: called when the set of ready engines has changed.
    """

    def __init__(self, build: Callable[[EngineRequest], Engine], changed: Callable[[], None]) -> None:
        self._build = build
        self._changed = changed
        self._pool: EnginePool[EngineKey] = EnginePool()
        self._lock = threading.Lock()
        self._unneeded: List[Engine] = []
        self._unbuildable: Set[EngineKey] = set()

    def put(self, request: EngineRequest, engine: Engine) -> None:
        """Add an engine that is not in use. It is freed later if it is not needed."""
        displaced = self._pool.put(request.key, engine)
        if displaced is not None:
            self.discard(displaced)

    def discard(self, engine: Engine) -> None:
        """Add an engine that is to be freed."""
        with self._lock:
            self._unneeded.append(engine)

    def take(self, request: EngineRequest, segmenter: Optional[Segmenter] = None) -> Optional[Engine]:
        """Remove and return an engine; None if it is missing or, given a segmenter, not warm for the current images."""
        return self._pool.take(request.key, segmenter.is_warm if segmenter else lambda engine: True)

    def list_alphas(self, segmenter: Segmenter, in_use: EngineRequest) -> List[int]:
        """Return the alphas of warm engines besides the one in use, ascending."""
        keys = {request.key for request in in_use.other_alphas()}
        ready = (engine for key, engine in self._pool.items() if key in keys and segmenter.is_warm(engine))
        return sorted(engine.spec.checkpoint.alpha for engine in ready)

    def forget_failures(self) -> None:
        """Forget which engines could not be built, so that they are tried again."""
        with self._lock:
            self._unbuildable.clear()

    def run_idle_work(
        self, segmenter: Optional[Segmenter], in_use: Optional[EngineRequest], config: Optional[NodeConfig]
    ) -> bool:
        """Free unneeded engines, then free, build or warm up one more engine.

        Below ``ready_min_memory`` of available memory, least recently used engines are freed and none is built.

        Args:
            segmenter: the segmenter; None if there is no engine in use.
            in_use: the request of the engine in use.
            config: the node's parameters.

        Returns:
            Whether there may be more to do.
        """
        if segmenter is None or in_use is None or config is None:
            _free(self._take_unneeded([]), None)
            return False
        wanted = [request for request in in_use.other_alphas() if request.config.alpha in config.ready_alphas]
        _free(self._take_unneeded(wanted), segmenter)
        if available_memory() < config.ready_min_memory:
            oldest = self._pool.take_oldest()
            if oldest is None:
                return False
            _free([oldest], segmenter)
            self._changed()
            return True
        return any(self._make_ready(request, segmenter) for request in wanted)

    def _take_unneeded(self, wanted: List[EngineRequest]) -> List[Engine]:
        unneeded = self._pool.take_all_but({request.key for request in wanted})
        with self._lock:
            unneeded += self._unneeded
            self._unneeded = []
        return unneeded

    def _make_ready(self, request: EngineRequest, segmenter: Segmenter) -> bool:
        """Build or warm up one engine. Return False if it was ready already or cannot be built."""
        if request.key in self._unbuildable:
            return False
        engine = self._pool.take(request.key, lambda engine: not segmenter.is_warm(engine))
        if engine is None and any(key == request.key for key, _ in self._pool.items()):
            return False
        try:
            self.put(request, self._build(request) if engine is None else _warm_up(engine, segmenter))
        except EspnetError as error:
            with self._lock:
                self._unbuildable.add(request.key)
            _logger.warning("cannot keep an engine for alpha %s ready: %s", request.config.alpha, error)
        self._changed()
        return True


def _free(engines: List[Engine], segmenter: Optional[Segmenter]) -> None:
    """Free engines, one of which may still be processing an image, and empty the list."""
    if not engines:
        return
    while engines:
        if segmenter is None:
            engines.pop().close()
        else:
            segmenter.retire(engines.pop())
    return_free_memory()


def _warm_up(engine: Engine, segmenter: Segmenter) -> Engine:
    try:
        with low_priority():
            segmenter.warm_up(engine)
    except EngineError:
        engine.close()
        raise
    return engine
