"""The TX2 that the tests of the board are run on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def tx2(tmp_path):
    """A folder that looks like a TX2's root, with its programs."""
    from board.tx2 import Tx2

    return Tx2(tmp_path)


@pytest.fixture
def service(tx2, monkeypatch):
    """The jtop service, running on the board; the package jtop is installed."""
    from espnet_ros.power import jetson_stats

    monkeypatch.syspath_prepend(str(Path(__file__).parent / "board"))
    monkeypatch.delitem(sys.modules, "jtop", raising=False)
    monkeypatch.setattr(jetson_stats, "REFUSAL_DELAY", 0.5)
    import jtop

    jtop.SERVICE.board = tx2
    tx2.listens()
    yield jtop.SERVICE
    jtop.SERVICE.state = "running"
    sys.modules.pop("jtop", None)
