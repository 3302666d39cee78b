"""What the layers compute, in numpy, on (N, C, H, W) float32 arrays."""

from typing import Any, Dict, List

import numpy as np

from tensorrt._types import (
    ActivationType,
    DataType,
    ElementWiseOperation,
    InterpolationMode,
    PaddingMode,
    PoolingType,
    ReduceOperation,
    ResizeCoordinateTransformation,
    ScaleMode,
    TopKOperation,
    UnaryOperation,
)

Settings = Dict[str, Any]
_ELEMENTWISE = {
    ElementWiseOperation.SUM: np.add,
    ElementWiseOperation.SUB: np.subtract,
    ElementWiseOperation.PROD: np.multiply,
    ElementWiseOperation.MAX: np.maximum,
}
_UNARY = {UnaryOperation.NEG: np.negative, UnaryOperation.EXP: np.exp}
_REDUCE = {ReduceOperation.MAX: np.max, ReduceOperation.SUM: np.sum}


def run_layer(kind: str, settings: Settings, inputs: List[np.ndarray]) -> List[np.ndarray]:
    """Outputs of one layer.

    Raises:
        ValueError: the layer cannot take these inputs.
    """
    outputs = _KINDS[kind](settings, *inputs)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def _input(settings):
    return np.zeros(settings["shape"], np.float32)


def _constant(settings):
    return settings["values"]


def _taps(settings, dilation):
    rows, columns = settings["kernel_shape"]
    for row in range(rows):
        for column in range(columns):
            yield row, column, row * dilation[0], column * dilation[1]


def _grouped(kernel_tap, x, groups):
    """(N, C, h, w) with (maps, C / groups) to (N, maps, h, w)."""
    maps, width = kernel_tap.shape[0] // groups, x.shape[1] // groups
    parts = []
    for group in range(groups):
        weights, part = kernel_tap[group * maps :][:maps], x[:, group * width :][:, :width]
        parts.append(np.einsum("oc,nchw->nohw", weights, part, optimize=True))
    return np.concatenate(parts, 1)


