"""Networks: layers and the tensors between them."""

from typing import Any, Dict, List, Optional

import numpy as np

from tensorrt import _execution
from tensorrt._types import DataType, TensorLocation, Weights

# What can be set on each kind of layer, with TensorRT's defaults; pybind11's classes refuse anything else.
_SETTINGS: Dict[str, Dict[str, Any]] = {
    "convolution": {"stride_nd": (1, 1), "padding_nd": (0, 0), "dilation_nd": (1, 1), "num_groups": 1},
    "deconvolution": {"stride_nd": (1, 1), "padding_nd": (0, 0), "num_groups": 1},
    "pooling": {
        "stride_nd": None,
        "padding_nd": (0, 0),
        "average_count_excludes_padding": True,
        "padding_mode": None,
    },
    "concatenation": {"axis": 1},
    "shuffle": {"first_transpose": None, "reshape_dims": None, "second_transpose": None},
    "softmax": {"axes": 2},
    "resize": {"resize_mode": None, "scales": None, "coordinate_transformation": None},
}
_COMMON = {"name": "", "precision": None}


class ITensor:
    """An input of the network or an output of a layer."""

    def __init__(self, source: "ILayer", index: int, dtype: DataType = DataType.FLOAT) -> None:
        self.source = source
        self.index = index
        self.dtype = dtype
        self.name = ""
        self.location = TensorLocation.DEVICE
        self._example: Optional[np.ndarray] = None

    @property
    def shape(self):
        return self.example.shape

    @property
    def example(self) -> np.ndarray:
        """What the tensor is for an input of zeros."""
        if self._example is None:
            inputs = [tensor.example for tensor in self.source.inputs]
            self._example = _execution.run_layer(self.source.kind, self.source.settings, inputs)[self.index]
        return self._example


class _Kind:
    def __init__(self, name):
        self.name = name


class ILayer:
    """A layer: its kind, settings and inputs."""

    def __init__(self, kind: str, inputs: List[ITensor], fixed: Dict[str, Any], outputs: int = 1) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "settings", {**_COMMON, **_SETTINGS.get(kind, {}), **fixed})
        object.__setattr__(self, "_outputs", [ITensor(self, index) for index in range(outputs)])

    @property
    def type(self):
        return _Kind(self.kind.upper())

    def get_output(self, index):
        return self._outputs[index]

    def set_output_type(self, index, dtype):
        self._outputs[index].dtype = dtype
        self.settings["output_type"] = dtype

    def __setattr__(self, name, value):
        if name not in _COMMON and name not in _SETTINGS.get(self.kind, {}):
            raise AttributeError(f"'{self.kind}' layer has no attribute '{name}'")
        self.settings[name] = value

    def __getattr__(self, name):
        try:
            return self.__dict__["settings"][name]
        except KeyError:
            raise AttributeError(name) from None


def _weights(values):
    return None if values is None or isinstance(values, Weights) else np.array(values, np.float32)


class INetworkDefinition:
    """A network under construction."""

    def __init__(self) -> None:
        self.inputs: List[ITensor] = []
        self.outputs: List[ITensor] = []

    def add_input(self, name, dtype, shape):
        tensor = ILayer("input", [], {"shape": tuple(shape)}).get_output(0)
        tensor.name, tensor.dtype = name, dtype
        self.inputs.append(tensor)
        return tensor

    def mark_output(self, tensor):
        self.outputs.append(tensor)

    def add_constant(self, shape, weights):
        values = np.array(weights)
        values = values.astype(np.int32 if values.dtype.kind == "i" else np.float32)
        return ILayer("constant", [], {"values": values.reshape(tuple(shape))})

    def add_convolution_nd(self, input, num_output_maps, kernel_shape, kernel, bias=None):  # noqa: A002
        return self._add_kernel("convolution", input, num_output_maps, kernel_shape, kernel, bias)

    def add_deconvolution_nd(self, input, num_output_maps, kernel_shape, kernel, bias=None):  # noqa: A002
        return self._add_kernel("deconvolution", input, num_output_maps, kernel_shape, kernel, bias)

    def _add_kernel(self, kind, tensor, maps, shape, kernel, bias):
        fixed = {"maps": maps, "kernel_shape": tuple(shape), "kernel": _weights(kernel), "bias": _weights(bias)}
        return ILayer(kind, [tensor], fixed)

    def add_scale_nd(self, input, mode, shift=None, scale=None, power=None, channel_axis=1):  # noqa: A002
        fixed = {"mode": mode, "shift": _weights(shift), "scale": _weights(scale), "power": _weights(power)}
        return ILayer("scale", [input], {**fixed, "channel_axis": channel_axis})

    def add_activation(self, input, type):  # noqa: A002
        return ILayer("activation", [input], {"operation": type})

    def add_unary(self, input, op):  # noqa: A002
        return ILayer("unary", [input], {"operation": op})

    def add_elementwise(self, input1, input2, op):
        return ILayer("elementwise", [input1, input2], {"operation": op})

    def add_pooling_nd(self, input, type, window_size):  # noqa: A002
        return ILayer("pooling", [input], {"operation": type, "window_size": tuple(window_size)})

    def add_concatenation(self, inputs):
        return ILayer("concatenation", list(inputs), {})

    def add_shuffle(self, input):  # noqa: A002
        layer = ILayer("shuffle", [input], {})
        layer.get_output(0).dtype = input.dtype
        return layer

    def add_topk(self, input, op, k, axes):  # noqa: A002
        layer = ILayer("topk", [input], {"operation": op, "k": k, "axes": axes}, outputs=2)
        layer.get_output(1).dtype = DataType.INT32
        return layer

    def add_softmax(self, input):  # noqa: A002
        return ILayer("softmax", [input], {})

    def add_reduce(self, input, op, axes, keep_dims):  # noqa: A002
        return ILayer("reduce", [input], {"operation": op, "axes": axes, "keep_dims": keep_dims})

    def add_identity(self, input):  # noqa: A002
        layer = ILayer("identity", [input], {})
        layer.get_output(0).dtype = input.dtype
        return layer

    def add_shape(self, input):  # noqa: A002
        return ILayer("shape", [input], {})

    def add_slice(self, input, start, shape, stride):  # noqa: A002
        return ILayer("slice", [input], {"start": tuple(start), "shape": tuple(shape), "stride": tuple(stride)})

    def add_resize(self, input):  # noqa: A002
        return ILayer("resize", [input], {})
