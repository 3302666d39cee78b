import os
import subprocess
import sys
from dataclasses import replace

import pytest

from espnet_ros.calibration import StreetImages
from espnet_ros.engines import EngineSpec, build_engine, choose_backend, selection
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.errors import EngineError


@pytest.fixture
def machine(monkeypatch):
    """Sets which modules are installed and whether an NVIDIA device is there."""

    def describe(modules, nvidia):
        monkeypatch.setattr(selection, "is_installed", lambda module: module in modules)
        monkeypatch.setattr(selection, "has_nvidia_device", lambda: nvidia)

    return describe


@pytest.mark.parametrize(
    ("modules", "nvidia", "backend", "reason"),
    [
        ({"torch", "openvino", "llvmlite"}, False, "native", "the fastest on a CPU"),
        ({"torch", "openvino", "tensorrt"}, False, "openvino", "fast on any CPU"),
        ({"torch", "openvino", "tensorrt"}, True, "tensorrt", "an NVIDIA device is present"),
        ({"torch", "openvino"}, True, "torch", "an NVIDIA device is present"),
        ({"openvino"}, True, "openvino", "fast on any CPU"),
        ({"torch", "onnxruntime"}, False, "onnxruntime", "runs on any CPU"),
        ({"torch"}, False, "torch", "runs anywhere"),
    ],
)
def test_auto_says_what_it_chose_and_why(machine, modules, nvidia, backend, reason):
    machine(modules, nvidia)
    choice = choose_backend("auto")
    assert choice.backend == backend
    assert reason in choice.reason


def test_auto_without_any_backend_is_refused(machine):
    machine(set(), False)
    with pytest.raises(EngineError, match="tensorrt: no NVIDIA device; .* native: Python module 'llvmlite' is not"):
        choose_backend("auto")


def test_a_backend_that_is_not_installed_is_refused(machine):
    machine({"torch"}, False)
    with pytest.raises(EngineError, match="'openvino' cannot be used: .* module 'openvino' is not installed"):
        choose_backend("openvino")


@pytest.fixture
def spec(untrained_checkpoint, engine_cache):
    checkpoint = untrained_checkpoint
    return EngineSpec(
        checkpoint,
        checkpoint.load_class_table(),
        checkpoint.input_size,
        cache=engine_cache,
        calibration=StreetImages(),
    )


def _break(monkeypatch, **errors):
    """Make backends fail with these errors; the fake engine stands for those that work."""

    def fail(error):
        def build(spec, candidate):
            raise error

        return build

    working = dict.fromkeys(selection.BUILDERS, lambda spec, candidate: FakeEngine(spec, reason=candidate.reason))
    monkeypatch.setattr(selection, "BUILDERS", {**working, **{name: fail(error) for name, error in errors.items()}})


def test_auto_falls_back_and_says_why(machine, monkeypatch, spec, caplog):
    machine({"torch", "llvmlite", "openvino", "tensorrt", "onnxruntime"}, True)
    _break(monkeypatch, tensorrt=EngineError("no memory"), torch=ImportError("libcudnn.so.9"))
    engine = build_engine(spec)
    assert engine.reason == "auto: the fastest on a CPU; tensorrt: no memory; torch: libcudnn.so.9"
    assert [record.getMessage() for record in caplog.records] == [
        "backend tensorrt cannot be used: no memory",
        "backend torch cannot be loaded: libcudnn.so.9",
    ]


def test_an_excluded_backend_is_not_tried(machine, monkeypatch, spec):
    machine({"openvino", "onnxruntime"}, False)
    _break(monkeypatch)
    assert "openvino: failed earlier" in build_engine(spec, excluded={"openvino"}).reason


def test_a_backend_that_was_asked_for_has_no_substitute(machine, monkeypatch, spec):
    machine({"openvino", "torch"}, False)
    _break(monkeypatch, openvino=EngineError("no such CPU"))
    with pytest.raises(EngineError, match="^no such CPU$"):
        build_engine(replace(spec, backend="openvino"))


def test_when_all_fail_each_reason_is_given(machine, monkeypatch, spec):
    machine({"openvino", "torch"}, False)
    _break(monkeypatch, openvino=EngineError("no such CPU"), torch=EngineError("no memory"))
    with pytest.raises(EngineError, match="'auto' cannot be used: .*openvino: no such CPU; .*torch: no memory"):
        build_engine(spec)


_START = """
import sys
import numpy as np
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
folders = {"weights_dir": sys.argv[1], "engine_cache": sys.argv[2]}
config = NodeConfig(weights="cityscapes", alpha=3, backend="openvino", **folders)
engine = build_engine(resolve_spec(config))
engine.infer(np.zeros((512, 1024, 3), np.uint8))
print("torch" in sys.modules)
"""


@pytest.mark.process
def test_openvino_never_imports_torch_into_its_process(published_weights, engine_cache):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in ("converted", "from the cache"):
        command = [sys.executable, "-c", _START, str(published_weights), engine_cache]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout.split()[-1] == "False"
