"""The engine in use, and its replacement while images flow."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from enum import IntEnum
from typing import Callable, ContextManager, NamedTuple, Optional, Tuple

import numpy as np

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.base import Engine
from espnet_ros.engines.priority import low_priority
from espnet_ros.errors import BrokenEngineError, EngineError, describe_error
from espnet_ros.loading import resolve_spec
from espnet_ros.runtime.engine_builder import EngineBuilder
from espnet_ros.runtime.engine_parameters import changes_engine
from espnet_ros.runtime.engine_request import EngineRequest
from espnet_ros.runtime.ready_engines import ReadyEngines
from espnet_ros.segmenter import Segmenter, engine_summary
from espnet_ros.types import Segmentation

_POLL_PERIOD = 0.01  # s
_STAGES = ("looking for the weights", "building", "warming up")


class EngineState(IntEnum):
    """Engine states; the values are those of the message EngineStatus."""

    NONE = 0
    BUILDING = 1
    ACTIVE = 2
    REPLACING = 3
    FAILED = 4


class EngineReport(NamedTuple):
    """Snapshot of the engine's status.

    Attributes:
        state: the state.
        message: the last change, or why the last build failed.
        engine: the engine in use; None if there is none.
        takeover: which backend failed at run time, why, and which one took over; "" if none failed.
        is_broken: whether the engine in use fails and a substitute is being built.
        building: what is being built, and at which stage; "" if nothing is.
        progress: progress of the build from 0 to 1; -1 if nothing is being built.
        ready_alphas: alphas that can be used immediately, including the current one.
    """

    state: EngineState
    message: str
    engine: Optional[Engine] = None
    takeover: str = ""
    is_broken: bool = False
    building: str = ""
    progress: float = -1.0
    ready_alphas: Tuple[int, ...] = ()


class EngineExchange:
    """Holds the segmenter and replaces its engine when the configuration changes or the engine breaks.

    `segment` is called in one thread, all other methods in another.

    Args:
        changed: called, possibly in another thread, when the report has changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.segmenter: Optional[Segmenter] = None
        self._in_use: Optional[EngineRequest] = None
        self._config: Optional[NodeConfig] = None
        self._message = "no engine yet"
        self._has_failed = False
        self.is_building_first = False
        self._is_broken = False
        self._has_no_substitute = False
        self._stage: Optional[Tuple[EngineRequest, int]] = None
        self._changed = changed
        self._lock = threading.Lock()
        self._ready = ReadyEngines(self._build, changed)
        self._builder: EngineBuilder[EngineRequest] = EngineBuilder(
            self._build_requested, self._adopt, changed, self._run_idle_work
        )

    @property
    def engine(self) -> Optional[Engine]:
        """The engine in use; None if there is none."""
        segmenter = self.segmenter
        return None if segmenter is None else segmenter.engine

    @property
    def config(self) -> Optional[NodeConfig]:
        """The configuration the engine in use was built from; None if there is none."""
        return None if self._in_use is None else self._in_use.config

    @property
    def is_broken(self) -> bool:
        """Whether the engine in use fails and a substitute is being built; images are dropped until then."""
        return self._is_broken

    def report(self) -> EngineReport:
        """Return a snapshot of the status."""
        with self._lock:
            segmenter, in_use, stage = self.segmenter, self._in_use, self._stage
            report = EngineReport(self._state(), self._message, is_broken=self._is_broken)
        if stage is not None:
            request, index = stage
            report = report._replace(building=f"{request.title}: {_STAGES[index]}", progress=index / len(_STAGES))
        if segmenter is None or in_use is None:
            return report
        engine = segmenter.engine
        ready = sorted({engine.spec.checkpoint.alpha, *self._ready.list_alphas(segmenter, in_use)})
        return report._replace(
            engine=engine, takeover=in_use.explain_takeover(engine.backend), ready_alphas=tuple(ready)
        )

    def build_first(self, config: NodeConfig) -> None:
        """Build the first engine, in the calling thread.

        Raises:
            EspnetError: the engine cannot be built.
        """
        request = EngineRequest(config)
        self.is_building_first = True
        self._has_failed = False
        self._message = f"building {request.title}"
        try:
            engine = self._build(request)
            with self._lock:
                self.segmenter = Segmenter(engine, config.min_confidence, self._builder.wake)
                self._in_use, self._config = request, config
                self._message = engine_summary(engine)
        finally:
            self.is_building_first = False
        self._builder.wake()

    def fail(self, error: BaseException) -> None:
        """Record why there is no engine."""
        self._has_failed = True
        self._message = describe_error(error)

    def apply(self, config: NodeConfig) -> None:
        """Apply a changed configuration.

        If it needs another engine, a ready one is used from the next image on; any other is built in the background.
        """
        with self._lock:
            if self.segmenter is None or self._in_use is None:
                return
            self.segmenter.min_confidence = config.min_confidence
            self._config = config
            request = self._builder.requested or self._in_use
            if changes_engine(request.config, config):
                self._change_engine(self.segmenter, self._in_use, config)
        self._builder.wake()

    def segment(self, pixels: np.ndarray, channel_order: str, with_confidence: bool) -> Segmentation:
        """Segment one image, see `Segmenter.segment`. If the engine breaks, start building a substitute.

        Raises:
            ImageError: the image cannot be used.
            EngineError: there is no engine, or the engine failed.
        """
        segmenter = self.segmenter
        if segmenter is None:
            raise EngineError("there is no engine")
        try:
            return segmenter.segment(pixels, channel_order, with_confidence)
        except BrokenEngineError as error:
            self._replace_broken(error)
            raise

    def take_error(self) -> str:
        """Return why the newest build failed, once; "" if it did not fail."""
        result = self._builder.take_result()
        if result is None or result.error is None:
            return ""
        with self._lock:
            self._has_failed = True
            self._is_broken = False
            self._message = error = describe_error(result.error)
            if result.request.failed:
                self._has_no_substitute = True
                self._message = f"backend {result.request.failed[-1][0]} failed, no other works: {error}"
        return error

    def release(self) -> None:
        """Free the engines. An engine that is being built is closed when it is finished."""
        self._builder.cancel()
        with self._lock:
            segmenter, self.segmenter, self._in_use = self.segmenter, None, None
            self._has_failed = self._is_broken = self._has_no_substitute = False
            self._message = "no engine"
        if segmenter is not None:
            segmenter.close()
        self._builder.wake()

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a build in progress. Return whether there is none any more."""
        deadline = time.monotonic() + timeout
        is_idle = self._builder.join(timeout)
        while self.is_building_first and time.monotonic() < deadline:
            time.sleep(_POLL_PERIOD)
        return is_idle and not self.is_building_first

    def _state(self) -> EngineState:
        if self.is_building_first:
            return EngineState.BUILDING
        if self._builder.requested is not None:
            return EngineState.REPLACING
        if self._has_failed:
            return EngineState.FAILED
        return EngineState.NONE if self.segmenter is None else EngineState.ACTIVE

    def _change_engine(self, segmenter: Segmenter, in_use: EngineRequest, config: NodeConfig) -> None:
        self._has_failed = self._has_no_substitute = False
        self._ready.forget_failures()
        request = EngineRequest(config)
        if not changes_engine(in_use.config, config):
            self._builder.cancel()
            self._is_broken = False  # if it still is, the next image shows it
            self._message = engine_summary(segmenter.engine)
            return
        engine = self._ready.take(request, segmenter)
        if engine is None:
            self._message = f"building {request.title}"
            self._builder.request(request)
        else:
            self._builder.cancel()
            self._put_into_use(segmenter, in_use, request, engine)

    def _put_into_use(
        self, segmenter: Segmenter, in_use: EngineRequest, request: EngineRequest, engine: Engine
    ) -> None:
        old = segmenter.use(engine)
        if self._is_broken:
            self._ready.discard(old)
        else:
            self._ready.put(in_use, old)
        self._in_use = request
        self._is_broken = self._has_failed = self._has_no_substitute = False
        takeover = request.explain_takeover(engine.backend)
        self._message = f"{takeover}: {engine_summary(engine)}" if takeover else engine_summary(engine)

    def _replace_broken(self, error: BrokenEngineError) -> None:
        with self._lock:
            in_use, segmenter = self._in_use, self.segmenter
            if in_use is None or segmenter is None or error.engine is not segmenter.engine:
                return
            if in_use.config.backend != "auto" or self._is_broken or self._has_no_substitute:
                return
            self._is_broken = True
            if self._builder.requested is None:  # else another engine is being built already
                backend = error.engine.backend
                self._message = f"backend {backend} failed ({error}); building a substitute"
                self._builder.request(in_use.excluding(backend, str(error)))
        self._changed()

    # Called in the builder's thread

    def _build_requested(self, request: EngineRequest) -> Engine:
        engine = self._ready.take(request)
        return self._build(request) if engine is None else self._warm_up(request, engine)

    def _build(self, request: EngineRequest) -> Engine:
        try:
            with self._priority():
                self._note_stage(request, 0)
                spec = resolve_spec(request.config)
                self._note_stage(request, 1)
                engine = build_engine(spec, dict(request.failed))
            engine.reason = request.explain_takeover(engine.backend) or engine.reason
            return self._warm_up(request, engine)
        finally:
            self._stage = None

    def _warm_up(self, request: EngineRequest, engine: Engine) -> Engine:
        segmenter = self.segmenter
        if segmenter is None:
            return engine
        try:
            self._note_stage(request, 2)
            with self._priority():
                segmenter.warm_up(engine)
        except BaseException:
            engine.close()
            raise
        finally:
            self._stage = None
        return engine

    def _priority(self) -> ContextManager[None]:
        """Low priority while images are processed, so that the build does not slow them down."""
        return nullcontext() if self.segmenter is None or self._is_broken else low_priority()

    def _note_stage(self, request: EngineRequest, index: int) -> None:
        self._stage = (request, index)
        self._changed()

    def _adopt(self, request: EngineRequest, engine: Engine) -> bool:
        with self._lock:
            segmenter, in_use = self.segmenter, self._in_use
            if segmenter is None or in_use is None or self._builder.requested is not request:
                self._ready.put(request, engine)
                return False
            self._put_into_use(segmenter, in_use, request, engine)
            return True

    def _run_idle_work(self) -> bool:
        with self._lock:
            segmenter, in_use, config = self.segmenter, self._in_use, self._config
        return self._ready.run_idle_work(segmenter, in_use, config)
