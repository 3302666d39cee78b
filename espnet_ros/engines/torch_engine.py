"""PyTorch, eager: the reference that other engines are compared with. Runs on a CPU or a CUDA device."""

from __future__ import annotations

import numpy as np
import torch

from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.errors import EngineError
from espnet_ros.model.graph import SegmentationGraph
from espnet_ros.model.loading import load_network


class TorchEngine:
    """The segmentation graph in PyTorch, in fp32.

    Args:
        spec: what to build.
        reason: why this backend was chosen.
        device: ``cuda``, ``cpu``, or ``auto`` for the first of them that is there.
    """

    backend = "torch"
    precision = "fp32"

    def __init__(self, spec: EngineSpec, reason: str = "asked for", device: str = "auto") -> None:
        if spec.precision not in ("auto", "fp32"):
            raise EngineError(f"precision '{spec.precision}' is not offered by backend 'torch', which computes in fp32")
        self.spec = spec
        self.reason = reason
        has_cuda = torch.cuda.is_available()
        if device == "cuda" and not has_cuda:
            raise EngineError("this torch has no CUDA device")
        self._device = torch.device("cuda" if has_cuda and device != "cpu" else "cpu")
        self.device = torch.cuda.get_device_name() if self._device.type == "cuda" else "CPU"
        if spec.threads:
            torch.set_num_threads(spec.threads)
        graph = SegmentationGraph(load_network(spec.checkpoint), spec.checkpoint)
        self._graph = graph.eval().to(self._device)

    def infer(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """See ``Engine.infer``. The graph computes the confidence in any case."""
        check_pixels(pixels, self.spec.input_size)
        try:
            with torch.inference_mode():
                batch = torch.from_numpy(pixels).unsqueeze(0).to(self._device)
                labels, confidence = self._graph(batch)
                return EngineOutput(labels[0].cpu().numpy(), confidence[0].cpu().numpy() if with_confidence else None)
        except RuntimeError as error:
            raise EngineError(f"torch failed on {self.device}: {error}") from error

    def close(self) -> None:
        """Free the network."""
        del self._graph
