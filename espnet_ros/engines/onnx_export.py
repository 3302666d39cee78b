"""Converts a checkpoint to ONNX models, in a child process."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any, Tuple

from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.conversion_child import ConversionRequest, convert_in_child, serve_conversion
from espnet_ros.types import ImageSize

PIXELS, LABELS, CONFIDENCE = "pixels", "labels", "confidence"
"""Names of the input and the outputs of the models."""

_OPSET = 17  # supported since ONNX Runtime 1.12
_EXAMPLE_SIZE = ImageSize(64, 96)


def model_file(dtype: str, with_confidence: bool) -> str:
    """Return the file name of the model for one kind of call.

    Args:
        dtype: dtype of the pixels, ``uint8`` or ``float32``.
        with_confidence: whether the model also computes the confidence.
    """
    return f"{dtype}_{CONFIDENCE if with_confidence else LABELS}.onnx"


def export_in_child(spec: EngineSpec, folder: Path) -> None:
    """Write the four models into ``folder``, in a child process of low priority.

    Raises:
        WeightsError: the weights do not fit the network.
        EngineError: the conversion failed; the message has the child's last output.
    """
    convert_in_child(__name__, "ONNX", ConversionRequest(spec, "fp32", folder))


def export(request: ConversionRequest) -> None:
    """Convert in this process: models from (1, h, w, 3) BGR pixels to (1, h, w) uint8 labels, and confidence.

    There is one model for each kind of call, because ONNX Runtime computes everything in its graph, even outputs that
    are not requested.
    """
    import onnx
    import torch

    from espnet_ros.model.graph import SegmentationGraph
    from espnet_ros.model.loading import load_network

    checkpoint, folder = request.spec.checkpoint, request.folder
    graph = SegmentationGraph(load_network(checkpoint), checkpoint).eval()
    exported = io.BytesIO()  # some of onnx's functions open no file whose name is not UTF-8
    sizes = {1: "height", 2: "width"}
    with torch.inference_mode(), warnings.catch_warnings():
        # the warning recommends the newer exporter, which needs another package
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph,
            # the trace does not depend on the size, and a small example saves time and memory
            (torch.zeros(1, *_EXAMPLE_SIZE, 3, dtype=torch.uint8),),
            exported,  # type: ignore[arg-type]  # its annotation leaves streams out
            dynamo=False,
            opset_version=_OPSET,
            input_names=[PIXELS],
            output_names=[LABELS, CONFIDENCE],
            dynamic_axes={PIXELS: sizes, LABELS: sizes, CONFIDENCE: sizes},
        )
    model = onnx.load_model_from_string(exported.getvalue())
    _fix_size(model, request.spec.input_size)
    onnx.save(model, str(folder / model_file("uint8", with_confidence=True)))
    labels_only = onnx.utils.Extractor(model).extract_model([PIXELS], [LABELS])
    onnx.save(labels_only, str(folder / model_file("uint8", with_confidence=False)))
    for with_confidence in (True, False):
        model = onnx.load(str(folder / model_file("uint8", with_confidence)))
        # the graph starts with a conversion to float32, so it accepts any pixel type
        model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        onnx.save(model, str(folder / model_file("float32", with_confidence)))


def _fix_size(model: Any, size: ImageSize) -> None:
    """Set the size of the input and the outputs, so that ONNX Runtime can plan its memory.

    The exporter's intermediate shapes are removed; ONNX Runtime infers them.
    """
    del model.graph.value_info[:]
    for value in model.graph.input:
        _set_shape(value, (1, *size, 3))
    for value in model.graph.output:
        _set_shape(value, (1, *size))


def _set_shape(value: Any, shape: Tuple[int, ...]) -> None:
    for dimension, length in zip(value.type.tensor_type.shape.dim, shape):
        dimension.dim_value = length


if __name__ == "__main__":
    sys.exit(serve_conversion(export))
