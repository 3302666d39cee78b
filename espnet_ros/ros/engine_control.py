"""The engine in use, the one that shall be, and how far the change has come."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Callable, ContextManager, NamedTuple, Optional, Tuple

import numpy as np

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.base import Engine
from espnet_ros.engines.priority import low_priority
from espnet_ros.engines.resolve import resolve_spec
from espnet_ros.errors import BrokenEngineError, EngineError, EspnetError
from espnet_ros.msg import EngineStatus
from espnet_ros.ros.engine_builder import BuildResult, EngineBuilder
from espnet_ros.ros.engine_wish import EngineWish
from espnet_ros.ros.parameters import changes_engine
from espnet_ros.ros.ready_engines import ReadyEngines
from espnet_ros.segmenter import Segmenter, engine_summary
from espnet_ros.types import Segmentation

_STAGES = ("looking for the weights", "building", "warming up")


def explain(error: Exception) -> str:
    """An error as a user should read it: our own messages say it all, others need their type."""
    return str(error) if isinstance(error, EspnetError) else f"{type(error).__name__}: {error}"


class EngineReport(NamedTuple):
    """What there is to say about the engine at one moment.

    Attributes:
        state: one of the states of EngineStatus.
        message: the last change, or why the last build failed.
        engine: the engine in use.
        takeover: which backend failed while it ran, why, and which one has its place; "" where none failed.
        is_broken: the engine in use fails, and images wait for a substitute.
        building: what is being built, and which stage it is in; "" for nothing.
        progress: of the building, 0 to 1; -1 for nothing.
        ready_alphas: alphas that a change reaches at once, the one in use included.
    """

    state: int
    message: str
    engine: Optional[Engine] = None
    takeover: str = ""
    is_broken: bool = False
    building: str = ""
    progress: float = -1.0
    ready_alphas: Tuple[int, ...] = ()


class EngineControl:
    """Holds the segmenter and exchanges its engine when the configuration asks for another, or the engine breaks.

    ``segment`` is called in one thread, all else in another.

    Args:
        changed: told, maybe in another thread, that the report has changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.segmenter: Optional[Segmenter] = None
        self._in_use: Optional[EngineWish] = None
        self._config: Optional[NodeConfig] = None
        self._message = "no engine yet"
        self._has_failed = False
        self.is_building_first = False
        self._is_broken = False
        self._has_no_substitute = False
        self._stage: Optional[Tuple[EngineWish, int]] = None
        self._changed = changed
        self._lock = threading.Lock()
        self._ready = ReadyEngines(self._build, changed)
        self._builder: EngineBuilder[EngineWish] = EngineBuilder(self._build_wish, self._adopt, changed, self._tend)

    @property
    def engine(self) -> Optional[Engine]:
        """The engine in use."""
        segmenter = self.segmenter
        return None if segmenter is None else segmenter.engine

    @property
    def config(self) -> Optional[NodeConfig]:
        """The parameters that the engine in use was built from."""
        return None if self._in_use is None else self._in_use.config

    @property
    def is_broken(self) -> bool:
        """Whether the engine in use fails and a substitute is being built, so that no image can be answered."""
        return self._is_broken

    def report(self) -> EngineReport:
        """How the engine is."""
        with self._lock:
            segmenter, in_use, stage = self.segmenter, self._in_use, self._stage
            report = EngineReport(self._state(), self._message, is_broken=self._is_broken)
        if stage is not None:
            wish, index = stage
            report = report._replace(building=f"{wish.title}: {_STAGES[index]}", progress=index / len(_STAGES))
        if segmenter is None or in_use is None:
            return report
        engine = segmenter.engine
        ready = sorted({engine.spec.checkpoint.alpha, *self._ready.list_alphas(segmenter, in_use)})
        return report._replace(
            engine=engine, takeover=in_use.explain_takeover(engine.backend), ready_alphas=tuple(ready)
        )

    def build_first(self, config: NodeConfig) -> None:
        """Build an engine here and now, where there is none yet.

        Raises:
            EspnetError: it cannot be built.
        """
        wish = EngineWish(config)
        self.is_building_first = True
        self._has_failed = False
        self._message = f"building {wish.title}"
        try:
            engine = self._build(wish)
            with self._lock:
                self.segmenter = Segmenter(engine, config.min_confidence, self._builder.wake)
                self._in_use, self._config = wish, config
                self._message = engine_summary(engine)
        finally:
            self.is_building_first = False
        self._builder.wake()

    def fail(self, error: Exception) -> None:
        """Keep why there is no engine."""
        self._has_failed = True
        self._message = explain(error)

    def apply(self, config: NodeConfig) -> None:
        """Take over a changed configuration.

        Where it asks for another engine, one that is ready is in use from the next image on, any other is built in the
        background.
        """
        with self._lock:
            if self.segmenter is None or self._in_use is None:
                return
            self.segmenter.min_confidence = config.min_confidence
            self._config = config
            wish = self._builder.wish or self._in_use
            if changes_engine(wish.config, config):
                self._change_engine(self.segmenter, self._in_use, config)
        self._builder.wake()

    def segment(self, pixels: np.ndarray, channel_order: str, with_confidence: bool) -> Segmentation:
        """Label one image; see ``Segmenter.segment``. Sees to a substitute for an engine that breaks.

        Raises:
            ImageError: the image cannot be used.
            EngineError: there is no engine, or it failed.
        """
        segmenter = self.segmenter
        if segmenter is None:
            raise EngineError("there is no engine")
        try:
            return segmenter.segment(pixels, channel_order, with_confidence)
        except BrokenEngineError as error:
            self._replace_broken(error)
            raise

    def take_result(self) -> Optional[BuildResult]:
        """How the newest build ended, once; None when none has."""
        result = self._builder.take_result()
        if result is not None and result.error is not None:
            with self._lock:
                self._has_failed = True
                self._is_broken = False
                self._message = explain(result.error)
                if result.wish.failed:
                    self._has_no_substitute = True
                    self._message = f"backend {result.wish.failed[-1][0]} failed, no other works: {self._message}"
        return result

    def release(self) -> None:
        """Free the engines. One that is being built is closed when it is ready."""
        self._builder.cancel()
        with self._lock:
            segmenter, self.segmenter, self._in_use = self.segmenter, None, None
            self._has_failed = self._is_broken = self._has_no_substitute = False
            self._message = "no engine"
        if segmenter is not None:
            segmenter.close()
        self._builder.wake()

    def join(self, timeout: float) -> None:
        """Wait, for ``timeout`` seconds at most, for an engine that is still being built."""
        self._builder.join(timeout)

    def _state(self) -> int:
        if self.is_building_first:
            return int(EngineStatus.BUILDING)
        if self._builder.wish is not None:
            return int(EngineStatus.REPLACING)
        if self._has_failed:
            return int(EngineStatus.FAILED)
        return int(EngineStatus.NONE if self.segmenter is None else EngineStatus.ACTIVE)

    def _change_engine(self, segmenter: Segmenter, in_use: EngineWish, config: NodeConfig) -> None:
        self._has_failed = self._has_no_substitute = False
        self._ready.forget_failures()
        wish = EngineWish(config)
        if not changes_engine(in_use.config, config):
            self._builder.cancel()
            self._is_broken = False  # if it was, its next image tells
            self._message = engine_summary(segmenter.engine)
            return
        engine = self._ready.take(wish, segmenter)
        if engine is None:
            self._message = f"building {wish.title}"
            self._builder.request(wish)
        else:
            self._builder.cancel()
            self._put_into_use(segmenter, in_use, wish, engine)

    def _put_into_use(self, segmenter: Segmenter, in_use: EngineWish, wish: EngineWish, engine: Engine) -> None:
        old = segmenter.use(engine)
        if self._is_broken:
            self._ready.discard(old)
        else:
            self._ready.put(in_use, old)
        self._in_use = wish
        self._is_broken = self._has_failed = self._has_no_substitute = False
        takeover = wish.explain_takeover(engine.backend)
        self._message = f"{takeover}: {engine_summary(engine)}" if takeover else engine_summary(engine)

    def _replace_broken(self, error: BrokenEngineError) -> None:
        with self._lock:
            in_use, segmenter = self._in_use, self.segmenter
            if in_use is None or segmenter is None or error.engine is not segmenter.engine:
                return
            if in_use.config.backend != "auto" or self._is_broken or self._has_no_substitute:
                return
            self._is_broken = True
            if self._builder.wish is None:  # else another engine is on its way already
                backend = error.engine.backend
                self._message = f"backend {backend} failed ({error}); building a substitute"
                self._builder.request(in_use.without(backend, str(error)))
        self._changed()

    # In the builder's thread

    def _build_wish(self, wish: EngineWish) -> Engine:
        engine = self._ready.take(wish)
        return self._build(wish) if engine is None else self._warm_up(wish, engine)

    def _build(self, wish: EngineWish) -> Engine:
        try:
            with self._priority():
                self._note_stage(wish, 0)
                spec = resolve_spec(wish.config)
                self._note_stage(wish, 1)
                engine = build_engine(spec, dict(wish.failed))
            engine.reason = wish.explain_takeover(engine.backend) or engine.reason
            return self._warm_up(wish, engine)
        finally:
            self._stage = None

    def _warm_up(self, wish: EngineWish, engine: Engine) -> Engine:
        segmenter = self.segmenter
        if segmenter is None:
            return engine
        try:
            self._note_stage(wish, 2)
            with self._priority():
                segmenter.warm_up(engine)
        except BaseException:
            engine.close()
            raise
        finally:
            self._stage = None
        return engine

    def _priority(self) -> ContextManager[None]:
        """Low where a stream of images has to keep its rate meanwhile."""
        return nullcontext() if self.segmenter is None or self._is_broken else low_priority()

    def _note_stage(self, wish: EngineWish, index: int) -> None:
        self._stage = (wish, index)
        self._changed()

    def _adopt(self, wish: EngineWish, engine: Engine) -> bool:
        with self._lock:
            segmenter, in_use = self.segmenter, self._in_use
            if segmenter is None or in_use is None or self._builder.wish is not wish:
                self._ready.put(wish, engine)
                return False
            self._put_into_use(segmenter, in_use, wish, engine)
            return True

    def _tend(self) -> bool:
        with self._lock:
            segmenter, in_use, config = self.segmenter, self._in_use, self._config
        return self._ready.tend(segmenter, in_use, config)
