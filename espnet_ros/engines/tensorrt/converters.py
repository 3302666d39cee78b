"""Our own converters for torch2trt: how labels are decided, in TensorRT's layers.

torch2trt converts maxima but not where they are, and drops outputs that are no floats. TensorRT has both: TopK gives
the index, an identity layer with a set output type makes it a float. The layers used here are in TensorRT 8.2 and 10.
"""

from __future__ import annotations

from typing import Any, Callable, Tuple

from espnet_ros.types import ImageSize

GRAPH = "espnet_ros.engines.tensorrt.graph"
NAMES = (f"{GRAPH}.label_subpixels", f"{GRAPH}.label_upscaled")
"""Functions that have a converter here, as torch2trt names them."""

SUBPIXELS = 2
"""ESPNet's last layer makes this many pixels a side from each of its inputs."""
UPSCALING = 8
"""ESPNet-C's scores are at this fraction of the image's size."""

_CLASS_AXIS = 1 << 1  # bit mask of the axes to reduce, here that of the classes


def register(torch2trt: Any, trt: Any, on_end: Callable[[], None]) -> None:
    """Make torch2trt know the functions of the graph's end.

    Args:
        torch2trt: the module.
        trt: the ``tensorrt`` module.
        on_end: called when the graph has been converted, before TensorRT begins to optimise it.
    """

    @torch2trt.tensorrt_converter(NAMES[0])  # type: ignore[untyped-decorator]
    def convert_subpixels(ctx: Any) -> None:
        scores, size = ctx.method_args
        shape = (SUBPIXELS**2, -1, size.height // SUBPIXELS, size.width // SUBPIXELS)
        logits = _reshape(ctx.network, scores._trt, shape)
        labels, confidence = _decide(ctx.network, trt, logits)  # (4, 1, h, w)
        _finish(ctx, trt, _place(ctx.network, labels, size), _place(ctx.network, confidence, size))
        on_end()

    @torch2trt.tensorrt_converter(NAMES[1])  # type: ignore[untyped-decorator]
    def convert_upscaled(ctx: Any) -> None:
        scores, size = ctx.method_args
        layer = ctx.network.add_resize(scores._trt)
        modes = getattr(trt, "InterpolationMode", None) or trt.ResizeMode  # renamed in TensorRT 8.5
        layer.resize_mode = modes.LINEAR
        layer.coordinate_transformation = trt.ResizeCoordinateTransformation.HALF_PIXEL
        layer.scales = [1.0, 1.0, UPSCALING, UPSCALING]
        labels, confidence = _decide(ctx.network, trt, layer.get_output(0))  # (1, 1, H, W)
        shape = (1, *size)
        _finish(ctx, trt, _reshape(ctx.network, labels, shape), _reshape(ctx.network, confidence, shape))
        on_end()


def _decide(network: Any, trt: Any, logits: Any) -> Tuple[Any, Any]:
    """(N, C, h, w) to (N, 1, h, w) int32 indices and float probabilities."""
    best = network.add_topk(logits, trt.TopKOperation.MAX, 1, _CLASS_AXIS)
    softmax = network.add_softmax(logits)
    softmax.axes = _CLASS_AXIS
    certainty = network.add_reduce(softmax.get_output(0), trt.ReduceOperation.MAX, _CLASS_AXIS, True)
    return best.get_output(1), certainty.get_output(0)


def _finish(ctx: Any, trt: Any, labels: Any, confidence: Any) -> None:
    """Indices stay integers until here: calibration for int8 gives floats a range, and labels outside it were lost."""
    cast = ctx.network.add_identity(labels)
    cast.set_output_type(0, trt.float32)
    ctx.method_return[0]._trt = cast.get_output(0)
    ctx.method_return[1]._trt = confidence


def _place(network: Any, subpixels: Any, size: ImageSize) -> Any:
    """(4, 1, h, w), in the order top left, top right, bottom left, bottom right, to (1, 2h, 2w)."""
    layer = network.add_shuffle(subpixels)
    layer.reshape_dims = (SUBPIXELS, SUBPIXELS, size.height // SUBPIXELS, size.width // SUBPIXELS)
    layer.second_transpose = (2, 0, 3, 1)  # (h, row, w, column)
    return _reshape(network, layer.get_output(0), (1, *size))


def _reshape(network: Any, tensor: Any, shape: Tuple[int, ...]) -> Any:
    layer = network.add_shuffle(tensor)
    layer.reshape_dims = shape
    return layer.get_output(0)
