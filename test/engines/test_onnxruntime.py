"""What ONNX Runtime's engine does beyond the contract of every engine."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

pytest.importorskip("onnx", reason="needs ONNX")
pytest.importorskip("torch", reason="needs PyTorch")

import onnx

from espnet_ros.engines import EngineSpec, build_engine, onnxruntime_engine
from espnet_ros.engines.conversion_child import ConversionRequest, convert_in_child
from espnet_ros.engines.onnx_export import LABELS, PIXELS, export_in_child, model_file
from espnet_ros.errors import EngineError
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def spec(untrained_checkpoint, engine_cache):
    table = untrained_checkpoint.load_class_table()
    return EngineSpec(untrained_checkpoint, table, ImageSize(48, 64), "onnxruntime", cache=engine_cache)


@pytest.fixture(scope="module")
def models(spec, tmp_path_factory):
    """Folder of the four models for 48x64."""
    folder = tmp_path_factory.mktemp("onnx")
    export_in_child(spec, folder)
    return folder


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_model_has_one_input_of_one_size_and_the_outputs_that_are_wanted(models, dtype):
    types = {"uint8": onnx.TensorProto.UINT8, "float32": onnx.TensorProto.FLOAT}
    for with_confidence, outputs in ((False, [LABELS]), (True, [LABELS, "confidence"])):
        graph = onnx.load(str(models / model_file(dtype, with_confidence))).graph
        assert [(value.name, value.type.tensor_type.elem_type) for value in graph.input] == [(PIXELS, types[dtype])]
        assert [dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim] == [1, 48, 64, 3]
        assert [value.name for value in graph.output] == outputs
        assert [dimension.dim_value for dimension in graph.output[0].type.tensor_type.shape.dim] == [1, 48, 64]


def test_the_model_without_confidence_does_not_compute_it(models):
    def operations(with_confidence):
        graph = onnx.load(str(models / model_file("uint8", with_confidence))).graph
        return [node.op_type for node in graph.node]

    assert "Exp" in operations(True) and "Exp" not in operations(False)  # of the softmax


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_a_precision_other_than_fp32_is_refused_by_name(spec, precision):
    with pytest.raises(
        EngineError, match=f"'{precision}' is not supported by backend 'onnxruntime', which computes in"
    ):
        build_engine(replace(spec, precision=precision))


def test_between_two_images_the_processor_rests(spec, color_image):
    engine = build_engine(replace(spec, threads=2))
    spent = []
    for _ in range(5):  # other threads of the test run may do something now and then
        engine.infer(color_image)
        before = time.process_time()
        time.sleep(0.1)
        spent.append(time.process_time() - before)
    engine.close()
    assert min(spent) < 0.005


def test_a_model_that_cannot_be_read_is_refused_when_the_engine_is_built(spec, monkeypatch, tmp_path):
    def write_nonsense(_spec, folder):
        (folder / model_file("uint8", False)).write_bytes(b"no model")

    monkeypatch.setattr(onnxruntime_engine, "export_in_child", write_nonsense)
    with pytest.raises(EngineError, match="ONNX Runtime cannot load .*uint8_labels.onnx: "):
        build_engine(replace(spec, cache=str(tmp_path)))


def test_a_conversion_that_breaks_off_says_what_it_said_last(spec, tmp_path):
    reason = r"ONNX conversion of 'untrained.pth' at 48x64 failed \(1\): .*No module named espnet_ros.engines.nowhere"
    with pytest.raises(EngineError, match=reason):
        convert_in_child("espnet_ros.engines.nowhere", "ONNX", ConversionRequest(spec, "fp32", tmp_path))


_START = """
import sys
import numpy as np
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
config = NodeConfig(weights=sys.argv[1], backend="onnxruntime", engine_cache=sys.argv[2])
engine = build_engine(resolve_spec(config))
engine.infer(np.zeros((48, 64, 3), np.uint8))
print([name for name in ("torch", "onnx") if name in sys.modules])
"""


def test_neither_torch_nor_onnx_comes_into_its_process(untrained_checkpoint, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in ("converted", "from the cache"):
        command = [sys.executable, "-c", _START, str(untrained_checkpoint.path), str(tmp_path)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout.split() == ["[]"]
