"""The PyTorch backend: CUDA graphs on a GPU; eager on a CPU, where it is the reference for other engines."""

from __future__ import annotations

import logging
import threading
from typing import Callable, Dict, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.errors import EngineError
from espnet_ros.model.graph import SegmentationGraph
from espnet_ros.model.loading import load_network
from espnet_ros.types import ImageSize

GraphFunction = Callable[[Tensor], Tuple[Tensor, Tensor]]
"""Maps (1, h, w, 3) pixels to (1, h, w) labels and confidence, all on the engine's device."""
ImageFunction = Callable[[np.ndarray], Tuple[np.ndarray, np.ndarray]]
"""Maps (h, w, 3) pixels to (h, w) labels and confidence, all in host memory."""

_PRECISIONS = {"cpu": ("fp32",), "cuda": ("fp16", "fp32")}
"""Precisions of each device; ``auto`` is the first."""
_WARM_UP_RUNS = 3  # cuDNN benchmarks its algorithms in the first
# TypeError and AttributeError: torch is too old.
_CAPTURE_FAILURES = (RuntimeError, TypeError, AttributeError)
_capture_lock = threading.Lock()  # torch can capture only one graph at a time per process
_logger = logging.getLogger(__name__)


class TorchEngine:
    """Runs the segmentation graph in PyTorch: fp32 on a CPU, fp16 or fp32 on a CUDA device.

    On a CUDA device the layout is channels-last, and each pixel type (uint8 or float32) has a CUDA graph that is
    captured at its first use. If capturing fails, the engine runs eagerly.

    Args:
        spec: what to build.
        reason: why this backend was chosen.
        device: ``cuda``, ``cpu``, or ``auto``: a CUDA device if there is one, otherwise the CPU.
    """

    backend = "torch"

    def __init__(self, spec: EngineSpec, reason: str = "requested", device: str = "auto") -> None:
        self.spec = spec
        self.reason = reason
        self._device = _choose_device(device)
        self.precision = choose_precision(spec.precision, self._device.type)
        network = load_network(spec.checkpoint)
        if spec.threads:
            torch.set_num_threads(spec.threads)
        try:
            self.device = "CPU"
            if self._device.type == "cuda":
                self.device = torch.cuda.get_device_name()
                torch.backends.cudnn.benchmark = True
                torch.backends.cudnn.allow_tf32 = False  # TF32 would not be fp32
            graph = SegmentationGraph(network, spec.checkpoint).eval()
            self._graph = prepare_graph(graph, self._device, self.precision)
        except RuntimeError as error:
            raise EngineError(f"torch cannot use {self._device}: {error}") from error
        self._runs: Dict[str, ImageFunction] = {}

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. The graph always computes the confidence."""
        check_pixels(pixels, self.spec.input_size)
        variant = str(pixels.dtype)
        try:
            with torch.inference_mode():
                if variant not in self._runs:
                    self._runs[variant] = start_run(self._graph, self.spec.input_size, variant, self._device)
                labels, confidence = self._runs[variant](pixels)
        except RuntimeError as error:
            raise EngineError(f"torch failed on {self.device}: {error}") from error
        return EngineOutput(labels, confidence if with_confidence else None)

    def close(self) -> None:
        """See ``Engine.close``."""
        self._runs.clear()
        del self._graph
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def choose_precision(requested: str, device_type: str) -> str:
    """Return the precision to use on ``cpu`` or ``cuda``.

    Raises:
        EngineError: the device does not support the requested precision.
    """
    supported = _PRECISIONS[device_type]
    if requested == "auto":
        return supported[0]
    if requested not in supported:
        raise EngineError(
            f"precision '{requested}' is not supported by backend 'torch' on {device_type}, which has "
            f"{', '.join(supported)}"
        )
    return requested


def prepare_graph(graph: SegmentationGraph, device: torch.device, precision: str) -> GraphFunction:
    """Move the graph to its device, precision and memory layout.

    In fp16, convolutions and their weights are fp16; normalisation and the softmax of the confidence stay in fp32.

    Raises:
        RuntimeError: the device failed.
    """
    graph.to(device)
    if device.type == "cuda":
        graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if precision == "fp32":
        return graph
    for module in graph.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.half()  # autocast would convert the weights for every image

    def run(batch: Tensor) -> Tuple[Tensor, Tensor]:
        with torch.autocast(device.type, torch.float16, cache_enabled=False):
            labels, confidence = graph(batch)
        return labels, confidence

    return run


def start_run(graph: GraphFunction, size: ImageSize, dtype: str, device: torch.device) -> ImageFunction:
    """Return a function that labels images of one size and dtype: a CUDA graph if possible, otherwise ``graph``.

    Args:
        graph: a graph on ``device``.
        size: size of the images.
        dtype: dtype of the pixels, ``uint8`` or ``float32``.
        device: device of the graph.

    Raises:
        RuntimeError: the device failed, also without a CUDA graph.
    """
    if device.type == "cuda":
        try:
            return CapturedRun(graph, size, dtype)
        except _CAPTURE_FAILURES as error:
            _logger.warning("torch runs eagerly because capturing a CUDA graph failed: %s", error)

    def run(pixels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        labels, confidence = graph(torch.from_numpy(pixels).unsqueeze(0).to(device))
        return labels[0].cpu().numpy(), confidence[0].cpu().numpy()

    return run


class CapturedRun:
    """A CUDA graph for images of one size and dtype: all GPU work for an image in one launch.

    The image and the results are copied through page-locked host buffers. The graph has its own stream, so an engine
    that is being built in one thread and another that runs in a second thread do not wait for each other.

    Raises:
        RuntimeError: capturing failed.
    """

    def __init__(self, graph: GraphFunction, size: ImageSize, dtype: str) -> None:
        kind = getattr(torch, dtype)
        self._host_pixels = torch.empty((1, *size, 3), dtype=kind, pin_memory=True)
        self._host_labels = torch.empty((1, *size), dtype=torch.uint8, pin_memory=True)
        self._host_confidence = torch.empty((1, *size), dtype=torch.uint8, pin_memory=True)
        self._captured = torch.cuda.CUDAGraph()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream())  # the current stream may still be preparing the weights
        with _capture_lock, torch.cuda.stream(self._stream):
            self._pixels = torch.zeros((1, *size, 3), dtype=kind, device="cuda")
            for _ in range(_WARM_UP_RUNS):
                graph(self._pixels)
            # thread_local: another thread may label images on the GPU during the capture
            with torch.cuda.graph(self._captured, stream=self._stream, capture_error_mode="thread_local"):
                self._labels, self._confidence = graph(self._pixels)

    def __call__(self, pixels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Label (h, w, 3) pixels. The results are valid until the next call."""
        self._host_pixels.numpy()[0] = pixels
        with torch.cuda.stream(self._stream):
            self._pixels.copy_(self._host_pixels, non_blocking=True)
            self._captured.replay()
            self._host_labels.copy_(self._labels, non_blocking=True)
            self._host_confidence.copy_(self._confidence, non_blocking=True)
        self._stream.synchronize()
        return self._host_labels.numpy()[0], self._host_confidence.numpy()[0]


def _choose_device(requested: str) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if requested == "cuda" and not has_cuda:
        raise EngineError("this torch has no CUDA device")
    return torch.device("cuda" if has_cuda and requested != "cpu" else "cpu")
