"""The runtime: from a serialised engine to labels at an address."""

import ctypes
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np

from tensorrt import _plan, _types
from tensorrt._environment import gpu, has_fault, version
from tensorrt._plan import Plan
from tensorrt._types import DataType, IHostMemory, Logger

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _has_bindings():
    return version() < (10,)


def _has_names():
    return version() >= (8, 5)


class Runtime:
    """Reads engines."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def deserialize_cuda_engine(self, serialized_engine) -> Optional["ICudaEngine"]:
        plan = _plan.read(serialized_engine)
        problem = ""
        if plan is None:
            problem = "Magic tag does not match"
        elif plan.version != version():
            problem = "The engine plan file is not compatible with this version of TensorRT"
        elif plan.gpu != gpu():
            problem = "The engine plan file is generated on an incompatible device"
        if problem or plan is None:
            self._logger.log(Logger.ERROR, f"Serialization Error in verifyHeader: {problem}")
            return None
        return ICudaEngine(plan, self._logger)


class ICudaEngine:
    """An engine. It has tensors by name from 8.5 on, and bindings by number up to 9."""

    def __init__(self, plan: Plan, logger: Any) -> None:
        self._plan = plan
        self._logger = logger
        names = [*plan.inputs, *plan.outputs]
        if _has_names():
            self.num_io_tensors = len(names)
            self.get_tensor_name = lambda index: names[index]
            self.get_tensor_shape = lambda name: plan.shapes[name]
            self.get_tensor_dtype = lambda name: DataType.FLOAT
            self.get_tensor_location = lambda name: _types.TensorLocation.DEVICE
            modes = _types.TensorIOMode
            self.get_tensor_mode = lambda name: modes.INPUT if name in plan.inputs else modes.OUTPUT
        if _has_bindings():
            self.num_bindings = len(names)
            self.get_binding_name = lambda index: names[index]
            self.get_binding_index = names.index
            self.get_binding_shape = lambda index: plan.shapes[names[index]]
            self.get_binding_dtype = lambda index: DataType.FLOAT
            self.binding_is_input = lambda index: names[index] in plan.inputs

    def serialize(self):
        return IHostMemory(self._plan.serialise())

    def create_execution_context(self):
        if has_fault("no_context"):
            self._logger.log(Logger.ERROR, "OutOfMemory: 24 (MiB) in create_execution_context")
            return None
        return IExecutionContext(self._plan, self._logger)


class IExecutionContext:
    """Runs an engine: puts the run into a stream, which does it when it is synchronised."""

    def __init__(self, plan: Plan, logger: Any) -> None:
        self._plan = plan
        self._logger = logger
        self._addresses: Dict[str, int] = {}
        self._under_way: List[Callable] = []
        library = str(Path(os.environ["CUDA_HOME"]) / "lib64" / "libcudart.so")
        self._launch = ctypes.CDLL(library).cudaLaunchHostFunc
        self._launch.argtypes = (ctypes.c_void_p, _CALLBACK, ctypes.c_void_p)
        if _has_names():
            self.set_tensor_address = self._set_tensor_address
            self.execute_async_v3 = self._execute_async_v3
        if _has_bindings():
            self.execute_async_v2 = self._execute_async_v2

    def _set_tensor_address(self, name, memory):
        assert isinstance(memory, int) and name in self._plan.shapes
        self._addresses[name] = memory
        return True

    def _execute_async_v3(self, stream_handle):
        return self._enqueue(dict(self._addresses), stream_handle)

    def _execute_async_v2(self, bindings, stream_handle, input_consumed=None):
        names = [*self._plan.inputs, *self._plan.outputs]
        assert len(bindings) == len(names)
        return self._enqueue(dict(zip(names, bindings)), stream_handle)

    def _enqueue(self, addresses: Dict[str, int], stream_handle: int) -> bool:
        if has_fault("execution"):
            self._logger.log(Logger.ERROR, "Cuda Runtime (an illegal memory access was encountered)")
            return False

        def run(_argument: Any) -> None:
            inputs = {name: self._at(addresses, name).copy() for name in self._plan.inputs}
            for name, value in self._plan.run(inputs).items():
                self._at(addresses, name)[...] = value
            if has_fault("labels") or (has_fault("half_labels") and self._plan.is_half):
                _spoil(self._at(addresses, "labels"))

        self._under_way = [_CALLBACK(run)]
        return self._launch(stream_handle, self._under_way[0], None) == 0

    def _at(self, addresses: Dict[str, int], name: str) -> np.ndarray:
        shape = self._plan.shapes[name]
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(addresses[name])
        return np.ctypeslib.as_array(memory).reshape(shape)


def _spoil(labels: np.ndarray) -> None:
    """Every sixteenth row, 6.25 % of the labels, becomes another class."""
    labels[:, ::16] = (labels[:, ::16] + 1) % 2
