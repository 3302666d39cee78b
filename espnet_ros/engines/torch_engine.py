"""PyTorch, eager: the reference that other engines are compared with. Runs on a CPU or a CUDA device."""

from __future__ import annotations

import numpy as np
import torch

from espnet_ros.engines.base import EngineOutput, EngineSpec, check_pixels
from espnet_ros.errors import EngineError
from espnet_ros.model.graph import SegmentationGraph
from espnet_ros.model.loading import load_network


class TorchEngine:
    """The segmentation graph in PyTorch, in fp32."""

    backend = "torch"
    precision = "fp32"

    def __init__(self, spec: EngineSpec, reason: str = "asked for") -> None:
        if spec.precision == "bf16":
            raise EngineError("precision 'bf16' is not offered by backend 'torch', which computes in fp32")
        self.spec = spec
        self.reason = reason
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
