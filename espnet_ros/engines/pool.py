"""Pool of engines that are ready but not in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Callable, Container, Generic, Hashable, List, Optional, Tuple, TypeVar

from espnet_ros.engines.base import Engine

Key = TypeVar("Key", bound=Hashable)


class EnginePool(Generic[Key]):
    """Holds engines by key, in order of use: the engine put in last is the most recently used.

    The pool never closes an engine: whoever takes one out owns it. Thread-safe.
    """

    def __init__(self) -> None:
        self._engines: OrderedDict[Key, Engine] = OrderedDict()
        self._lock = threading.Lock()

    def items(self) -> List[Tuple[Key, Engine]]:
        """Return keys and engines, the most recently used first."""
        with self._lock:
            return list(reversed(self._engines.items()))

    def put(self, key: Key, engine: Engine) -> Optional[Engine]:
        """Add an engine and return the one that it replaces, if any."""
        with self._lock:
            replaced = self._engines.pop(key, None)
            self._engines[key] = engine
            return replaced

    def take(self, key: Key, condition: Callable[[Engine], bool] = lambda engine: True) -> Optional[Engine]:
        """Remove and return the engine with this key; None if there is none or it does not meet the condition."""
        with self._lock:
            engine = self._engines.get(key)
            if engine is None or not condition(engine):
                return None
            return self._engines.pop(key)

    def take_oldest(self) -> Optional[Engine]:
        """Remove and return the least recently used engine; None if the pool is empty."""
        with self._lock:
            return self._engines.popitem(last=False)[1] if self._engines else None

    def take_all_but(self, keys: Container[Key]) -> List[Engine]:
        """Remove and return all engines except those with these keys."""
        with self._lock:
            return [self._engines.pop(key) for key in list(self._engines) if key not in keys]
