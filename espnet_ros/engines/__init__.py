"""Inference engines behind one protocol, and the choice between them."""

from espnet_ros.engines.base import Engine, EngineOutput, EngineSpec
from espnet_ros.engines.selection import build_engine, choose_backend

__all__ = ["Engine", "EngineOutput", "EngineSpec", "build_engine", "choose_backend"]
