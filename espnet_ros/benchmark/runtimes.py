"""The published network on other runtimes, with the defaults of each.

Preprocessing is that of the published pipeline, in numpy before the runtime; argmax follows the runtime, in numpy.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_ros.benchmark.published import PublishedPipeline, preprocess_as_published, published_network
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.types import ImageSize


class CompiledPipeline(PublishedPipeline):
    """The published pipeline with its network compiled by ``torch.compile`` in the default mode."""

    def __init__(self, checkpoint: Checkpoint, size: ImageSize, device: str = "cpu") -> None:
        super().__init__(checkpoint, size, device)
        # otherwise earlier sizes or alphas make the shapes dynamic, or exceed the limit of recompilations
        torch.compiler.reset()
        self._network = torch.compile(self._network)  # type: ignore[assignment]


class OnnxRuntimePipeline:
    """The published network, exported to ONNX at a fixed size, in an ONNX Runtime session with default options."""

    def __init__(self, checkpoint: Checkpoint, size: ImageSize) -> None:
        import onnxruntime

        self._checkpoint = checkpoint
        self._size = size
        offered = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in offered]
        with tempfile.TemporaryDirectory(prefix="espnet_") as folder:
            path = str(Path(folder) / "network.onnx")
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter needs another package
                example = torch.zeros(1, 3, *size)
                torch.onnx.export(published_network(checkpoint), (example,), path, dynamo=False)
            self._session = onnxruntime.InferenceSession(path, providers=providers)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return (h, w) uint8 labels at the pipeline's size of an (H, W, 3) uint8 BGR image."""
        batch = preprocess_as_published(image, self._checkpoint, self._size)
        scores: Any = self._session.run(None, {self._input: batch})[0]
        return np.asarray(scores[0].argmax(0).astype(np.uint8))


class OpenVinoPipeline:
    """The published network, converted at a fixed size, compiled by OpenVINO for the CPU without hints."""

    def __init__(self, checkpoint: Checkpoint, size: ImageSize) -> None:
        import openvino

        self._checkpoint = checkpoint
        self._size = size
        example = torch.zeros(1, 3, *size)
        with torch.no_grad():
            model = openvino.convert_model(
                published_network(checkpoint), example_input=example, input=[1, 3, size.height, size.width]
            )
        self._compiled = openvino.compile_model(model, "CPU")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return (h, w) uint8 labels at the pipeline's size of an (H, W, 3) uint8 BGR image."""
        batch = preprocess_as_published(image, self._checkpoint, self._size)
        scores: Any = self._compiled(batch)[0]
        return np.asarray(scores[0].argmax(0).astype(np.uint8))
