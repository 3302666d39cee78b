from dataclasses import replace

import cv2
import numpy as np
import pytest

from espnet_ros.benchmark import contenders
from espnet_ros.benchmark.comparison import compare
from espnet_ros.benchmark.contenders import PUBLISHED_CONTENDERS, REFERENCE, check_name, start_contender
from espnet_ros.benchmark.interleaved import measure_interleaved
from espnet_ros.calibration import StreetImages
from espnet_ros.engines import EngineSpec
from espnet_ros.errors import EngineError, ParameterError
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.slow

SIZE = ImageSize(48, 64)


@pytest.fixture
def spec(untrained_checkpoint, engine_cache):
    table = untrained_checkpoint.load_class_table()
    return EngineSpec(
        untrained_checkpoint, table, SIZE, precision="fp32", cache=engine_cache, calibration=StreetImages()
    )


def test_contenders_are_called_in_turn_and_the_first_round_does_not_count():
    calls = []
    timings = measure_interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert len(timings["a"].seconds) == len(timings["b"].seconds) == 2
    assert timings["a"].best <= timings["a"].median


def test_the_pause_before_a_call_is_not_counted():
    timing = measure_interleaved({"a": lambda: None}, rounds=1, pause=0.2)["a"]
    assert timing.best < 0.2


@pytest.mark.parametrize("name", [*PUBLISHED_CONTENDERS, "openvino/fp32", "tensorrt/auto", "fake/auto"])
def test_usual_ways_and_pairs_of_backend_and_precision_are_names(name):
    check_name(name)


@pytest.mark.parametrize("name", ["torch", "openvino/", "openvino/fp64", "tflite/fp32", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ParameterError, match=f"contender must be one of published, .* is '{name}'"):
        check_name(name)


@pytest.mark.parametrize("name", ["torch.compile", "onnxruntime", "openvino"])
def test_a_usual_way_gives_the_published_labels_at_the_networks_size(spec, color_image, name):
    image = cv2.resize(color_image, (128, 96))
    expected = start_contender(REFERENCE, spec, image).run(image)
    contender = start_contender(name, spec, image)
    labels = contender.run(image)
    assert not contender.is_ours
    assert labels.shape == SIZE and labels.dtype == np.uint8
    # OpenVINO's own default is bf16 where the CPU has it; the untrained network is sensitive to it
    assert np.mean(labels == expected) >= (0.9 if name == "openvino" else 0.9999)


def test_our_engine_gives_labels_at_the_networks_size_too(spec, color_image):
    image = cv2.resize(color_image, (128, 96))
    contender = start_contender("torch/fp32", spec, image)
    assert contender.is_ours and contender.title == "espnet_ros, torch fp32"
    assert contender.run(image).shape == SIZE
    assert start_contender("torch/auto", replace(spec, precision="int8"), image).title.startswith(
        "espnet_ros, torch auto (torch fp"
    )


def test_what_cannot_run_is_listed_with_its_reason(spec, color_image, monkeypatch):
    def fail(*_arguments):
        raise ModuleNotFoundError("No module named 'onnxruntime'")

    monkeypatch.setattr("espnet_ros.benchmark.runtimes.OnnxRuntimePipeline.__init__", fail)
    started = []
    comparison = compare(spec, ["onnxruntime", "torch/int8", "torch/fp32"], [color_image], 2, on_start=started.append)
    assert started == [REFERENCE, "onnxruntime", "torch/int8", "torch/fp32"]
    assert [row.name for row in comparison.rows] == [REFERENCE, "torch/fp32"]
    assert list(comparison.absent) == ["onnxruntime", "torch/int8"]
    assert comparison.absent["onnxruntime"].endswith("ModuleNotFoundError: No module named 'onnxruntime'")
    assert "precision 'int8' is not supported" in comparison.absent["torch/int8"]
    assert [row.agreement for row in comparison.rows] == [1.0, pytest.approx(1.0, abs=1e-3)]
    assert all(len(row.timing.seconds) == 2 for row in comparison.rows)


def test_without_the_published_pipeline_there_is_no_comparison(spec, color_image, monkeypatch):
    def fail(_name, _spec):
        raise EngineError("no torch")

    monkeypatch.setattr(contenders, "start_published", fail)
    with pytest.raises(EngineError, match="no torch"):
        compare(spec, ["torch/fp32"], [color_image], 1)
