import os
import subprocess
import sys

import pytest

from espnet_ros.engines import choose_backend, selection
from espnet_ros.errors import EngineError


@pytest.fixture
def machine(monkeypatch):
    """Sets which modules are installed and whether an NVIDIA device is there."""

    def describe(modules, nvidia):
        monkeypatch.setattr(selection, "_is_installed", lambda module: module in modules)
        monkeypatch.setattr(selection, "_has_nvidia_device", lambda: nvidia)

    return describe


@pytest.mark.parametrize(
    ("modules", "nvidia", "backend", "reason"),
    [
        ({"torch", "openvino"}, False, "openvino", "no NVIDIA device"),
        ({"torch", "openvino"}, True, "torch", "an NVIDIA device is present"),
        ({"openvino"}, True, "openvino", "no NVIDIA device that torch can use"),
        ({"torch"}, False, "torch", "openvino is not installed"),
    ],
)
def test_auto_says_what_it_chose_and_why(machine, modules, nvidia, backend, reason):
    machine(modules, nvidia)
    choice = choose_backend("auto")
    assert choice.backend == backend
    assert reason in choice.reason


def test_auto_without_any_backend_is_refused(machine):
    machine(set(), False)
    with pytest.raises(EngineError, match="neither openvino nor torch is installed"):
        choose_backend("auto")


def test_a_backend_that_is_not_installed_is_refused(machine):
    machine({"torch"}, False)
    with pytest.raises(EngineError, match="backend 'openvino' is not installed"):
        choose_backend("openvino")


_START = """
import sys
import numpy as np
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.resolve import resolve_spec
folders = {"weights_dir": sys.argv[1], "engine_cache": sys.argv[2]}
config = NodeConfig(weights="cityscapes", alpha=3, backend="openvino", **folders)
engine = build_engine(resolve_spec(config))
engine.infer(np.zeros((512, 1024, 3), np.uint8))
print("torch" in sys.modules)
"""


def test_openvino_never_imports_torch_into_its_process(published_weights, engine_cache):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in ("converted", "from the cache"):
        command = [sys.executable, "-c", _START, str(published_weights), engine_cache]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout.split()[-1] == "False"
