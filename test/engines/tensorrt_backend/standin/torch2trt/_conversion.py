"""The registry of converters, their hooks, and the conversion."""

import functools
import importlib

import tensorrt as trt
import torch

CONVERTERS = {}
_active = None


def get_conversion_context():
    """The conversion under way, or None."""
    return _active


def tensorrt_converter(method, is_real=True, enabled=True, imports=()):
    """Register a converter for a function, given by its dotted name."""

    def register(converter):
        holder, attribute = _locate(method)
        CONVERTERS[method] = {
            "converter": converter,
            "is_real": is_real,
            "module": holder,
            "qual_name": attribute,
            "method_str": method,
            "method_impl": getattr(holder, attribute),
        }
        return converter

    return register if enabled else lambda converter: converter


def _locate(method):
    """The object that holds a function, and its name there."""
    parts = method.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            holder = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        return functools.reduce(getattr, parts[length:-1], holder), parts[-1]
    raise RuntimeError(f"Could not import module of {method}")


class ConversionContext:
    """While it is entered, calls of registered functions are converted too."""

    def __init__(self, network, builder_config):
        self.network = network
        self.builder_config = builder_config
        self.lock = False
        self.method_args = self.method_kwargs = self.method_return = self.method_str = None

    def __enter__(self):
        global _active
        _active = self
        for entry in CONVERTERS.values():
            setattr(entry["module"], entry["qual_name"], self._hook(entry))
        return self

    def __exit__(self, *_):
        global _active
        _active = None
        for entry in CONVERTERS.values():
            setattr(entry["module"], entry["qual_name"], entry["method_impl"])

    def _hook(self, entry):
        def call(*args, **kwargs):
            is_inner = self.lock
            self.lock = self.lock or entry["is_real"]
            result = entry["method_impl"](*args, **kwargs)
            if not is_inner:
                self.method_args, self.method_kwargs = args, kwargs
                self.method_return, self.method_str = result, entry["method_str"]
                entry["converter"](self)
                self.lock = False
            return result

        return call


class TRTModule(torch.nn.Module):
    """What comes of a conversion. Without an engine it says nothing."""

    def __init__(self, engine=None, input_names=None, output_names=None):
        super().__init__()
        if isinstance(engine, trt.IHostMemory):
            engine = trt.Runtime(trt.Logger()).deserialize_cuda_engine(engine)
        self.engine = engine
        if engine is not None:
            self.context = engine.create_execution_context()
        self.input_names = input_names
        self.output_names = output_names


class _Calibrator(trt.IInt8Calibrator):
    """Hands out the addresses of a data set's tensors, which it does not keep."""

    def __init__(self, dataset):
        super().__init__()
        self._dataset = dataset
        self._count = 0

    def get_batch(self, names):
        if self._count == len(self._dataset):
            return []
        self._count += 1
        return [int(tensor.data_ptr()) for tensor in self._dataset[self._count - 1]]


def torch2trt(
    module,
    inputs,
    input_names=None,
    output_names=None,
    log_level=trt.Logger.ERROR,
    fp16_mode=False,
    max_workspace_size=1 << 25,
    strict_type_constraints=False,
    keep_network=True,
    int8_mode=False,
    int8_calib_dataset=None,
):
    """Convert a module and build its engine."""
    module(*inputs)
    builder = trt.Builder(trt.Logger(log_level))
    config = builder.create_builder_config()
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    with ConversionContext(network, config):
        for tensor, name in zip(inputs, input_names):
            assert tensor.is_contiguous() and tensor.dtype == torch.float32
            tensor._trt = network.add_input(name, trt.float32, tuple(tensor.shape))
        outputs = module(*inputs)
        floats = [output for output in outputs if output.dtype == torch.float32]
        for output, name in zip(floats, output_names):
            output._trt.name = name
            output._trt.dtype = trt.float32
            network.mark_output(output._trt)
    has_old_interface = int(trt.__version__.split(".")[0]) < 10
    if has_old_interface:
        config.max_workspace_size = max_workspace_size
    if fp16_mode:
        config.set_flag(trt.BuilderFlag.FP16)
    if int8_mode:
        config.set_flag(trt.BuilderFlag.INT8)
        config.int8_calibrator = _Calibrator(int8_calib_dataset)
    build = builder.build_engine if has_old_interface else builder.build_serialized_network
    return TRTModule(build(network, config), input_names, output_names)
