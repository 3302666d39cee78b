"""What is refused, with the reason that the user sees."""

import logging
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from tensorrt_border import PASCAL, STANDIN, TX2, XAVIER, needs_standin

from espnet_ros.calibration import calibration_images
from espnet_ros.engines import build_engine
from espnet_ros.engines.agreement_result import read_agreement_result
from espnet_ros.engines.cache import EngineCache
from espnet_ros.errors import DatasetError, EngineError, WeightsError

pytestmark = [needs_standin, pytest.mark.process]


@pytest.mark.parametrize(
    ("gpu", "precision", "reason"),
    [
        (TX2, "int8", r"^precision 'int8' needs .*; NVIDIA Tegra X2, compute capability 6.2 supports only fp32, fp16$"),
        (PASCAL, "fp16", r"^precision 'fp16' needs .*; GTX 1080, compute capability 6.1 supports only fp32, int8$"),
        (XAVIER, "bf16", r"^precision 'bf16' is not supported by backend 'tensorrt', which has fp32, fp16, int8$"),
    ],
)  # fmt: skip
def test_a_precision_that_the_gpu_lacks_is_refused_before_the_build(border, fresh, caplog, gpu, precision, reason):
    border.gpu(gpu)
    with caplog.at_level(logging.INFO), pytest.raises(EngineError, match=reason):
        build_engine(replace(fresh, precision=precision))
    assert "building" not in caplog.text
    assert EngineCache(fresh.cache).entries() == []


def test_a_precision_that_tensorrt_lacks_is_refused_by_name(build_here, fresh):
    with pytest.raises(
        EngineError, match=r"precision 'int8' needs .* TensorRT 8.2.1.8 reports that Xavier, .* does not"
    ):
        build_here(replace(fresh, precision="int8"), "no_int8")


def test_auto_takes_fp32_where_tensorrt_has_no_fp16_and_says_why(border, fresh):
    border.faults("no_fp16")
    engine = build_engine(replace(fresh, precision="auto"))
    engine.close()
    assert engine.precision == "fp32"
    assert "precision 'fp16' needs a GPU" in engine.reason


def test_a_build_without_an_engine_is_refused_with_what_tensorrt_said(border, fresh):
    border.faults("no_engine")
    with pytest.raises(
        EngineError, match=r"^TensorRT built no engine; TensorRT reported: Could not find any implementation$"
    ):
        build_engine(fresh)
    assert EngineCache(fresh.cache).entries() == []


def test_an_operation_without_a_converter_is_refused_by_name(build_here, fresh):
    reason = r"^torch2trt cannot convert: PReLU \(torch2trt has no converter for torch.nn.functional.prelu\)$"
    with pytest.raises(EngineError, match=reason):
        build_here(fresh, "no_prelu")


def test_an_operation_that_torch2trt_only_warns_about_is_refused_by_name(build_here, fresh):
    with pytest.raises(EngineError, match=r"^torch2trt cannot convert: torch.Tensor.permute$"):
        build_here(fresh, "unconverted")


@pytest.mark.parametrize(("fault", "precision"), [("constant", "fp16"), ("labels", "fp16"), ("labels", "int8")])
def test_labels_unlike_those_of_torch_are_refused(build_here, fresh, fault, precision):
    """``constant``: a call that went unnoticed, so that every image gets the labels of the grey one."""
    folder = build_here(replace(fresh, precision=precision), fault)
    limit = {"fp16": 99, "int8": 97}[precision]
    reason = (
        rf"^in {precision} only \d+\.\d\d % of the pixels have the same label as in torch, must be at least {limit} %$"
    )
    assert re.search(reason, read_agreement_result(folder).refusal)
    assert [path.name for path in folder.iterdir()] == ["agreement.json"]


def test_a_refused_engine_is_not_built_again_at_every_start(border, fresh, caplog):
    border.faults("labels")
    with pytest.raises(EngineError, match=r"in fp16 only 9\d\.\d\d % of the pixels"):
        build_engine(fresh)
    caplog.clear()
    with pytest.raises(EngineError, match=r"in fp16 only .* \(cached in .*; delete it to build"):
        build_engine(fresh)
    assert "building" not in caplog.text


def test_auto_takes_fp32_where_the_labels_of_fp16_are_refused(border, fresh, caplog):
    border.faults("half_labels")
    engine = build_engine(replace(fresh, precision="auto"))
    engine.close()
    assert engine.precision == "fp32"
    assert "in fp16 only" in engine.reason and "in fp16 only" in caplog.text
    assert "100.00 % of the labels are the same as in torch" in engine.reason


def test_a_build_that_is_killed_says_so(border, fresh):
    border.faults("killed")
    with pytest.raises(EngineError, match=r"in phase 'optimising.*' \(SIGKILL, which .* memory runs out\)"):
        build_engine(fresh)


