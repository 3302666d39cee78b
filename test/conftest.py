"""What tests share. Real data lies beside the repository, in ../shared; tests that need it skip without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lanes import ROS_FOLDER, FastLaneGuard, assign_lanes
from ros_domain import use_own_domain
from signals import reset_signals

REPOSITORY = Path(__file__).resolve().parents[1]
_SHARED = REPOSITORY.parent / "shared"

reset_signals()


def pytest_configure(config):
    config.pluginmanager.register(FastLaneGuard(), "fast_lane_guard")


def pytest_ignore_collect(collection_path, config):
    """Save the fast lane the imports of ROS."""
    return (
        True if config.option.markexpr == "fast" and ROS_FOLDER in (collection_path, *collection_path.parents) else None
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    assign_lanes(items)


def pytest_collection_finish(session):
    """Each process that runs ROS tests has a ROS domain of its own until it ends."""
    if any(item.get_closest_marker("ros") for item in session.items):
        session.config.stash[_DOMAIN_LOCK] = use_own_domain()


_DOMAIN_LOCK = pytest.StashKey()


def _need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"needs real data: {path.relative_to(REPOSITORY.parent)} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def published_weights() -> Path:
    """Folder with the published checkpoints."""
    return _need(_SHARED / "espnet_weights")


@pytest.fixture(scope="session")
def camvid_val() -> Path:
    """Folder with ``images`` and ``labels`` of CamVid's val split."""
    return _need(_SHARED / "camvid" / "val")


@pytest.fixture(scope="session")
def cityscapes_samples() -> Path:
    """Folder with two Cityscapes images, 2048x1024."""
    return _need(_SHARED / "cityscapes_samples")


@pytest.fixture(scope="session")
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Engine cache that the whole test run shares, so that each network is converted once."""
    return str(tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="session")
def untrained_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An untrained ESPNet, alpha 3, for 48x64, with lively batch normalisation, so that every class occurs."""
    torch = pytest.importorskip("torch", reason="needs PyTorch")

    from espnet_ros.model.checkpoint import select_checkpoint
    from espnet_ros.model.loading import build_network

    path = tmp_path_factory.mktemp("weights") / "untrained.pth"
    torch.manual_seed(0)
    network = build_network("espnet", 3, 12, 19)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.3)
    torch.save(network.state_dict(), path)
    facts = {
        "network": "espnet", "alpha": 3, "classes": "camvid", "mean_bgr": [110, 108, 105], "std_bgr": [72, 73, 70],
        "input_size": [48, 64], "divisor": 1,
    }  # fmt: skip
    path.with_suffix(".yaml").write_text(yaml.safe_dump(facts))
    return select_checkpoint(str(path), "espnet", 3)


@pytest.fixture
def color_image() -> np.ndarray:
    """(48, 64, 3) uint8 with every pixel different from its neighbours."""
    rows, columns = np.mgrid[0:48, 0:64]
    return np.stack([rows * 5, columns * 4, (rows * 64 + columns) % 256], axis=2).astype(np.uint8)


@pytest.fixture
def tx2(tmp_path):
    """A folder that looks like a TX2's root, with its programs."""
    from fake_board.tx2 import Tx2

    return Tx2(tmp_path)


@pytest.fixture
def service(tx2, monkeypatch):
    """The jtop service, running on the board; the package jtop is installed."""
    from espnet_ros.board import jetson_stats

    monkeypatch.syspath_prepend(str(Path(__file__).parent / "board/fake_board"))
    monkeypatch.delitem(sys.modules, "jtop", raising=False)
    monkeypatch.setattr(jetson_stats, "REFUSAL_DELAY", 0.5)
    import jtop

    jtop.SERVICE.board = tx2
    tx2.listens()
    yield jtop.SERVICE
    jtop.SERVICE.state = "running"
    sys.modules.pop("jtop", None)
