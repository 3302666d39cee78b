"""PyTorch: eager on a CPU, where it is the reference that other engines are compared with; CUDA graphs on a GPU."""

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
"""(1, h, w, 3) pixels to (1, h, w) labels and confidence, all on the engine's device."""
ImageFunction = Callable[[np.ndarray], Tuple[np.ndarray, np.ndarray]]
"""(h, w, 3) pixels to (h, w) labels and confidence, all in the process's memory."""

_PRECISIONS = {"cpu": ("fp32",), "cuda": ("fp16", "fp32")}
"""By device; the first is what ``auto`` means."""
_WARM_UP_RUNS = 3  # cuDNN tries its algorithms in the first
# The last two: a torch that is too old.
_CAPTURE_FAILURES = (RuntimeError, TypeError, AttributeError)
_capture_lock = threading.Lock()  # torch captures one graph at a time in a process
_logger = logging.getLogger(__name__)


class TorchEngine:
    """The segmentation graph in PyTorch: fp32 on a CPU, fp16 or fp32 on a CUDA device.

    On a CUDA device it runs channels last, and each kind of pixels (uint8 or float32) has a CUDA graph, captured when
    it is first needed. Where capturing fails it runs eagerly.

    Args:
        spec: what to build.
        reason: why this backend was chosen.
        device: ``cuda``, ``cpu``, or ``auto`` for the first of them that is there.
    """

    backend = "torch"

    def __init__(self, spec: EngineSpec, reason: str = "asked for", device: str = "auto") -> None:
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
                torch.backends.cudnn.allow_tf32 = False  # it would not be fp32
            graph = SegmentationGraph(network, spec.checkpoint).eval()
            self._graph = prepare_graph(graph, self._device, self.precision)
        except RuntimeError as error:
            raise EngineError(f"torch cannot use {self._device}: {error}") from error
        self._runs: Dict[str, ImageFunction] = {}

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. The graph computes the confidence in any case."""
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
        """Free the network and its CUDA graphs."""
        self._runs.clear()
        del self._graph
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def choose_precision(requested: str, device_type: str) -> str:
    """What to compute in on ``cpu`` or ``cuda``.

    Raises:
        EngineError: the device does not offer what is asked for.
    """
    offered = _PRECISIONS[device_type]
    if requested == "auto":
        return offered[0]
    if requested not in offered:
        raise EngineError(
            f"precision '{requested}' is not offered by backend 'torch' on {device_type}: {' or '.join(offered)}"
        )
    return requested


def prepare_graph(graph: SegmentationGraph, device: torch.device, precision: str) -> GraphFunction:
    """Bring the graph to its device, precision and layout.

    In fp16 the convolutions and their weights are; normalisation and the confidence's softmax stay in fp32.

    Raises:
        RuntimeError: the device fails.
    """
    graph.to(device)
    if device.type == "cuda":
        graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if precision == "fp32":
        return graph
    for module in graph.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.half()  # autocast would convert them for every image

    def run(batch: Tensor) -> Tuple[Tensor, Tensor]:
        with torch.autocast(device.type, torch.float16, cache_enabled=False):
            labels, confidence = graph(batch)
        return labels, confidence

    return run


def start_run(graph: GraphFunction, size: ImageSize, dtype: str, device: torch.device) -> ImageFunction:
    """What labels images of one kind from now on: a CUDA graph where that works, else ``graph`` as it is.

    Args:
        graph: on ``device``.
        size: of the images.
        dtype: of their pixels, ``uint8`` or ``float32``.
        device: where it runs.

    Raises:
        RuntimeError: the device fails, also without a CUDA graph.
    """
    if device.type == "cuda":
        try:
            return CapturedRun(graph, size, dtype)
        except _CAPTURE_FAILURES as error:
            _logger.warning("torch runs eagerly, as capturing a CUDA graph failed: %s", error)

    def run(pixels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        labels, confidence = graph(torch.from_numpy(pixels).unsqueeze(0).to(device))
        return labels[0].cpu().numpy(), confidence[0].cpu().numpy()

    return run


class CapturedRun:
    """A CUDA graph of one kind of call: everything the GPU does for an image, launched at once.

    Image and results pass through fixed memory, page-locked on the host. It has a stream of its own, so that an
    engine that is built in one thread and one that runs in another do not wait for each other.

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
        self._stream.wait_stream(torch.cuda.current_stream())  # it may still be preparing the weights
        with _capture_lock, torch.cuda.stream(self._stream):
            self._pixels = torch.zeros((1, *size, 3), dtype=kind, device="cuda")
            for _ in range(_WARM_UP_RUNS):
                graph(self._pixels)
            # thread_local: another thread may use the GPU meanwhile, for the images that flow
            with torch.cuda.graph(self._captured, stream=self._stream, capture_error_mode="thread_local"):
                self._labels, self._confidence = graph(self._pixels)

    def __call__(self, pixels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) pixels to (h, w) labels and confidence, valid until the next call."""
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
