import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from espnet_ros.calibration import StreetImages
from espnet_ros.engines import EngineSpec, build_engine, choose_backend, selection
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.errors import EngineError, WeightsError

REPOSITORY = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize("version", ["0.38.1", "0.41.1", "0.44.0", "0.44.0rc1"])
def test_an_llvmlite_without_opaque_pointers_is_passed_over(machine, monkeypatch, version):
    machine({"llvmlite", "openvino"}, False)
    monkeypatch.setattr(selection, "installed_version", lambda module: version)
    assert choose_backend("auto").backend == "openvino"
    with pytest.raises(
        EngineError, match=f"'native' cannot be used: native: needs llvmlite 0.45 or newer, has {version}$"
    ):
        choose_backend("native")


@pytest.mark.parametrize("version", ["0.45.0", "0.46.0rc1", "0.100", "1.0", "main", ""])
def test_newer_and_unknown_versions_are_tried(machine, monkeypatch, version):
    machine({"llvmlite", "openvino"}, False)
    monkeypatch.setattr(selection, "installed_version", lambda module: version)
    assert choose_backend("auto").backend == "native"


def test_the_oldest_llvmlite_is_that_of_setup_py(machine, monkeypatch):
    machine({"llvmlite"}, False)
    monkeypatch.setattr(selection, "installed_version", lambda module: "0.1")
    oldest = re.search(r"llvmlite>=([\d.]+)", (REPOSITORY / "setup.py").read_text()).group(1)
    with pytest.raises(EngineError, match=f"needs llvmlite {oldest} or newer"):
        choose_backend("native")


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


UNLOADABLE = [
    (OSError("libllvmlite.so: file too short"), "OSError: libllvmlite.so: file too short"),
    (ImportError("libtorch.so: cannot open shared object file"), "libtorch.so: cannot open shared object file"),
    (AttributeError("module 'onnx' has no attribute 'x'"), "AttributeError: module 'onnx' has no attribute 'x'"),
    (SystemError("initialization failed\n without raising"), "SystemError: initialization failed without raising"),
    (RuntimeError("\x1b[31mnumpy\x1b[0m ABI"), "RuntimeError: numpy ABI"),
    (KeyError("x86"), "KeyError: 'x86'"),
    (
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        "UnicodeDecodeError: 'utf-8' codec can't decode",
    ),
    (MemoryError(), "MemoryError"),
    (Exception(), "Exception"),
]


@pytest.mark.parametrize(("error", "reason"), UNLOADABLE, ids=lambda value: type(value).__name__)
def test_auto_goes_on_whatever_a_library_raises(machine, monkeypatch, spec, caplog, error, reason):
    machine({"llvmlite", "openvino"}, False)
    _break(monkeypatch, native=error)
    engine = build_engine(spec)
    assert engine.reason.startswith("auto: fast on any CPU; ")
    assert f"; native: {reason}" in engine.reason
    (record,) = caplog.records
    assert record.getMessage().startswith(f"backend native cannot be loaded: {reason}")


@pytest.mark.parametrize(("error", "reason"), UNLOADABLE, ids=lambda value: type(value).__name__)
def test_a_requested_backend_that_cannot_be_loaded_is_refused_in_one_line(machine, monkeypatch, spec, error, reason):
    machine({"llvmlite", "openvino"}, False)
    _break(monkeypatch, native=error)
    with pytest.raises(EngineError) as caught:
        build_engine(replace(spec, backend="native"))
    assert str(caught.value).startswith(f"backend 'native' cannot be used: native: {reason}")
    assert str(caught.value).isprintable()


def test_what_is_wrong_with_the_request_is_not_blamed_on_the_backend(machine, monkeypatch, spec):
    machine({"llvmlite", "openvino"}, False)
    _break(monkeypatch, native=WeightsError("weights x: damaged"))
    with pytest.raises(WeightsError, match="^weights x: damaged$"):
        build_engine(spec)


_PARTIAL = """
import sys
from espnet_ros.classes import load_class_table
from espnet_ros.engines import EngineSpec, build_engine, selection
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.model.checkpoint import select_checkpoint
for name in ("openvino", "onnxruntime", "torch"):
    selection.BUILDERS[name] = lambda spec, candidate: FakeEngine(spec, reason=candidate.reason)
checkpoint = select_checkpoint("street", "espnet", 3)
print(build_engine(EngineSpec(checkpoint, checkpoint.load_class_table(), checkpoint.input_size)).reason)
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        ("import ctypes; ctypes.CDLL(__file__[:-10] + 'empty.so')", r"native: OSError: .*empty.so: file too short"),
        ("import ctypes; ctypes.CDLL('libllvmlite.so.none')", "native: OSError: libllvmlite.so.none: cannot open"),
        ("from llvmlite.ffi import lib", "native: No module named 'llvmlite.ffi'"),
        ("raise Exception('LLVM has no targets')", "native: Exception: LLVM has no targets"),
        ("raise SystemExit('no license')", "native: SystemExit: no license"),
        ("llvm = 1 +", "native: SyntaxError: invalid syntax"),
        ("", "native: AttributeError: module 'llvmlite.binding' has no attribute"),
    ],
    ids=[
        "library of 0 bytes",
        "library missing",
        "module missing",
        "any exception",
        "exit",
        "damaged module",
        "empty module",
    ],
)
def test_a_partial_installation_of_llvmlite_is_passed_over(tmp_path, binding, reason):
    (tmp_path / "llvmlite").mkdir()
    (tmp_path / "llvmlite/__init__.py").write_text("__version__ = '0.50.0'")
    (tmp_path / "llvmlite/ir.py").write_text("__getattr__ = lambda name: type(name, (), {'__new__': lambda *_: None})")
    (tmp_path / "llvmlite/binding.py").write_text(binding)
    (tmp_path / "llvmlite/empty.so").touch()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    result = subprocess.run([sys.executable, "-c", _PARTIAL], env=environment, capture_output=True, text=True)
    assert re.match(f"auto: .*{reason}", result.stdout), (result.stdout, result.stderr)


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
