"""The contenders of a comparison: the published pipeline, its network on other runtimes, and our engines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict

import numpy as np

from espnet_ros.config import rule_of
from espnet_ros.engines import EngineSpec, build_engine
from espnet_ros.errors import EngineError, EspnetError, ParameterError
from espnet_ros.segmenter import resize_pixels

Pipeline = Callable[[np.ndarray], np.ndarray]
"""Maps (H, W, 3) uint8 BGR to (h, w) uint8 labels at the network's size."""

REFERENCE = "published"
PUBLISHED_CONTENDERS = (REFERENCE, "torch.compile", "onnxruntime", "openvino")
"""The published pipeline, and runtimes that run its network unchanged."""
OUR_ENGINES = (
    "native/fp32",
    "native/bf16",
    "native/int8",
    "native/auto",
    "torch/auto",
    "onnxruntime/fp32",
    "openvino/fp32",
    "openvino/bf16",
    "openvino/int8",
    "openvino/auto",
    "tensorrt/auto",
)
"""``backend/precision``."""

_TITLES: Dict[str, str] = {
    REFERENCE: "published pipeline, eager PyTorch",
    "torch.compile": "published network, torch.compile",
    "onnxruntime": "published network, ONNX Runtime",
    "openvino": "published network, OpenVINO",
}


@dataclass(frozen=True)
class Contender:
    """A pipeline that is ready to be timed.

    Attributes:
        name: on the command line.
        is_ours: whether it is one of our engines.
        title: description for reports.
        run: labels an image.
        close: frees its resources.
    """

    name: str
    is_ours: bool
    title: str
    run: Pipeline
    close: Callable[[], Any] = lambda: None


def check_name(name: str) -> None:
    """Check the name of a contender.

    Raises:
        ParameterError: it is neither one of ``PUBLISHED_CONTENDERS`` nor ``backend/precision``.
    """
    backend, slash, precision = name.partition("/")
    is_engine = slash and backend in rule_of("backend").choices and precision in rule_of("precision").choices
    if not is_engine and name not in PUBLISHED_CONTENDERS:
        raise ParameterError(
            f"contender must be one of {', '.join(PUBLISHED_CONTENDERS)}, or BACKEND/PRECISION of the node, is '{name}'"
        )


def start_contender(name: str, spec: EngineSpec, image: np.ndarray) -> Contender:
    """Load, convert or build a contender, and run it once, because some compile on their first image.

    Args:
        name: one of ``PUBLISHED_CONTENDERS``, or ``backend/precision`` of our engines.
        spec: network, size and threads; its backend and precision are replaced.
        image: (H, W, 3) uint8 BGR.

    Raises:
        EspnetError: it cannot run here.
    """
    try:
        contender = _start_engine(name, spec) if "/" in name else start_published(name, spec)
        contender.run(image)
    except EspnetError:
        raise
    except Exception as error:  # third-party runtimes raise errors without a common base class
        raise EngineError(f"{name} cannot run: {_first_line(error)}") from error
    return contender


def _start_engine(name: str, spec: EngineSpec) -> Contender:
    backend, _, precision = name.partition("/")
    engine = build_engine(replace(spec, backend=backend, precision=precision))

    def run(image: np.ndarray) -> np.ndarray:
        return engine.infer(np.ascontiguousarray(resize_pixels(image, spec.input_size))).labels

    title = f"espnet_ros, {backend} {precision}"
    if "auto" in (backend, precision):
        title += f" ({engine.backend} {engine.precision})"
    return Contender(name, True, title, run, engine.close)


def start_published(name: str, spec: EngineSpec) -> Contender:
    """Load or convert one of ``PUBLISHED_CONTENDERS``."""
    # imported here, because they need torch and their runtimes
    from espnet_ros.benchmark.published import PublishedPipeline, fastest_device
    from espnet_ros.benchmark.runtimes import CompiledPipeline, OnnxRuntimePipeline, OpenVinoPipeline

    checkpoint, size = spec.checkpoint, spec.input_size
    start: Dict[str, Callable[[], Pipeline]] = {
        REFERENCE: lambda: PublishedPipeline(checkpoint, size, fastest_device()),
        "torch.compile": lambda: CompiledPipeline(checkpoint, size, fastest_device()),
        "onnxruntime": lambda: OnnxRuntimePipeline(checkpoint, size),
        "openvino": lambda: OpenVinoPipeline(checkpoint, size),
    }
    return Contender(name, False, _TITLES[name], start[name]())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
