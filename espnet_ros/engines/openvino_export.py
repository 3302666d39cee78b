"""Converts a checkpoint to an OpenVINO model, in a process of its own."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List
from xml.etree import ElementTree

import numpy as np

from espnet_ros.engines.agreement import judge_against_torch
from espnet_ros.engines.agreement_result import AgreementResult
from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.conversion_child import ConversionRequest, convert_in_child, serve_conversion

MODEL_FILE = "model.xml"
INT8_LIMIT = 0.99
"""Share of a sample's labels that int8 must leave as they are. It is the choice of ``auto``, which promises that."""
_SAMPLE = 12
"""Images that int8 is made with: half of them give the ranges, the others are compared with torch."""


def export_in_child(spec: EngineSpec, precision: str, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin`` into ``folder``, and for int8 its verdict, from a child process.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be used.
        EngineError: the conversion failed; the message holds what the child said last.
    """
    convert_in_child(__name__, "OpenVINO", ConversionRequest(spec, precision, folder))


def export(request: ConversionRequest) -> None:
    """The conversion itself: (1, h, w, 3) float32 BGR to (1, h, w) uint8 labels and confidence."""
    import openvino
    import torch

    from espnet_ros.model.channels_last_graph import ChannelsLastGraph
    from espnet_ros.model.int8 import quantise
    from espnet_ros.model.loading import load_network

    spec = request.spec
    network = load_network(spec.checkpoint)
    graph = ChannelsLastGraph(network, spec.checkpoint, spec.input_size).eval()
    images = spec.calibration.images(spec.input_size, _SAMPLE) if request.precision == "int8" else []
    if images:
        quantise(graph.network, graph, (torch.from_numpy(image[None]).float() for image in images[::2]))
    example = torch.zeros(1, *spec.input_size, 3)
    with torch.no_grad():
        model = openvino.convert_model(graph, example_input=(example,), input=list(example.shape))
    path = request.folder / MODEL_FILE
    openvino.save_model(model, str(path), compress_to_fp16=False)
    keep_stem_in_fp32(path)
    if images:
        _judge(spec, network, path, images[1::2] or images).write(request.folder)


def _judge(spec: EngineSpec, network: Any, path: Path, images: List[np.ndarray]) -> AgreementResult:
    """Compare the labels of the model in a file with those of torch."""
    from espnet_ros.engines.openvino_model import compile_variant, openvino_core

    core = openvino_core()
    variant = compile_variant(core, core.read_model(str(path)), "uint8", False, "auto", spec.threads)

    def label(image: np.ndarray) -> np.ndarray:
        variant.infer([image[np.newaxis]])
        return np.asarray(variant.get_output_tensor(0).data[0])

    return judge_against_torch(spec, network, "int8", label, images, INT8_LIMIT)


def keep_stem_in_fp32(path: Path) -> None:
    """Mark everything up to the first activation to be computed in fp32, whatever the rest is computed in.

    In bf16 the rounding of these few weights alone changes as many labels as that of all others together, since the
    image is the one input with a large mean. ``precise`` is OpenVINO's own mark (``ov::DisableFP16Compression``), for
    which its Python interface has no call.
    """
    tree = ElementTree.parse(str(path))
    layers = {layer.get("id"): layer for layer in tree.iter("layer")}
    successors: Dict[Any, List[Any]] = defaultdict(list)
    for edge in tree.iter("edge"):
        successors[edge.get("from-layer")].append(edge.get("to-layer"))
    waiting = [name for name, layer in layers.items() if layer.get("type") == "Parameter"]
    while waiting:
        for name in successors[waiting.pop()]:
            layer = layers[name]
            if layer.find("rt_info/attribute[@name='precise']") is None:
                _mark_precise(layer)
                if layer.get("type") != "PReLU":
                    waiting.append(name)
    tree.write(str(path), encoding="utf-8", xml_declaration=True)


def _mark_precise(layer: ElementTree.Element) -> None:
    runtime_info = layer.find("rt_info")
    if runtime_info is None:
        runtime_info = ElementTree.Element("rt_info")
        layer.insert(0 if layer.find("data") is None else 1, runtime_info)
    ElementTree.SubElement(runtime_info, "attribute", name="precise", version="0")


if __name__ == "__main__":
    sys.exit(serve_conversion(export))
