"""Runs a built engine: its buffers on host and GPU, and inference of one image."""

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
    """Memory of one input or output: a page-locked float32 array on the host, and the same size on the GPU."""

    host: np.ndarray
    host_address: int
    device_address: int


class EngineSession:
    """Runs one engine on one CUDA stream. Needs the ``tensorrt`` module and the CUDA runtime, but not torch.

    All inputs and outputs are float32, because TensorRT supports uint8 bindings only from 8.5 on.

    Args:
        plan: the serialised engine.
        size: image size of the engine.
        log_level: see ``EngineSpec``.
        runtime: the CUDA runtime.

    Raises:
        EngineError: TensorRT cannot read the plan, the bindings are not as expected, or there is not enough memory.
    """

    def __init__(self, plan: bytes, size: ImageSize, log_level: str, runtime: CudaRuntime) -> None:
        self._runtime = runtime
        self._log = tensorrt_logger(log_level)
        self._resources = ExitStack()
        try:
            self._engine = trt.Runtime(self._log).deserialize_cuda_engine(plan)
            if self._engine is None:
                raise EngineError(f"TensorRT {trt.__version__} cannot read the engine: {self._log.take_error()}")
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise EngineError(f"TensorRT cannot allocate memory for the engine: {self._log.take_error()}")
            self._stream = runtime.create_stream()
            self._release_on_close(runtime.destroy_stream, self._stream)
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

    def run(self, pixels: np.ndarray, with_confidence: bool = False) -> EngineOutput:
        """Segment one image of the engine's size; see ``Engine.infer``. The result is valid until the next call.

        Raises:
            EngineError: the session is closed, or CUDA or TensorRT failed; the message contains their error.
        """
        if self._context is None:
            raise EngineError("the engine has been closed")
        np.copyto(self._buffers[PIXELS].host[0], pixels)
        self._upload(self._buffers[PIXELS])
        if not self._enqueue(self._stream):
            raise EngineError(f"TensorRT could not run the engine: {self._log.take_error()}")
        self._download(self._buffers[LABELS])
        if with_confidence:
            self._download(self._buffers[CONFIDENCE])
        self._runtime.synchronize(self._stream)
        np.copyto(self._labels, self._buffers[LABELS].host[0], casting="unsafe")
        if not with_confidence:
            return EngineOutput(self._labels, None)
        probability = self._buffers[CONFIDENCE].host[0]
        # without clipping, a probability slightly above 1 from rounding would wrap around to 0
        np.copyto(self._confidence, np.clip(probability * 255.0 + 0.5, 0.0, 255.0), casting="unsafe")
        return EngineOutput(self._labels, self._confidence)

    def close(self) -> None:
        """Free the engine, its stream and its memory on host and GPU."""
        self._context = self._engine = None
        self._resources.close()

    def _make_buffer(self, binding: _Binding) -> _Buffer:
        count = int(np.prod(binding.shape))
        device = self._runtime.allocate(4 * count)
        self._release_on_close(self._runtime.free, device)
        address = self._runtime.allocate_pinned(4 * count)
        self._release_on_close(self._runtime.free_pinned, address)
        memory = (ctypes.c_float * count).from_address(address)
        return _Buffer(np.ctypeslib.as_array(memory).reshape(binding.shape), address, device)

    def _release_on_close(self, release: Callable[[int], None], handle: int) -> None:
        """Register a resource to be released by ``close``, in reverse order, even if releasing others fails."""

        def release_or_warn() -> None:
            try:
                release(handle)
            except EngineError as error:  # after an error on the GPU, freeing its memory fails as well
                _logger.warning("closing an engine: %s", error)

        self._resources.callback(release_or_warn)

    def _upload(self, buffer: _Buffer) -> None:
        self._runtime.copy_to_device(buffer.device_address, buffer.host_address, buffer.host.nbytes, self._stream)

    def _download(self, buffer: _Buffer) -> None:
        self._runtime.copy_to_host(buffer.host_address, buffer.device_address, buffer.host.nbytes, self._stream)


def _has_named_tensors(engine: Any) -> bool:
    """Return whether TensorRT addresses tensors by name (8.5 and later). 10 no longer has bindings by number."""
    return hasattr(engine, "num_io_tensors")


def _list_bindings(engine: Any) -> List[_Binding]:
    """List the inputs and outputs in the engine's order."""
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
    """Set the addresses of the context's tensors; return a function that enqueues one run on a stream."""
    if hasattr(context, "set_tensor_address"):
        for name in names:
            context.set_tensor_address(name, addresses[name])
        return lambda stream: bool(context.execute_async_v3(stream))
    bindings = [addresses[name] for name in names]
    return lambda stream: bool(context.execute_async_v2(bindings, stream))
