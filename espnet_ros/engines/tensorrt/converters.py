"""Our converters for torch2trt: argmax and confidence as TensorRT layers.

torch2trt converts max but not argmax, and drops outputs that are not floats. Here, a TopK layer computes the index of
the maximum, and an identity layer with an output type converts it to float. All layers used exist in TensorRT 8.2 and
10.
"""

from __future__ import annotations

from typing import Any, Callable, Tuple

from espnet_ros.types import ImageSize

GRAPH = "espnet_ros.engines.tensorrt.graph"
NAMES = (f"{GRAPH}.classify_subpixels", f"{GRAPH}.classify_upsampled")
"""Qualified names of the functions that have a converter here, as in torch2trt's list."""

SUBPIXELS = 2
"""Side of the block of pixels that ESPNet's last layer computes from each of its inputs."""
UPSAMPLING = 8
"""Ratio of the image size to the size of ESPNet-C's scores."""

_CLASS_AXIS = 1 << 1  # bit mask of the axes to reduce: axis 1 only


def register(torch2trt: Any, trt: Any, on_end: Callable[[], None]) -> None:
    """Register the converters of ``NAMES`` with torch2trt.

    Args:
        torch2trt: the ``torch2trt`` module.
        trt: the ``tensorrt`` module.
        on_end: called when the whole graph has been converted, before TensorRT starts to optimise it.
    """

    @torch2trt.tensorrt_converter(NAMES[0])  # type: ignore[untyped-decorator]
    def convert_subpixels(ctx: Any) -> None:
        scores, size = ctx.method_args
        shape = (SUBPIXELS**2, -1, size.height // SUBPIXELS, size.width // SUBPIXELS)
        logits = _reshape(ctx.network, scores._trt, shape)
        labels, confidence = _classify(ctx.network, trt, logits)  # (4, 1, h, w)
        labels, confidence = (_interleave_subpixels(ctx.network, each, size) for each in (labels, confidence))
        _set_outputs(ctx, trt, labels, confidence)
        on_end()

    @torch2trt.tensorrt_converter(NAMES[1])  # type: ignore[untyped-decorator]
    def convert_upsampled(ctx: Any) -> None:
        scores, size = ctx.method_args
        layer = ctx.network.add_resize(scores._trt)
        modes = getattr(trt, "InterpolationMode", None) or trt.ResizeMode  # renamed in TensorRT 8.5
        layer.resize_mode = modes.LINEAR
        layer.coordinate_transformation = trt.ResizeCoordinateTransformation.HALF_PIXEL
        layer.scales = [1.0, 1.0, UPSAMPLING, UPSAMPLING]
        labels, confidence = _classify(ctx.network, trt, layer.get_output(0))  # (1, 1, H, W)
        shape = (1, *size)
        _set_outputs(ctx, trt, _reshape(ctx.network, labels, shape), _reshape(ctx.network, confidence, shape))
        on_end()


def _classify(network: Any, trt: Any, logits: Any) -> Tuple[Any, Any]:
    """Reduce (N, C, h, w) logits to (N, 1, h, w) int32 indices and float probabilities."""
    best = network.add_topk(logits, trt.TopKOperation.MAX, 1, _CLASS_AXIS)
    softmax = network.add_softmax(logits)
    softmax.axes = _CLASS_AXIS
    confidence = network.add_reduce(softmax.get_output(0), trt.ReduceOperation.MAX, _CLASS_AXIS, True)
    return best.get_output(1), confidence.get_output(0)


def _set_outputs(ctx: Any, trt: Any, labels: Any, confidence: Any) -> None:
    """Set the graph's outputs.

    Labels stay integers up to here: int8 calibration quantises floats, and would clip labels outside the measured
    range.
    """
    cast = ctx.network.add_identity(labels)
    cast.set_output_type(0, trt.float32)
    ctx.method_return[0]._trt = cast.get_output(0)
    ctx.method_return[1]._trt = confidence


def _interleave_subpixels(network: Any, subpixels: Any, size: ImageSize) -> Any:
    """Interleave (4, 1, h, w) subpixels into (1, 2h, 2w), as ``model.graph.interleave_subpixels``."""
    layer = network.add_shuffle(subpixels)
    layer.reshape_dims = (SUBPIXELS, SUBPIXELS, size.height // SUBPIXELS, size.width // SUBPIXELS)
    layer.second_transpose = (2, 0, 3, 1)  # (h, row, w, column)
    return _reshape(network, layer.get_output(0), (1, *size))


def _reshape(network: Any, tensor: Any, shape: Tuple[int, ...]) -> Any:
    layer = network.add_shuffle(tensor)
    layer.reshape_dims = shape
    return layer.get_output(0)
