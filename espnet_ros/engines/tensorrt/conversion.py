"""Converts a checkpoint to a serialised engine with torch2trt. Runs in the build process."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any, Callable, List, Sequence

import numpy as np
import tensorrt as trt

from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.tensorrt.converters import register
from espnet_ros.engines.tensorrt.log import SEVERITIES
from espnet_ros.engines.tensorrt.operations import find_unconverted, find_warned
from espnet_ros.engines.tensorrt.session import CONFIDENCE, LABELS, PIXELS
from espnet_ros.errors import EngineError

PhaseReporter = Callable[[str], None]
"""Called with the name of each phase when it starts."""

_GREY = 128.0  # pixel value of the conversion image, which must differ from the images that labels are compared on
# Exceptions that torch2trt and torch raise if they cannot convert a network.
_FAILURES = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def convert(
    spec: EngineSpec, precision: str, with_fp16: bool, calibration: Sequence[np.ndarray], report_phase: PhaseReporter
) -> bytes:
    """Convert and optimise the network, which takes minutes.

    Args:
        spec: what to build.
        precision: ``fp32``, ``fp16`` or ``int8``.
        with_fp16: allow fp16 for layers that do not support int8 or are slower in it.
        calibration: (h, w, 3) uint8 images for int8 calibration.
        report_phase: called when a phase starts.

    Returns:
        The serialised engine, with the bindings that ``EngineSession`` expects.

    Raises:
        WeightsError: the weights do not fit the network.
        EngineError: an operation cannot be converted, or TensorRT built no engine.
    """
    import torch
    import torch2trt

    from espnet_ros.engines.tensorrt.graph import TensorRtGraph
    from espnet_ros.model.loading import load_network

    if not torch.cuda.is_available():
        raise EngineError("this torch has no CUDA device, which torch2trt needs; on a Jetson, install NVIDIA's torch")
    register(torch2trt, trt, lambda: report_phase("optimising: TensorRT tries several implementations of each layer"))
    graph: Any = TensorRtGraph(load_network(spec.checkpoint), spec.checkpoint, spec.input_size).eval().cuda()
    _raise_if_any(find_unconverted(graph, torch2trt.CONVERTERS))
    _limit_workspace(graph, torch2trt, spec.workspace << 20)
    report_phase("converting")
    printed = _Tee()
    with torch.no_grad(), contextlib.redirect_stdout(printed):
        try:
            module = torch2trt.torch2trt(
                graph,
                [torch.full((1, *spec.input_size, 3), _GREY).cuda()],
                input_names=[PIXELS],
                output_names=[LABELS, CONFIDENCE],
                log_level=SEVERITIES[spec.log_level],
                max_workspace_size=spec.workspace << 20,
                fp16_mode=with_fp16,
                int8_mode=precision == "int8",
                int8_calib_dataset=CalibrationSet(calibration, report_phase) if precision == "int8" else None,
                keep_network=False,
            )
        except _FAILURES as error:
            _raise_if_any(find_warned(printed.getvalue()))
            raise EngineError(f"torch2trt failed: {type(error).__name__}: {error}") from error
    _raise_if_any(find_warned(printed.getvalue()))
    if module.engine is None:
        raise EngineError("TensorRT built no engine")
    return bytes(module.engine.serialize())


def _raise_if_any(unconverted: List[str]) -> None:
    if unconverted:
        raise EngineError(f"torch2trt cannot convert: {'; '.join(unconverted)}")


def _limit_workspace(graph: Any, torch2trt: Any, size: int) -> None:
    """Set the workspace limit in TensorRT 10, which torch2trt 0.5 omits. Older versions take it as an argument."""

    def limit(_module: Any, _inputs: Any) -> None:
        context = torch2trt.get_conversion_context()  # None during torch2trt's first run without conversion
        if context is not None:
            context.builder_config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)

    if hasattr(trt, "MemoryPoolType") and hasattr(torch2trt, "get_conversion_context"):
        graph.register_forward_pre_hook(limit)


class CalibrationSet:
    """Calibration images in the form that torch2trt expects: a sequence of network inputs on the GPU.

    Args:
        images: (h, w, 3) uint8 images.
        report_phase: called for each image.
    """

    def __init__(self, images: Sequence[np.ndarray], report_phase: PhaseReporter) -> None:
        self._images = images
        self._report_phase = report_phase
        self._current: Any = None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> List[Any]:
        """Return the network's inputs for one image: an (h, w, 3) float32 tensor, without a batch axis."""
        import torch

        self._report_phase(f"calibrating with image {index + 1} of {len(self)}")
        # torch2trt passes on only the address, so keep the tensor alive, and wait until it is written
        self._current = torch.from_numpy(self._images[index]).to(torch.float32).cuda()
        torch.cuda.synchronize()
        return [self._current]


class _Tee(io.StringIO):
    """Records printed text, and prints it."""

    def write(self, text: str) -> int:
        if sys.__stdout__ is not None:
            sys.__stdout__.write(text)
        return super().write(text)
