"""A built engine at work: its buffers on both sides, and one image through it."""

from __future__ import annotations

import ctypes
import logging
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import numpy as np
import tensorrt as trt

from espnet_ros.engines.base import EngineOutput
from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
from espnet_ros.engines.tensorrt.log import tensorrt_logger
from espnet_ros.errors import EngineError
from espnet_ros.types import ImageSize

PIXELS, LABELS, CONFIDENCE = "pixels", "labels", "confidence"
"""Names of the engine's input and outputs."""

_logger = logging.getLogger(__name__)


class _Binding(NamedTuple):
    """One input or output of an engine."""

    name: str
    shape: Tuple[int, ...]
    dtype: Any
    is_input: bool


class _Buffer(NamedTuple):
    """Memory of one input or output: float32 on the host, page-locked, and as much on the GPU."""

    host: np.ndarray
    host_address: int
    device_address: int


class EngineSession:
    """Runs one engine on one stream. Needs the ``tensorrt`` module and the CUDA runtime, and no torch.

    All inputs and outputs are float32, which every TensorRT has: bindings of uint8 came with 8.5 only.

    Args:
        plan: the serialised engine.
        size: of its images.
        log_level: see ``EngineSpec``.
        runtime: CUDA.

    Raises:
        EngineError: TensorRT cannot read the plan, its bindings are others, or memory runs out.
    """

    def __init__(self, plan: bytes, size: ImageSize, log_level: str, runtime: CudaRuntime) -> None:
        self._runtime = runtime
        self._log = tensorrt_logger(log_level)
        self._held = ExitStack()
        try:
            self._engine = trt.Runtime(self._log).deserialize_cuda_engine(plan)
            if self._engine is None:
                raise EngineError(f"TensorRT {trt.__version__} cannot read the engine: {self._log.take_error()}")
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise EngineError(f"TensorRT cannot make room for the engine: {self._log.take_error()}")
            self._stream = runtime.create_stream()
            self._hold(runtime.destroy_stream, self._stream)
            bindings = _list_bindings(self._engine)
            _check_bindings(bindings, size)
            self._buffers = {binding.name: self._make_buffer(binding) for binding in bindings}
            addresses = {name: buffer.device_address for name, buffer in self._buffers.items()}
            self._enqueue = _bind(self._context, [binding.name for binding in bindings], addresses)
        except BaseException:
            self.close()
            raise
        self._labels = np.empty(tuple(size), np.uint8)
        self._confidence = np.empty(tuple(size), np.uint8)

    def label(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """Label one image of the right shape; see ``Engine.infer``. The result is valid until the next call.

        Raises:
            EngineError: CUDA or TensorRT failed; the message says what they said.
        """
        if self._context is None:  # its memory is gone too
            raise EngineError("the engine has been closed")
        np.copyto(self._buffers[PIXELS].host[0], pixels)
        self._upload(self._buffers[PIXELS])
        if not self._enqueue(self._stream):
            raise EngineError(f"TensorRT did not run the engine: {self._log.take_error()}")
        self._download(self._buffers[LABELS])
        if with_confidence:
            self._download(self._buffers[CONFIDENCE])
        self._runtime.synchronize(self._stream)
        np.copyto(self._labels, self._buffers[LABELS].host[0], casting="unsafe")
        if not with_confidence:
            return EngineOutput(self._labels, None)
        certainty = self._buffers[CONFIDENCE].host[0]
        # a probability that rounding made a little more than 1 would wrap around to 0
        np.copyto(self._confidence, np.clip(certainty * 255.0 + 0.5, 0.0, 255.0), casting="unsafe")
        return EngineOutput(self._labels, self._confidence)

    def close(self) -> None:
        """Free the engine, its stream and its memory on both sides."""
        self._context = self._engine = None
        self._held.close()

    def _make_buffer(self, binding: _Binding) -> _Buffer:
        count = int(np.prod(binding.shape))
        device = self._runtime.allocate(4 * count)
        self._hold(self._runtime.free, device)
        address = self._runtime.allocate_pinned(4 * count)
        self._hold(self._runtime.free_pinned, address)
        memory = (ctypes.c_float * count).from_address(address)
        return _Buffer(np.ctypeslib.as_array(memory).reshape(binding.shape), address, device)

    def _hold(self, release: Callable[[int], None], handle: int) -> None:
        """Release it on ``close``, in reverse order, whatever becomes of the others."""

        def release_or_warn() -> None:
            try:
                release(handle)
            except EngineError as error:  # after a failure on the GPU, freeing its memory fails too
                _logger.warning("while an engine was closed: %s", error)

        self._held.callback(release_or_warn)

    def _upload(self, buffer: _Buffer) -> None:
        self._runtime.copy_to_device(buffer.device_address, buffer.host_address, buffer.host.nbytes, self._stream)

    def _download(self, buffer: _Buffer) -> None:
        self._runtime.copy_to_host(buffer.host_address, buffer.device_address, buffer.host.nbytes, self._stream)


def _has_named_tensors(engine: Any) -> bool:
    """Whether this TensorRT knows tensors by name (8.5 and later); 10 no longer knows bindings by number."""
    return hasattr(engine, "num_io_tensors")


def _list_bindings(engine: Any) -> List[_Binding]:
    """Inputs and outputs, in the engine's order."""
    if _has_named_tensors(engine):
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return [
            _Binding(
                name,
                tuple(engine.get_tensor_shape(name)),
                engine.get_tensor_dtype(name),
                engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            )
            for name in names
        ]
    return [
        _Binding(
            engine.get_binding_name(index),
            tuple(engine.get_binding_shape(index)),
            engine.get_binding_dtype(index),
            engine.binding_is_input(index),
        )
        for index in range(engine.num_bindings)
    ]


def _check_bindings(bindings: List[_Binding], size: ImageSize) -> None:
    expected = {
        PIXELS: _Binding(PIXELS, (1, *size, 3), trt.float32, True),
        LABELS: _Binding(LABELS, (1, *size), trt.float32, False),
        CONFIDENCE: _Binding(CONFIDENCE, (1, *size), trt.float32, False),
    }
    found = {binding.name: binding for binding in bindings}
    if found != expected:
        raise EngineError(f"the engine must have the bindings {_describe(expected)}, has {_describe(found)}")


def _describe(bindings: Dict[str, _Binding]) -> str:
    return ", ".join(f"{each.name} {each.shape} {each.dtype}" for _, each in sorted(bindings.items())) or "none"


def _bind(context: Any, names: List[str], addresses: Dict[str, int]) -> Callable[[int], bool]:
    """Tell the context where its tensors are; returns what puts one run into a stream."""
    if hasattr(context, "set_tensor_address"):
        for name in names:
            context.set_tensor_address(name, addresses[name])
        return lambda stream: bool(context.execute_async_v3(stream))
    bindings = [addresses[name] for name in names]
    return lambda stream: bool(context.execute_async_v2(bindings, stream))