def _convolution(settings, x):
    kernel, groups = settings["kernel"], settings["num_groups"]
    if kernel.shape != (settings["maps"], x.shape[1] // groups, *settings["kernel_shape"]):
        raise ValueError(f"kernel weights have count {kernel.size}, input has {x.shape[1]} channels")
    stride, padding, dilation = (tuple(settings[name]) for name in ("stride_nd", "padding_nd", "dilation_nd"))
    padded = np.pad(x, ((0, 0), (0, 0), *((side, side) for side in padding)))
    size = [
        (padded.shape[2 + axis] - dilation[axis] * (settings["kernel_shape"][axis] - 1) - 1) // stride[axis] + 1
        for axis in (0, 1)
    ]
    total = np.zeros((x.shape[0], settings["maps"], *size), np.float32)
    for row, column, top, left in _taps(settings, dilation):
        rows = slice(top, top + stride[0] * (size[0] - 1) + 1, stride[0])
        columns = slice(left, left + stride[1] * (size[1] - 1) + 1, stride[1])
        total += _grouped(kernel[:, :, row, column], padded[:, :, rows, columns], groups)
    return total if settings["bias"] is None else total + settings["bias"].reshape(1, -1, 1, 1)


def _deconvolution(settings, x):
    kernel = settings["kernel"]  # (C in, C out, rows, columns)
    if settings["num_groups"] != 1 or kernel.shape != (x.shape[1], settings["maps"], *settings["kernel_shape"]):
        raise ValueError(f"kernel weights have count {kernel.size}, input has {x.shape[1]} channels")
    stride, padding = tuple(settings["stride_nd"]), tuple(settings["padding_nd"])
    size = [(x.shape[2 + axis] - 1) * stride[axis] + settings["kernel_shape"][axis] for axis in (0, 1)]
    total = np.zeros((x.shape[0], settings["maps"], *size), np.float32)
    for row, column, top, left in _taps(settings, (1, 1)):
        rows = slice(top, top + stride[0] * (x.shape[2] - 1) + 1, stride[0])
        columns = slice(left, left + stride[1] * (x.shape[3] - 1) + 1, stride[1])
        total[:, :, rows, columns] += np.einsum("co,nchw->nohw", kernel[:, :, row, column], x, optimize=True)
    if settings["bias"] is not None:
        total += settings["bias"].reshape(1, -1, 1, 1)
    return total[:, :, padding[0] : size[0] - padding[0], padding[1] : size[1] - padding[1]]


def _scale(settings, x):
    _require(settings["mode"] is ScaleMode.CHANNEL and settings["channel_axis"] == 1, "scale of another mode")
    shift, scale, power = (settings[name].reshape(1, -1, 1, 1) for name in ("shift", "scale", "power"))
    return (x * scale + shift) ** power


def _activation(settings, x):
    _require(settings["operation"] is ActivationType.RELU, "activation of another type")
    return np.maximum(x, 0)


def _unary(settings, x):
    return _UNARY[settings["operation"]](x)


def _elementwise(settings, first, second):
    _require(first.ndim == second.ndim, f"elementwise inputs must have one rank, have {first.shape} {second.shape}")
    return _ELEMENTWISE[settings["operation"]](first, second)


def _pooling(settings, x):
    _require(settings["operation"] is PoolingType.AVERAGE, "pooling of another type")
    _require(settings["padding_mode"] is not PaddingMode.EXPLICIT_ROUND_UP, "rounding up")
    channels = x.shape[1]
    window = settings["window_size"]
    each = {
        "kernel": np.ones((channels, 1, *window), np.float32),
        "kernel_shape": window,
        "maps": channels,
        "num_groups": channels,
        "bias": None,
        "stride_nd": settings["stride_nd"] or window,
        "padding_nd": settings["padding_nd"],
        "dilation_nd": (1, 1),
    }
    total = _convolution(each, x)
    if settings["average_count_excludes_padding"]:
        return total / _convolution(each, np.ones_like(x))
    return total / np.prod(window).astype(np.float32)


def _concatenation(settings, *inputs):
    return np.concatenate(inputs, settings["axis"])


def _shuffle(settings, x):
    if settings["first_transpose"] is not None:
        x = x.transpose(settings["first_transpose"])
    if settings["reshape_dims"] is not None:
        x = x.reshape(settings["reshape_dims"])
    return x if settings["second_transpose"] is None else x.transpose(settings["second_transpose"])


def _topk(settings, x):
    _require(settings["operation"] is TopKOperation.MAX and settings["k"] == 1, "TopK of another kind")
    axis = _only_axis(settings["axes"])
    indices = np.expand_dims(x.argmax(axis), axis)
    return np.take_along_axis(x, indices, axis), indices.astype(np.int32)


def _softmax(settings, x):
    axis = _only_axis(settings["axes"])
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _reduce(settings, x):
    return _REDUCE[settings["operation"]](x, axis=_only_axis(settings["axes"]), keepdims=settings["keep_dims"])


def _identity(settings, x):
    return x.astype(np.float32) if settings.get("output_type") is DataType.FLOAT else x


def _shape(settings, x):
    return np.array(x.shape, np.int32)


def _slice(settings, x):
    parts = zip(settings["start"], settings["shape"], settings["stride"])
    return x[tuple(slice(start, start + step * count, step) for start, count, step in parts)]


def _resize(settings, x):
    _require(settings["resize_mode"] is InterpolationMode.LINEAR, "resizing of another mode")
    half_pixel = settings["coordinate_transformation"] is ResizeCoordinateTransformation.HALF_PIXEL
    _require(half_pixel and tuple(settings["scales"][:2]) == (1.0, 1.0), "resizing of another kind")
    rows, columns = (_interpolation(x.shape[axis], settings["scales"][axis]) for axis in (2, 3))
    return np.einsum("Hh,nchw,Ww->ncHW", rows, x, columns, optimize=True).astype(np.float32)


def _interpolation(length, scale):
    """(length * scale, length) weights of linear interpolation between the centres of pixels."""
    positions = np.clip((np.arange(int(length * scale)) + 0.5) / scale - 0.5, 0, length - 1)
    below = np.minimum(np.floor(positions).astype(int), max(length - 2, 0))
    weights = np.zeros((len(positions), length), np.float32)
    np.add.at(weights, (np.arange(len(positions)), below), 1 - (positions - below))
    np.add.at(weights, (np.arange(len(positions)), np.minimum(below + 1, length - 1)), positions - below)
    return weights


def _only_axis(mask):
    axes = [axis for axis in range(8) if mask >> axis & 1]
    _require(len(axes) == 1, f"one axis, not {axes}")
    return axes[0]


def _require(holds, what):
    if not holds:
        raise ValueError(f"the stand-in does not have: {what}")


_KINDS = {
    name[1:]: function
    for name, function in list(globals().items())
    if name in (
        "_input", "_constant", "_convolution", "_deconvolution", "_scale", "_activation", "_unary", "_elementwise",
        "_pooling", "_concatenation", "_shuffle", "_topk", "_softmax", "_reduce", "_identity", "_shape", "_slice",
        "_resize",
    )
}  # fmt: skip
