"""The GPU, its arithmetic, and CUDA's few functions."""

import ctypes

import pytest
from tensorrt_border import IS_REAL, TX2, needs_standin

from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
from espnet_ros.engines.tensorrt.device import Gpu, choose_precision, find_gpu
from espnet_ros.errors import EngineError

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("capability", "precisions"),
    [
        ((5, 2), ("fp32",)),
        ((5, 3), ("fp32", "fp16")),  # Jetson Nano and TX1
        ((6, 1), ("fp32", "int8")),
        ((6, 2), ("fp32", "fp16")),  # TX2
        ((7, 2), ("fp32", "fp16", "int8")),  # Xavier
        ((8, 7), ("fp32", "fp16", "int8")),  # Orin
        ((13, 9), ("fp32", "fp16", "int8")),  # none yet
    ],
)
def test_a_gpu_has_the_precisions_of_nvidias_table(capability, precisions):
    gpu = Gpu("some", capability)
    assert gpu.precisions == precisions
    assert choose_precision("auto", gpu) == ("fp16" if "fp16" in precisions else "fp32")
    for precision in precisions:
        assert choose_precision(precision, gpu) == precision


def test_int8_on_a_tx2_is_refused_by_name():
    with pytest.raises(EngineError, match="'int8' needs .* NVIDIA Tegra X2, compute capability 6.2 supports only fp32"):
        choose_precision("int8", Gpu("NVIDIA Tegra X2", (6, 2)))


@needs_standin
def test_the_gpu_has_the_name_and_capability_that_cuda_gives_it(border):
    border.gpu(TX2)
    assert find_gpu(CudaRuntime()) == Gpu("NVIDIA Tegra X2", (6, 2))


def test_what_is_copied_to_the_gpu_and_back_is_the_same_once_the_stream_is_done(border):
    cuda = CudaRuntime()
    stream = cuda.create_stream()
    there, sent, received = cuda.allocate(8), cuda.allocate_pinned(8), cuda.allocate_pinned(8)
    ctypes.memmove(sent, b"labelled", 8)
    cuda.copy_to_device(there, sent, 8, stream)
    cuda.copy_to_host(received, there, 8, stream)
    cuda.synchronize(stream)
    assert ctypes.string_at(received, 8) == b"labelled"
    cuda.free(there)
    cuda.free_pinned(sent)
    cuda.free_pinned(received)
    cuda.destroy_stream(stream)


@needs_standin
def test_a_copy_to_the_wrong_side_is_an_error_of_cuda(border):
    cuda = CudaRuntime()
    stream, here = cuda.create_stream(), cuda.allocate_pinned(8)
    with pytest.raises(EngineError, match=r"cudaMemcpyAsync failed: invalid argument \(cudaErrorInvalidValue, 1\)"):
        cuda.copy_to_device(here, here, 8, stream)
    cuda.free_pinned(here)
    cuda.destroy_stream(stream)


def test_a_machine_without_cuda_is_told_where_it_was_looked_for(monkeypatch, tmp_path):
    def refuse(name):
        raise OSError("no such file")

    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr("ctypes.CDLL", refuse)
    reason = rf"libcudart is not on this machine; tried: {tmp_path}/lib64/libcudart.so \(no such file\); .*libcudart"
    with pytest.raises(EngineError, match=reason):
        CudaRuntime()


def test_nvidias_own_library_says_by_name_why_it_has_no_gpu(monkeypatch):
    monkeypatch.delenv("CUDA_HOME", raising=False)
    try:
        cuda = CudaRuntime()
    except EngineError as error:
        pytest.skip(str(error))
    if IS_REAL:
        assert cuda.device_name()
        return
    with pytest.raises(EngineError, match=r"CUDA: cudaMalloc failed: .* \(cudaError\w+, \d+\)"):
        cuda.allocate(8)
    with pytest.raises(EngineError, match=r"CUDA: cudaGetDeviceProperties failed: .* \(cudaError\w+, \d+\)"):
        cuda.device_name()
