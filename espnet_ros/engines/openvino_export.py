"""Converts a checkpoint to an OpenVINO model, in a child process."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List
from xml.etree import ElementTree

import numpy as np

from espnet_ros.engines.agreement import compare_with_torch
from espnet_ros.engines.agreement_result import AgreementResult
from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.conversion_child import ConversionRequest, convert_in_child, serve_conversion

MODEL_FILE = "model.xml"
INT8_LIMIT = 0.99
"""Minimum agreement of int8 with torch. ``auto`` promises this, and it prefers int8."""
_NUM_IMAGES = 12
"""Calibration images for int8: half of them set the ranges, the other half is compared with torch."""


def export_in_child(spec: EngineSpec, precision: str, folder: Path) -> None:
    """Write ``model.xml``, ``model.bin`` and, for int8, the agreement with torch into ``folder``, in a child process.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be read.
        EngineError: the conversion failed; the message has the child's last output.
    """
    convert_in_child(__name__, "OpenVINO", ConversionRequest(spec, precision, folder))


def export(request: ConversionRequest) -> None:
    """Convert in this process: a model from (1, h, w, 3) float32 BGR to (1, h, w) uint8 labels and confidence."""
    import openvino
    import torch

    from espnet_ros.model.channels_last_graph import ChannelsLastGraph
    from espnet_ros.model.int8 import quantise
    from espnet_ros.model.loading import load_network

    spec = request.spec
    network = load_network(spec.checkpoint)
    graph = ChannelsLastGraph(network, spec.checkpoint, spec.input_size).eval()
    images = spec.calibration.images(spec.input_size, _NUM_IMAGES) if request.precision == "int8" else []
    if images:
        quantise(graph.network, graph, (torch.from_numpy(image[None]).float() for image in images[::2]))
    example = torch.zeros(1, *spec.input_size, 3)
    with torch.no_grad():
        model = openvino.convert_model(graph, example_input=(example,), input=list(example.shape))
    path = request.folder / MODEL_FILE
    openvino.save_model(model, str(path), compress_to_fp16=False)
    keep_stem_in_fp32(path)
    if images:
        _compare_int8(spec, network, path, images[1::2] or images).write(request.folder)


def _compare_int8(spec: EngineSpec, network: Any, path: Path, images: List[np.ndarray]) -> AgreementResult:
    """Compare the labels of an int8 model with those of torch."""
    from espnet_ros.engines.openvino_model import compile_variant, openvino_core

    core = openvino_core()
    variant = compile_variant(core, core.read_model(str(path)), "uint8", False, "auto", spec.threads)

    def label(image: np.ndarray) -> np.ndarray:
        variant.infer([image[np.newaxis]])
        return np.asarray(variant.get_output_tensor(0).data[0])

    return compare_with_torch(spec, network, "int8", label, images, INT8_LIMIT)


def keep_stem_in_fp32(path: Path) -> None:
    """Mark the layers up to the first activation to be computed in fp32, whatever the precision of the rest.

    In bf16, rounding these few weights changes as many labels as rounding all others together, because the image is
    the only input with a large mean. ``precise`` is OpenVINO's own attribute (``ov::DisableFP16Compression``), which
    its Python API does not expose.
    """
    tree = ElementTree.parse(str(path))
    layers = {layer.get("id"): layer for layer in tree.iter("layer")}
    successors: Dict[Any, List[Any]] = defaultdict(list)
    for edge in tree.iter("edge"):
        successors[edge.get("from-layer")].append(edge.get("to-layer"))
    pending = [name for name, layer in layers.items() if layer.get("type") == "Parameter"]
    while pending:
        for name in successors[pending.pop()]:
            layer = layers[name]
            if layer.find("rt_info/attribute[@name='precise']") is None:
                _mark_precise(layer)
                if layer.get("type") != "PReLU":
                    pending.append(name)
    tree.write(str(path), encoding="utf-8", xml_declaration=True)


def _mark_precise(layer: ElementTree.Element) -> None:
    runtime_info = layer.find("rt_info")
    if runtime_info is None:
        runtime_info = ElementTree.Element("rt_info")
        layer.insert(0 if layer.find("data") is None else 1, runtime_info)
    ElementTree.SubElement(runtime_info, "attribute", name="precise", version="0")


if __name__ == "__main__":
    sys.exit(serve_conversion(export))
