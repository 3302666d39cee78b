"""The builder: from a network to a serialised engine."""

import ctypes
import os
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from tensorrt import _types
from tensorrt._environment import gpu, has_fault, version
from tensorrt._network import ILayer, INetworkDefinition, ITensor
from tensorrt._plan import Plan, PlanLayer
from tensorrt._runtime import ICudaEngine
from tensorrt._types import BuilderFlag, DataType, IHostMemory, Logger, TensorLocation


class IInt8Calibrator:
    """Base of calibrators in Python."""

    def __init__(self):
        pass


class _Profile:
    def __init__(self):
        self.shapes: Dict[str, Any] = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002
        self.shapes[input] = (min, opt, max)


class IBuilderConfig:
    """How to build."""

    def __init__(self) -> None:
        self.flags: List[BuilderFlag] = []
        self.workspace: Optional[int] = None
        self.int8_calibrator: Any = None
        self.default_device_type = _types.DeviceType.GPU
        self.DLA_core = -1
        self.avg_timing_iterations = 1

    def __setattr__(self, name, value):
        if name == "max_workspace_size":
            if version() >= (10,):
                raise AttributeError("'IBuilderConfig' object has no attribute 'max_workspace_size'")
            name = "workspace"
        object.__setattr__(self, name, value)

    def __getattr__(self, name):
        if name == "set_memory_pool_limit" and version() >= (8, 4):
            return self._set_memory_pool_limit
        raise AttributeError(name)

    def _set_memory_pool_limit(self, pool, pool_size):
        assert pool is _types.MemoryPoolType.WORKSPACE
        self.workspace = pool_size

    def set_flag(self, flag):
        self.flags.append(flag)

    def set_device_type(self, layer, device_type):
        assert isinstance(layer, ILayer)

    def can_run_on_DLA(self, layer):  # noqa: N802
        return False

    def add_optimization_profile(self, profile):
        return 0

    def set_calibration_profile(self, profile):
        return True


class Builder:
    """Builds engines for the GPU that the stand-in is told to be."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self.max_batch_size = 1

    @property
    def platform_has_fast_fp16(self):
        return not has_fault("no_fp16")

    @property
    def platform_has_fast_int8(self):
        return not has_fault("no_int8")

    def create_network(self, flags=0):
        assert flags == 1 << int(_types.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
        return INetworkDefinition()

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return _Profile()

    def build_serialized_network(self, network, config):
        plan = self._build(network, config)
        return None if plan is None else IHostMemory(plan.serialise())

    def __getattr__(self, name):
        if name == "build_engine" and version() < (10,):
            return self._build_engine
        raise AttributeError(name)

    def _build_engine(self, network, config):
        plan = self._build(network, config)
        return None if plan is None else ICudaEngine(plan, self._logger)

    def _build(self, network: INetworkDefinition, config: IBuilderConfig) -> Optional[Plan]:
        if "STANDIN_PID_FILE" in os.environ:
            Path(os.environ["STANDIN_PID_FILE"]).write_text(str(os.getpid()))
        time.sleep(float(os.environ.get("STANDIN_BUILD_SECONDS", "0")))
        if has_fault("killed"):
            os.kill(os.getpid(), 9)
        problem = "Could not find any implementation" if has_fault("no_engine") else _find_problem(network)
        if problem:
            self._logger.log(Logger.ERROR, problem)
            return None
        self._logger.log(Logger.WARNING, "the stand-in does not tune anything")
        self._logger.log(Logger.INFO, "network built")
        try:
            plan = _plan(network, config)
            if BuilderFlag.INT8 in config.flags:
                plan.ranges = _calibrate(plan, config.int8_calibrator)
        except ValueError as error:
            self._logger.log(Logger.ERROR, str(error))
            return None
        return plan


def _find_problem(network: INetworkDefinition) -> str:
    for tensor in (*network.inputs, *network.outputs):
        if tensor.location is not TensorLocation.DEVICE:
            return f"tensor {tensor.name} must be on the device"
    for tensor in network.outputs:
        natural = DataType.INT32 if tensor.example.dtype == np.int32 else DataType.FLOAT
        if tensor.dtype is not natural:
            return f"output {tensor.name} cannot become {tensor.dtype.name}, is {natural.name}"
    return ""


def _plan(network: INetworkDefinition, config: IBuilderConfig) -> Plan:
    """The layers that the outputs depend on, each after those it needs."""
    layers: List[PlanLayer] = []
    numbers: Dict[int, int] = {}

    def visit(layer: ILayer) -> None:
        if id(layer) in numbers:
            return
        for tensor in layer.inputs:
            visit(tensor.source)
        numbers[id(layer)] = len(layers)
        layers.append(PlanLayer(layer.kind, dict(layer.settings), [locate(tensor) for tensor in layer.inputs]))

    def locate(tensor: ITensor):
        return numbers[id(tensor.source)], tensor.index

    for tensor in (*network.inputs, *network.outputs):
        visit(tensor.source)
    return Plan(
        version=version(),
        gpu=gpu(),
        layers=layers,
        inputs={tensor.name: locate(tensor)[0] for tensor in network.inputs},
        outputs={tensor.name: locate(tensor) for tensor in network.outputs},
        shapes={tensor.name: tuple(tensor.shape) for tensor in (*network.inputs, *network.outputs)},
        is_half=BuilderFlag.FP16 in config.flags,
        workspace=config.workspace,
    )


def _calibrate(plan: Plan, calibrator: Any) -> Dict[int, float]:
    """Largest absolute value that each layer's output takes on the calibrator's batches."""
    ranges: Dict[int, float] = {}
    (name,) = plan.inputs
    shape = plan.shapes[name]
    batches = 0
    while True:
        addresses = calibrator.get_batch([name])
        if not addresses:
            break
        memory = ctypes.string_at(addresses[0], 4 * int(np.prod(shape)))
        for number, value in enumerate(plan.run_all({name: np.frombuffer(memory, np.float32).reshape(shape)})):
            ranges[number] = max(ranges.get(number, 0.0), float(np.abs(value[0]).max()))
        batches += 1
    if not batches:
        raise ValueError("Calibration failure occurred with no scaling factors detected")
    plan.calibrated_with = batches
    return ranges
