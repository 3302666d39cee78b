"""The engine in use, the one that shall be, and how far the change has come."""

from __future__ import annotations

import threading
from typing import Callable, Optional

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.base import Engine
from espnet_ros.engines.resolve import resolve_spec
from espnet_ros.errors import EspnetError
from espnet_ros.msg import EngineStatus
from espnet_ros.ros.engine_builder import BuildResult, EngineBuilder
from espnet_ros.ros.parameters import changes_engine
from espnet_ros.segmenter import Segmenter, engine_summary


def explain(error: Exception) -> str:
    """An error as a user should read it: our own messages say it all, others need their type."""
    return str(error) if isinstance(error, EspnetError) else f"{type(error).__name__}: {error}"


class EngineControl:
    """Holds the segmenter and exchanges its engine when the configuration asks for another.

    Args:
        changed: told, maybe in another thread, that an engine came into use or could not be built.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.segmenter: Optional[Segmenter] = None
        self.config: Optional[NodeConfig] = None
        self.message = "no engine yet"
        self._has_failed = False
        self._is_building_first = False
        self._lock = threading.Lock()
        self._builder = EngineBuilder(_build, self._adopt, changed)

    @property
    def engine(self) -> Optional[Engine]:
        """The engine in use."""
        segmenter = self.segmenter
        return None if segmenter is None else segmenter.engine

    @property
    def state(self) -> int:
        """One of the states of EngineStatus."""
        if self._is_building_first:
            return int(EngineStatus.BUILDING)
        if self._builder.wish is not None:
            return int(EngineStatus.REPLACING)
        if self._has_failed:
            return int(EngineStatus.FAILED)
        return int(EngineStatus.NONE if self.segmenter is None else EngineStatus.ACTIVE)

    def begin(self, config: NodeConfig) -> None:
        """Say that the first engine is being built; ``build_first`` does it."""
        self._is_building_first = True
        self._has_failed = False
        self.message = f"building {config.weights} for backend {config.backend}"

    def build_first(self, config: NodeConfig) -> None:
        """Build an engine here and now, where there is none yet.

        Raises:
            EspnetError: it cannot be built.
        """
        try:
            engine = _build(config)
            self.segmenter = Segmenter(engine, config.min_confidence)
            self.config = config
            self.message = engine_summary(engine)
        finally:
            self._is_building_first = False

    def fail(self, error: Exception) -> None:
        """Keep why there is no engine."""
        self._has_failed = True
        self.message = explain(error)

    def apply(self, config: NodeConfig) -> bool:
        """Take over a changed configuration; build another engine in the background where it asks for one.

        Returns:
            Whether the building of an engine began or was called off.
        """
        if self.segmenter is None or self.config is None:
            return False
        self.segmenter.min_confidence = config.min_confidence
        wish = self._builder.wish
        if changes_engine(wish or self.config, config):
            if changes_engine(self.config, config):
                self._has_failed = False
                self.message = f"building {config.weights} (alpha {config.alpha}) for backend {config.backend}"
                self._builder.request(config)
            else:
                self._builder.cancel()
                self.message = engine_summary(self.engine)
            return True
        return False

    def take_result(self) -> Optional[BuildResult]:
        """How the newest build ended, once; None when none has."""
        result = self._builder.take_result()
        if result is not None and result.error is not None:
            self._has_failed = True
            self.message = explain(result.error)
        elif result is not None:
            self._has_failed = False
            self.message = engine_summary(result.engine)
        return result

    def release(self) -> None:
        """Free the engine. One that is being built is closed when it is ready."""
        self._builder.cancel()
        with self._lock:
            segmenter, self.segmenter, self.config = self.segmenter, None, None
        if segmenter is not None:
            segmenter.close()
        self._has_failed = False
        self.message = "no engine"

    def join(self, timeout: float) -> None:
        """Wait, for ``timeout`` seconds at most, for an engine that is still being built."""
        self._builder.join(timeout)

    def _adopt(self, config: NodeConfig, engine: Engine) -> None:
        with self._lock:
            if self.segmenter is None:
                engine.close()
                return
            self.segmenter.replace_engine(engine)
            self.config = config


def _build(config: NodeConfig) -> Engine:
    return build_engine(resolve_spec(config))
