"""From a checkpoint to a serialised engine, through torch2trt. Runs in the build's own process."""

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

Teller = Callable[[str], None]
"""Takes what is being done, for the log."""

_GREY = 128.0  # of the image that the network is converted with, which is like none that the engine is tried on
# What torch2trt and torch raise where a network does not suit them.
_FAILURES = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def convert(
    spec: EngineSpec, precision: str, with_fp16: bool, calibration: Sequence[np.ndarray], tell: Teller
) -> bytes:
    """Convert and optimise the network; takes minutes.

    Args:
        spec: what to build.
        precision: what it shall compute in.
        with_fp16: let layers that have no int8, or are slower in it, compute in fp16.
        calibration: (h, w, 3) uint8 images that int8 takes its ranges from.
        tell: told what is being done.

    Returns:
        The serialised engine; its bindings are those of ``EngineSession``.

    Raises:
        WeightsError: the weights do not fit the network.
        EngineError: an operation cannot be converted, or TensorRT built no engine.
    """
    import torch
    import torch2trt

    from espnet_ros.engines.tensorrt.graph import TensorRtGraph
    from espnet_ros.model.loading import load_network

    if not torch.cuda.is_available():
        raise EngineError("this torch has no CUDA device, which torch2trt needs; on a Jetson take NVIDIA's torch")
    register(torch2trt, trt, lambda: tell("optimising: TensorRT tries several ways to compute each layer"))
    graph: Any = TensorRtGraph(load_network(spec.checkpoint), spec.checkpoint, spec.input_size).eval().cuda()
    _refuse(find_unconverted(graph, torch2trt.CONVERTERS))
    _limit_workspace(graph, torch2trt, spec.workspace << 20)
    tell("converting")
    printed = _Copy()
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
                int8_calib_dataset=CalibrationSet(calibration, tell) if precision == "int8" else None,
                keep_network=False,
            )
        except _FAILURES as error:
            _refuse(find_warned(printed.getvalue()))
            raise EngineError(f"torch2trt failed: {type(error).__name__}: {error}") from error
    _refuse(find_warned(printed.getvalue()))
    if module.engine is None:
        raise EngineError("TensorRT built no engine")
    return bytes(module.engine.serialize())


def _refuse(unconverted: List[str]) -> None:
    if unconverted:
        raise EngineError(f"torch2trt cannot convert: {'; '.join(unconverted)}")


def _limit_workspace(graph: Any, torch2trt: Any, size: int) -> None:
    """Set the limit on TensorRT 10, where torch2trt 0.5 leaves it out; older versions take it as an argument."""

    def limit(_module: Any, _inputs: Any) -> None:
        context = torch2trt.get_conversion_context()  # None while torch2trt tries the network by itself
        if context is not None:
            context.builder_config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)

    if hasattr(trt, "MemoryPoolType") and hasattr(torch2trt, "get_conversion_context"):
        graph.register_forward_pre_hook(limit)


class CalibrationSet:
    """The images for int8 as torch2trt asks for them: one at a time on the GPU.

    Args:
        images: (h, w, 3) uint8.
        tell: told which image it is.
    """

    def __init__(self, images: Sequence[np.ndarray], tell: Teller) -> None:
        self._images = images
        self._tell = tell
        self._given: Any = None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> List[Any]:
        """The network's inputs for one image: an (h, w, 3) float32 tensor, without a batch axis."""
        import torch

        self._tell(f"calibrating with image {index + 1} of {len(self)}")
        # torch2trt passes only the address on, so the tensor must outlive this call, and be written when it ends
        self._given = torch.from_numpy(self._images[index]).to(torch.float32).cuda()
        torch.cuda.synchronize()
        return [self._given]


class _Copy(io.StringIO):
    """Keeps what is printed, and prints it."""

    def write(self, text: str) -> int:
        if sys.__stdout__ is not None:
            sys.__stdout__.write(text)
        return super().write(text)
