"""Inference engines behind one protocol, the choice between them, and the cache of built engines.

``base.py`` has the protocols, ``selection.py`` chooses and builds, ``cache.py`` keeps what was built. Each backend is a
module ``*_engine.py`` or a folder. Engines that convert the network do so in a child process (``*_export.py``).
May import model, config and the rooms below them. Synthetic and evaluation are above: calibration images are handed in
with the spec. Start with ``base.py``, then ``selection.py``.
"""

from espnet_ros.engines.base import Engine, EngineOutput, EngineSpec
from espnet_ros.engines.selection import build_engine, choose_backend

__all__ = ["Engine", "EngineOutput", "EngineSpec", "build_engine", "choose_backend"]
