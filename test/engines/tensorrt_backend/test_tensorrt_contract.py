"""What a TensorRT engine does, from the checkpoint to labels, on both generations of TensorRT's interface."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

from tensorrt_border import needs_standin, read_plan, versions

from espnet_ros.calibration import calibration_images
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.agreement_result import read_agreement_result
from espnet_ros.engines.cache import EngineCache
from espnet_ros.engines.torch_engine import TorchEngine
from espnet_ros.loading import resolve_spec

pytestmark = pytest.mark.process

SIZE = (48, 64)


@pytest.fixture
def build(border):
    """Builds engines and closes them."""
    engines = []

    def build_one(spec, version="as installed"):
        if version != "as installed":
            border.version(version)
        engines.append(build_engine(spec))
        return engines[-1]

    yield build_one
    for engine in engines:
        engine.close()


@pytest.fixture
def shipped(engine_cache):
    """The shipped weights at a size that is soon labelled."""
    sides = {"input_height": 184, "input_width": 240}
    return resolve_spec(NodeConfig(alpha=3, backend="tensorrt", precision="fp16", engine_cache=engine_cache, **sides))


def _torch(spec, image, with_confidence=False):
    reference = TorchEngine(replace(spec, backend="torch", precision="fp32"), device="cpu")
    return reference.infer(image, with_confidence)


@versions
@pytest.mark.parametrize(("precision", "share", "difference"), [("fp32", 0.999, 1), ("fp16", 0.99, 10)])
def test_labels_and_confidence_are_those_of_torch(build, spec, color_image, version, precision, share, difference):
    expected = _torch(spec, color_image, with_confidence=True)
    found = build(replace(spec, precision=precision), version).infer(color_image, with_confidence=True)
    assert found.labels.shape == SIZE and found.labels.dtype == np.uint8
    assert len(np.unique(expected.labels)) > 3
    assert np.mean(found.labels == expected.labels) >= share
    assert np.abs(found.confidence.astype(int) - expected.confidence).max() <= difference


def test_rows_and_columns_are_not_mixed_up(build, spec):
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:24, :, 0] = 250
    image[:, :16, 2] = 250  # neither symmetric to its transpose nor to a mirror image
    assert np.mean(build(spec).infer(image).labels == _torch(spec, image).labels) >= 0.99


@versions
def test_each_image_gets_its_own_labels(build, spec, color_image, version):
    engine = build(spec, version)
    first = engine.infer(color_image).labels.copy()
    other = engine.infer(np.ascontiguousarray(color_image[::-1])).labels.copy()
    assert not np.array_equal(first, other)
    assert np.array_equal(engine.infer(color_image).labels, first)
    assert np.array_equal(engine.infer(color_image.astype(np.float32)).labels, first)


def test_confidence_comes_only_when_asked_for(build, spec, color_image):
    engine = build(spec)
    assert engine.infer(color_image).confidence is None
    confidence = engine.infer(color_image, with_confidence=True).confidence
    assert confidence.dtype == np.uint8 and confidence.max() > confidence.min()


def test_an_engine_says_what_it_is(build, spec):
    engine = build(spec)
    assert (engine.backend, engine.precision) == ("tensorrt", "fp16")
    assert re.search(r"compute capability \d+\.\d", engine.device)
    assert re.search(r"^requested; \d+\.\d\d % of the labels are the same as in torch \(8 images\)$", engine.reason)


@versions
def test_a_second_engine_is_not_built(build, spec, caplog, version):
    build(spec, version)
    caplog.clear()
    build(spec, version)
    assert "building" not in caplog.text


@needs_standin
def test_another_gpu_gets_its_own_engine(border, build, spec):
    build(spec)
    before = len(EngineCache(spec.cache).entries())
    border.gpu("NVIDIA Tegra X2:6.2")
    build(spec)
    assert len(EngineCache(spec.cache).entries()) == before + 1


@needs_standin
@versions
def test_closing_gives_everything_back(border, build, spec, color_image, version):
    before = border.held()
    engine = build(spec, version)
    assert border.held() == before + 7  # a stream, and memory on both sides for pixels, labels and confidence
    engine.infer(color_image)
    engine.close()
    assert border.held() == before


def test_espnet_c_is_built_too(build, spec, color_image, tmp_path):
    import torch
    import yaml

    from espnet_ros.model.checkpoint import select_checkpoint
    from espnet_ros.model.loading import build_network

    torch.manual_seed(1)
    path = tmp_path / "encoder.pth"
    torch.save(build_network("espnet_c", 3, 12).state_dict(), path)
    facts = {
        "network": "espnet_c", "alpha": 3, "classes": "camvid", "mean_bgr": [110, 108, 105], "std_bgr": [72, 73, 70],
        "input_size": [48, 64], "divisor": 1,
    }  # fmt: skip
    path.with_suffix(".yaml").write_text(yaml.safe_dump(facts))
    spec = replace(spec, checkpoint=select_checkpoint(str(path), "espnet_c", 3))
    expected = _torch(spec, color_image).labels
    assert len(np.unique(expected)) > 1
    assert np.mean(build(spec).infer(color_image).labels == expected) >= 0.99


def test_int8_is_calibrated_with_the_images_given_and_tried_on_others(border, build_here, shipped, street_images):
    folder = build_here(replace(shipped, precision="int8", calibration=calibration_images(str(street_images))))
    from espnet_ros.engines.tensorrt.build_process import PLAN_FILE

    result = read_agreement_result(folder)
    assert result.images == 2  # every ninth of the folder's twelve
    assert result.agreement >= 0.97
    if not os.environ.get("STANDIN_GPU"):
        return
    plan = read_plan(folder / PLAN_FILE)
    assert (plan.calibrated_with, plan.is_half) == (10, True)
    calibrated = [path for index, path in enumerate(sorted(street_images.iterdir())) if index % 9]
    largest = max(int(cv2.imread(str(path)).max()) for path in calibrated)
    assert plan.ranges[0] == largest


def test_the_shipped_weights_label_the_synthetic_street_as_torch_does(build, shipped, street_images):
    engine = build(shipped)
    images = [cv2.imread(str(path)) for path in sorted(street_images.iterdir())[:3]]
    equal = [np.mean(engine.infer(image).labels == _torch(shipped, image).labels) for image in images]
    assert np.mean(equal) >= 0.99


@needs_standin
@versions
def test_the_workspace_is_a_limit_for_tensorrt(border, build_here, fresh, version):
    from espnet_ros.engines.tensorrt.build_process import PLAN_FILE

    border.version(version)
    folder = build_here(replace(fresh, workspace=77))
    assert read_plan(folder / PLAN_FILE).workspace == 77 * 1024 * 1024


def _messages(caplog):
    return [record.getMessage() for record in caplog.records]


@needs_standin
def test_a_long_build_says_what_it_does_and_how_long_it_has(border, build, fresh, caplog, monkeypatch):
    from espnet_ros.engines.tensorrt import build_process

    monkeypatch.setattr(build_process, "HEARTBEAT", 0.5)
    border.build_seconds(3.0)
    with caplog.at_level(logging.INFO):
        build(replace(fresh, log_level="info"))
    said = _messages(caplog)
    assert any("building" in message and "this may take many minutes" in message for message in said[:2])
    optimising = [re.search(r"optimising.*, (\d+) s so far", message) for message in said]
    elapsed = [int(match.group(1)) for match in optimising if match]
    assert len(elapsed) >= 4 and elapsed[-1] - elapsed[0] >= 2 and elapsed == sorted(elapsed)
    phases = ("torch2trt", "converting", "optimising", "comparing")
    order = [next(i for i, message in enumerate(said) if phase in message) for phase in phases]
    assert order == sorted(order)
    assert "TensorRT: network built" in said
    assert re.search(r"TensorRT: built .* in fp16 in \d+ s", said[-1])


@needs_standin
def test_a_program_without_logging_shows_a_long_build_all_the_same(border, build, fresh, caplog):
    logging.getLogger("espnet_ros").setLevel(logging.WARNING)
    try:
        build(fresh)
    finally:
        logging.getLogger("espnet_ros").setLevel(logging.NOTSET)
    said = _messages(caplog)
    assert any("so far" in message for message in said)
    assert any("the stand-in does not tune anything" in message for message in said)  # a warning of TensorRT
    assert not any("network built" in message for message in said)  # information, below the level asked for


_START = """
import sys
import numpy as np
from espnet_ros.calibration import calibration_images
from espnet_ros.engines import EngineSpec, build_engine
from espnet_ros.model.checkpoint import select_checkpoint
checkpoint = select_checkpoint(sys.argv[1], "espnet", 3)
spec = EngineSpec(checkpoint, checkpoint.load_class_table(), checkpoint.input_size, "tensorrt", "fp16",
                  cache=sys.argv[2], calibration=calibration_images(sys.argv[3]))
engine = build_engine(spec)
engine.infer(np.zeros((48, 64, 3), np.uint8), with_confidence=True)
print("torch" in sys.modules, "torch2trt" in sys.modules)
"""


def _start(spec):
    command = [sys.executable, "-c", _START, str(spec.checkpoint.path), spec.cache, spec.calibration.source]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@versions
def test_a_cached_engine_runs_without_torch(border, build, spec, version):
    build(spec, version)
    output, errors = _start(spec).communicate()
    assert output.split() == ["False", "False"], errors


@needs_standin
def test_a_build_ends_with_the_process_that_asked_for_it(border, fresh, tmp_path, monkeypatch):
    border.build_seconds(120)
    note = tmp_path / "pid"
    monkeypatch.setenv("STANDIN_PID_FILE", str(note))
    process = _start(fresh)
    _wait_until(lambda: note.exists() and note.read_text(), 200)
    child = int(note.read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _wait_until(lambda: not _is_running(child), 20)


def _wait_until(holds, seconds):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
