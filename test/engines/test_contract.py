"""What every engine must do, run on each of them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from espnet_ros.calibration import StreetImages
from espnet_ros.engines import EngineSpec, build_engine
from espnet_ros.errors import EngineError

pytestmark = pytest.mark.slow

SIZE = (48, 64)
BACKENDS = ["torch", "native", "openvino", "onnxruntime", "fake"]


@pytest.fixture(scope="module")
def checkpoint(untrained_checkpoint):
    return untrained_checkpoint


@pytest.fixture(scope="module")
def build(checkpoint, engine_cache):
    engines = []

    def build_one(backend, **changes):
        spec = EngineSpec(
            checkpoint,
            checkpoint.load_class_table(),
            checkpoint.input_size,
            backend,
            "fp32",
            cache=engine_cache,
            calibration=StreetImages(),
        )
        engines.append(build_engine(EngineSpec(**{**spec.__dict__, **changes})))
        return engines[-1]

    yield build_one
    for engine in engines:
        engine.close()


@pytest.fixture(params=BACKENDS)
def engine(request, build):
    return build(request.param)


def test_labels_are_class_ids_at_the_input_size(engine, color_image):
    labels = engine.infer(color_image).labels
    assert labels.shape == SIZE and labels.dtype == np.uint8
    assert labels.max() < 12
    assert len(np.unique(labels)) > 3


def test_confidence_comes_only_when_asked_for(engine, color_image):
    assert engine.infer(color_image).confidence is None
    confidence = engine.infer(color_image, with_confidence=True).confidence
    assert confidence.shape == SIZE and confidence.dtype == np.uint8
    assert confidence.max() > confidence.min()


def test_confidence_does_not_change_the_labels(engine, color_image):
    plain = engine.infer(color_image).labels.copy()
    assert np.array_equal(engine.infer(color_image, with_confidence=True).labels, plain)


def test_float_pixels_give_the_labels_of_the_same_bytes(engine, color_image):
    plain = engine.infer(color_image).labels.copy()
    assert np.array_equal(engine.infer(color_image.astype(np.float32)).labels, plain)


def test_the_same_image_gives_the_same_labels_and_another_gives_others(engine, color_image):
    first = engine.infer(color_image).labels.copy()
    other = engine.infer(np.ascontiguousarray(color_image[::-1])).labels.copy()
    assert np.array_equal(engine.infer(color_image).labels, first)
    assert not np.array_equal(other, first)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((64, 48, 3), np.uint8), r"must have shape \(48, 64, 3\), has \(64, 48, 3\)"),
        (np.zeros((48, 64, 3), np.float64), "must be uint8 or float32, is float64"),
        (np.zeros((48, 128, 3), np.uint8)[:, ::2], "must be C-contiguous"),
    ],
)
def test_wrong_pixels_are_refused_and_the_engine_goes_on(engine, color_image, pixels, reason):
    with pytest.raises(EngineError, match=reason):
        engine.infer(pixels)
    assert engine.infer(color_image).labels.shape == SIZE


def test_an_engine_says_what_it_is(engine):
    assert engine.backend in BACKENDS
    assert engine.device and engine.reason and engine.precision == "fp32"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_converted_network_gives_the_labels_and_confidence_of_torch(build, color_image, backend):
    expected = build("torch").infer(color_image, with_confidence=True)
    found = build(backend).infer(color_image, with_confidence=True)
    assert np.mean(found.labels == expected.labels) >= 0.9999
    assert np.abs(found.confidence.astype(int) - expected.confidence).max() <= 1


_SIGNALLED = """
import os, signal, sys, threading
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
signals = []
signal.signal(signal.SIGINT, lambda *_: signals.append("SIGINT"))
config = NodeConfig(weights=sys.argv[1], backend="openvino", engine_cache=sys.argv[2])
build = lambda: build_engine(resolve_spec(config))
engine = build()
def replace():
    global engine
    old, engine = engine, build()
    old.close()
thread = threading.Thread(target=replace)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGINT)
print(signals)
"""


def test_a_signal_after_an_engine_was_replaced_in_another_thread_is_survived(checkpoint, engine_cache):
    command = [sys.executable, "-c", _SIGNALLED, str(checkpoint.path), engine_cache]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "['SIGINT']"), result.stderr


def test_a_table_of_another_size_is_refused(build):
    from espnet_ros.classes import load_class_table
    from espnet_ros.errors import ClassTableError

    with pytest.raises(ClassTableError, match="class table 'cityscapes' has 20 classes, but .* has 12 outputs"):
        build("fake", class_table=load_class_table("cityscapes"))


def test_a_precision_that_a_backend_lacks_is_refused(build):
    with pytest.raises(EngineError, match="precision 'bf16' is not supported by backend 'torch'"):
        build("torch", precision="bf16")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_weights_that_do_not_fit_are_refused_by_the_conversion_too(build, checkpoint, tmp_path, backend):
    from dataclasses import replace

    from espnet_ros.errors import WeightsError

    other = replace(checkpoint, alpha=5, sha256="0" * 64)
    with pytest.raises(WeightsError, match="do not fit espnet with alpha 5 .*: the file has espnet with alpha 3"):
        build(backend, checkpoint=other, cache=str(tmp_path))
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