def test_a_torch_without_cuda_is_refused(border, fresh):
    border.faults("torch_without_cuda")
    from espnet_ros.engines.tensorrt.conversion import convert

    with pytest.raises(EngineError, match="this torch has no CUDA device, .* NVIDIA's torch"):
        convert(fresh, "fp16", True, [], lambda phase: None)


def test_what_is_missing_for_a_build_is_named(border, fresh, monkeypatch, tmp_path):
    (tmp_path / "tensorrt").symlink_to(STANDIN / "tensorrt")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry != str(STANDIN)])
    with pytest.raises(EngineError, match="modules torch and torch2trt; not installed: torch2trt; see docs"):
        build_engine(fresh)


def test_tensorrt_11_is_refused_by_name(build_here, border, fresh):
    border.version("11.0.0")
    with pytest.raises(EngineError, match="torch2trt does not support TensorRT 11.0.0, only 8.2 to 10"):
        build_here(fresh)


def test_weights_that_do_not_fit_are_refused_as_weights(border, fresh):
    other = replace(fresh.checkpoint, alpha=5, sha256="0" * 64)
    with pytest.raises(WeightsError, match="do not fit espnet with alpha 5 .*: the file has espnet with alpha 3"):
        build_engine(replace(fresh, checkpoint=other))


def test_images_for_calibration_that_are_not_there_are_refused(build_here, fresh, tmp_path):
    with pytest.raises(DatasetError, match="image folder .*/nowhere: cannot be listed"):
        build_here(replace(fresh, calibration=calibration_images(str(tmp_path / "nowhere"))))


def test_a_machine_without_a_gpu_is_refused(border, fresh):
    border.gpu("")
    with pytest.raises(EngineError, match=r"failed: no CUDA-capable device is detected \(cudaErrorNoDevice, 100\)"):
        build_engine(fresh)


@pytest.mark.parametrize("function", ["cudaMalloc", "cudaHostAlloc", "cudaStreamCreate", "cudaMemcpyAsync"])
def test_a_call_of_cuda_that_fails_is_named_and_leaves_nothing_behind(border, spec, function):
    build_engine(spec).close()
    held = border.held()
    border.cuda_fault(function)
    with pytest.raises(EngineError, match=rf"CUDA: {function} failed: out of memory \(cudaErrorMemoryAllocation, 2\)"):
        build_engine(spec)
    border.cuda_fault("")
    assert border.held() == held


def test_an_engine_without_room_is_refused(border, spec):
    build_engine(spec).close()
    held = border.held()
    border.faults("no_context")
    with pytest.raises(EngineError, match="TensorRT cannot allocate memory for the engine: OutOfMemory: 24"):
        build_engine(spec)
    assert border.held() == held


@pytest.mark.parametrize("version", ["8.2.1.8", "10.3.0.26"])
def test_an_image_that_fails_says_what_tensorrt_said_and_the_engine_goes_on(border, spec, color_image, version):
    border.version(version)
    engine = build_engine(spec)
    expected = engine.infer(color_image).labels.copy()
    border.faults("execution")
    with pytest.raises(EngineError, match=r"could not run the engine: Cuda Runtime .*illegal memory.* \(on Xavier, "):
        engine.infer(color_image)
    border.faults()
    assert np.array_equal(engine.infer(color_image).labels, expected)
    border.cuda_fault("cudaStreamSynchronize")
    with pytest.raises(EngineError, match="cudaStreamSynchronize failed: out of memory"):
        engine.infer(color_image)
    border.cuda_fault("")
    engine.close()
    with pytest.raises(EngineError, match="the engine has been closed"):
        engine.infer(color_image)


@pytest.mark.parametrize("version", ["8.2.1.8", "10.3.0.26"])
def test_a_plan_that_tensorrt_cannot_read_is_refused(border, spec, version):
    border.version(version)
    from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
    from espnet_ros.engines.tensorrt.session import EngineSession

    with pytest.raises(EngineError, match=rf"TensorRT {version} cannot read the engine: .*Magic tag does not match"):
        EngineSession(b"no engine", spec.input_size, "error", CudaRuntime())


def test_an_engine_of_another_size_is_refused(border, spec):
    from espnet_ros.types import ImageSize

    build_engine(spec).close()
    from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
    from espnet_ros.engines.tensorrt.device import find_gpu
    from espnet_ros.engines.tensorrt.engine import cache_key
    from espnet_ros.engines.tensorrt.session import EngineSession

    runtime = CudaRuntime()
    folder = EngineCache(spec.cache).find(cache_key(spec, "fp16", find_gpu(runtime)))
    with pytest.raises(EngineError, match=r"must have the bindings .*pixels \(1, 96, 64, 3\).* has .*\(1, 48, 64, 3\)"):
        EngineSession((folder / "engine.plan").read_bytes(), ImageSize(96, 64), "error", runtime)
