"""Engines that are ready but not in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Callable, Container, Generic, Hashable, List, Optional, Tuple, TypeVar

from espnet_ros.engines.base import Engine

Key = TypeVar("Key", bound=Hashable)


class EnginePool(Generic[Key]):
    """Holds engines by what they were built from. Closes none: who takes one out owns it.

    The one that was put in last counts as the newest used. Any thread may use the pool.
    """

    def __init__(self) -> None:
        self._engines: OrderedDict[Key, Engine] = OrderedDict()
        self._lock = threading.Lock()

    def items(self) -> List[Tuple[Key, Engine]]:
        """All of them, the newest used first."""
        with self._lock:
            return list(reversed(self._engines.items()))

    def put(self, key: Key, engine: Engine) -> Optional[Engine]:
        """Take in an engine; returns the one that was there under the same key."""
        with self._lock:
            displaced = self._engines.pop(key, None)
            self._engines[key] = engine
            return displaced

    def take(self, key: Key, condition: Callable[[Engine], bool] = lambda engine: True) -> Optional[Engine]:
        """Hand out the engine with this key; None where there is none, or it does not meet the condition."""
        with self._lock:
            engine = self._engines.get(key)
            if engine is None or not condition(engine):
                return None
            return self._engines.pop(key)

    def take_oldest(self) -> Optional[Engine]:
        """Hand out the engine that was not used for longest; None where there is none."""
        with self._lock:
            return self._engines.popitem(last=False)[1] if self._engines else None

    def take_all_but(self, keys: Container[Key]) -> List[Engine]:
        """Hand out every engine that has none of these keys."""
        with self._lock:
            return [self._engines.pop(key) for key in list(self._engines) if key not in keys]
