"""Converters for what our networks do, and names of what torch2trt knows but cannot convert."""

import numpy as np
import tensorrt as trt
from tensorrt._environment import has_fault

from torch2trt._conversion import tensorrt_converter


def _argument(ctx, name, position, default=None):
    if name in ctx.method_kwargs:
        return ctx.method_kwargs[name]
    return ctx.method_args[position] if len(ctx.method_args) > position else default


def _tensors(ctx, *values):
    """TensorRT's tensors of torch's; one that torch2trt does not know becomes a constant."""
    rank = max(value.dim() for value in values)
    found = []
    for value in values:
        if not hasattr(value, "_trt"):
            shape = (1,) * (rank - value.dim()) + tuple(value.shape)
            value._trt = ctx.network.add_constant(shape, value.detach().numpy()).get_output(0)
        found.append(value._trt)
    return found


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _warn(ctx):
    print(f"Warning: Encountered known unsupported method {ctx.method_str}")


for _name in ("argmax", "is_contiguous", "relu", "to"):
    tensorrt_converter(f"torch.Tensor.{_name}", is_real=False)(_warn)


@tensorrt_converter("torch.Tensor.permute")
def _permute(ctx):
    if has_fault("unconverted"):
        _warn(ctx)
        return
    if has_fault("constant"):
        return
    layer = ctx.network.add_shuffle(*_tensors(ctx, ctx.method_args[0]))
    layer.second_transpose = tuple(ctx.method_args[1:])
    ctx.method_return._trt = layer.get_output(0)


def _register_elementwise(method, operation):
    @tensorrt_converter(method)
    def _convert(ctx):
        layer = ctx.network.add_elementwise(*_tensors(ctx, *ctx.method_args[:2]), operation)
        ctx.method_return._trt = layer.get_output(0)


_register_elementwise("torch.Tensor.__add__", trt.ElementWiseOperation.SUM)
_register_elementwise("torch.Tensor.__sub__", trt.ElementWiseOperation.SUB)
_register_elementwise("torch.Tensor.__mul__", trt.ElementWiseOperation.PROD)


@tensorrt_converter("torch.cat")
def _cat(ctx):
    layer = ctx.network.add_concatenation(_tensors(ctx, *_argument(ctx, "tensors", 0)))
    layer.axis = _argument(ctx, "dim", 1, 0)
    ctx.method_return._trt = layer.get_output(0)


@tensorrt_converter("torch.nn.functional.conv2d")
def _conv2d(ctx):
    weight, bias = _argument(ctx, "weight", 1), _argument(ctx, "bias", 2)
    layer = ctx.network.add_convolution_nd(
        *_tensors(ctx, _argument(ctx, "input", 0)),
        num_output_maps=weight.shape[0],
        kernel_shape=tuple(weight.shape[2:]),
        kernel=weight.detach().numpy(),
        bias=None if bias is None else bias.detach().numpy(),
    )
    layer.stride_nd = _pair(_argument(ctx, "stride", 3, 1))
    layer.padding_nd = _pair(_argument(ctx, "padding", 4, 0))
    layer.dilation_nd = _pair(_argument(ctx, "dilation", 5, 1))
    layer.num_groups = _argument(ctx, "groups", 6, 1)
    ctx.method_return._trt = layer.get_output(0)


@tensorrt_converter("torch.nn.functional.conv_transpose2d")
def _conv_transpose2d(ctx):
    weight = _argument(ctx, "weight", 1)
    layer = ctx.network.add_deconvolution_nd(
        *_tensors(ctx, _argument(ctx, "input", 0)),
        num_output_maps=weight.shape[0],  # as torch2trt 0.5 does; torch has the inputs there
        kernel_shape=tuple(weight.shape[2:]),
        kernel=weight.detach().numpy(),
        bias=trt.Weights(trt.float32),
    )
    layer.stride_nd = _pair(_argument(ctx, "stride", 3, 1))
    layer.padding_nd = _pair(_argument(ctx, "padding", 4, 0))
    ctx.method_return._trt = layer.get_output(0)


@tensorrt_converter("torch.nn.functional.batch_norm")
def _batch_norm(ctx):
    mean, variance, weight, bias = (
        _argument(ctx, name, position).detach().numpy()
        for position, name in enumerate(("running_mean", "running_var", "weight", "bias"), 1)
    )
    scale = weight / np.sqrt(variance + _argument(ctx, "eps", 7, 1e-5))
    layer = ctx.network.add_scale_nd(
        *_tensors(ctx, _argument(ctx, "input", 0)),
        trt.ScaleMode.CHANNEL,
        bias - mean * scale,
        scale,
        np.ones_like(scale),
        1,
    )
    ctx.method_return._trt = layer.get_output(0)


@tensorrt_converter("torch.nn.functional.prelu", is_real=not has_fault("no_prelu"))
def _prelu(ctx):
    network = ctx.network
    (x,) = _tensors(ctx, _argument(ctx, "input", 0))
    slopes = _argument(ctx, "weight", 1).detach().numpy().reshape(1, -1, 1, 1)
    above = network.add_activation(x, trt.ActivationType.RELU).get_output(0)
    negated = network.add_unary(x, trt.UnaryOperation.NEG).get_output(0)
    below = network.add_activation(negated, trt.ActivationType.RELU).get_output(0)
    factor = network.add_constant(slopes.shape, -slopes).get_output(0)
    scaled = network.add_elementwise(below, factor, trt.ElementWiseOperation.PROD).get_output(0)
    ctx.method_return._trt = network.add_elementwise(above, scaled, trt.ElementWiseOperation.SUM).get_output(0)


@tensorrt_converter("torch.nn.functional.avg_pool2d")
def _avg_pool2d(ctx):
    layer = ctx.network.add_pooling_nd(
        *_tensors(ctx, _argument(ctx, "input", 0)), trt.PoolingType.AVERAGE, _pair(_argument(ctx, "kernel_size", 1))
    )
    layer.stride_nd = _pair(_argument(ctx, "stride", 2))
    layer.padding_nd = _pair(_argument(ctx, "padding", 3, 0))
    layer.average_count_excludes_padding = not _argument(ctx, "count_include_pad", 5, True)
    ctx.method_return._trt = layer.get_output(0)
