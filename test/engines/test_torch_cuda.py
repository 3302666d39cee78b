"""PyTorch in fp16 and on a CUDA device. What can be checked without the device is checked everywhere."""

import logging
import threading
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

from espnet_ros.engines import EngineSpec, build_engine, torch_engine
from espnet_ros.engines.torch_engine import CapturedRun, TorchEngine, choose_precision, prepare_graph, start_run
from espnet_ros.errors import EngineError
from espnet_ros.model.graph import SegmentationGraph
from espnet_ros.model.loading import load_network
from espnet_ros.types import ImageSize

SIZE = ImageSize(48, 64)
CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
needs_none = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a CUDA device")


@pytest.fixture
def spec(untrained_checkpoint):
    return EngineSpec(untrained_checkpoint, untrained_checkpoint.load_class_table(), SIZE, "torch")


@pytest.fixture
def graph(untrained_checkpoint):
    return SegmentationGraph(load_network(untrained_checkpoint), untrained_checkpoint).eval()


@pytest.fixture
def expected(spec, color_image):
    """Labels and confidence of the reference: fp32 on the CPU."""
    return TorchEngine(replace(spec, precision="fp32"), device="cpu").infer(color_image, with_confidence=True)


@pytest.mark.parametrize(
    ("requested", "device", "chosen"),
    [
        ("auto", "cpu", "fp32"),
        ("fp32", "cpu", "fp32"),
        ("auto", "cuda", "fp16"),
        ("fp16", "cuda", "fp16"),
        ("fp32", "cuda", "fp32"),
    ],
)
def test_auto_means_fp16_on_a_gpu_and_fp32_on_a_cpu(requested, device, chosen):
    assert choose_precision(requested, device) == chosen


@pytest.mark.parametrize(
    ("requested", "device", "offered"),
    [("fp16", "cpu", "fp32"), ("bf16", "cuda", "fp16, fp32"), ("int8", "cuda", "fp16, fp32")],
)
def test_a_precision_that_a_device_lacks_is_refused_by_name(requested, device, offered):
    with pytest.raises(
        EngineError, match=f"'{requested}' is not supported by backend 'torch' on {device}, which has {offered}$"
    ):
        choose_precision(requested, device)


def test_fp16_halves_the_convolutions_and_keeps_the_labels(graph, color_image, expected):
    run = prepare_graph(graph, CPU, "fp16")
    with torch.inference_mode():
        labels, confidence = run(torch.from_numpy(color_image).unsqueeze(0))
    assert graph.network.encoder.level1.conv.weight.dtype == torch.float16
    assert graph.mean.dtype == torch.float32
    assert labels.dtype == confidence.dtype == torch.uint8
    assert np.mean(labels[0].numpy() == expected.labels) >= 0.98
    assert np.abs(confidence[0].numpy().astype(int) - expected.confidence).mean() <= 1


@needs_none
def test_without_a_cuda_device_cuda_is_refused_and_auto_is_the_cpu(spec):
    with pytest.raises(EngineError, match="this torch has no CUDA device"):
        TorchEngine(spec, device="cuda")
    engine = TorchEngine(spec)
    assert (engine.device, engine.precision) == ("CPU", "fp32")


@pytest.fixture
def captured(monkeypatch):
    """The CUDA graphs that were captured, as they come."""
    runs = []

    class Noted(CapturedRun):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            runs.append(self)

    monkeypatch.setattr(torch_engine, "CapturedRun", Noted)
    return runs


@needs_none
def test_a_capture_that_fails_leaves_the_graph_as_it_is(graph, caplog):
    with caplog.at_level(logging.WARNING):
        run = start_run(graph, SIZE, "uint8", torch.device("cuda"))
    assert not isinstance(run, CapturedRun)
    assert caplog.records[0].getMessage().startswith("torch runs eagerly because capturing a CUDA graph failed: ")


@needs_cuda
@pytest.mark.parametrize(("precision", "share"), [("fp16", 0.98), ("fp32", 0.9999)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_captured_graph_gives_the_labels_of_the_cpu(spec, color_image, expected, precision, share, dtype, captured):
    engine = build_engine(replace(spec, precision=precision))
    engine.infer(np.zeros((*SIZE, 3), dtype))  # nothing of another image stays
    found = engine.infer(color_image.astype(dtype), with_confidence=True)
    assert captured
    assert engine.precision == precision
    assert np.mean(found.labels == expected.labels) >= share
    assert np.abs(found.confidence.astype(int) - expected.confidence).mean() <= 1
    engine.close()


@needs_cuda
def test_a_gpu_that_cannot_capture_runs_eagerly(spec, color_image, expected, monkeypatch, caplog):
    def refuse(*_arguments):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch_engine, "CapturedRun", refuse)
    engine = build_engine(spec)
    assert np.mean(engine.infer(color_image).labels == expected.labels) >= 0.98
    assert "operation not permitted" in caplog.text
    engine.close()


@needs_cuda
def test_an_engine_is_captured_while_another_one_runs(spec, color_image, expected, captured):
    running = build_engine(spec)
    stop, failures = threading.Event(), []

    def label():
        while not stop.is_set():
            if np.mean(running.infer(color_image).labels == expected.labels) < 0.98:
                failures.append("other labels")

    thread = threading.Thread(target=label)
    thread.start()
    try:
        for _ in range(3):
            engine = build_engine(spec)
            assert np.mean(engine.infer(color_image).labels == expected.labels) >= 0.98
            engine.close()
    finally:
        stop.set()
        thread.join()
    assert failures == []
    assert len(captured) >= 4  # of the one that runs, and of three others
    running.close()
