"""Converts a checkpoint to an OpenVINO model, in a process of its own.

Conversion needs torch, which takes seconds to import and hundreds of megabytes. A node that converts in a child
process stays small, and the child runs at low priority, so that the stream of images keeps its rate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List
from xml.etree import ElementTree

from espnet_ros.errors import EngineError, WeightsError
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.types import ImageSize

MODEL_FILE = "model.xml"
_NICENESS = 10


def export_in_child(checkpoint: Checkpoint, size: ImageSize, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin`` into ``folder``, from a child process of low priority.

    Raises:
        WeightsError: the weights do not fit the network.
        EngineError: the conversion failed; the message holds what the child said last.
    """
    request = json.dumps({"checkpoint": checkpoint.__dict__, "size": size, "folder": str(folder)}, default=str)
    # the caller's module search path goes along: it may not come from the environment
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.run(
        [sys.executable, "-m", __name__],
        input=request,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode == 0:
        return
    last = (child.stderr.strip().splitlines() or ["no message"])[-1]
    prefix = f"{WeightsError.__name__}: "
    if last.startswith(prefix):
        raise WeightsError(last[len(prefix) :])
    raise EngineError(f"OpenVINO conversion of '{checkpoint.name}' at {size} failed ({child.returncode}): {last}")


def export(checkpoint: Checkpoint, size: ImageSize, folder: Path) -> None:
    """The conversion itself: (1, h, w, 3) float32 BGR to (1, h, w) uint8 labels and confidence."""
    import openvino
    import torch

    from espnet_ros.model.channels_last_graph import ChannelsLastGraph
    from espnet_ros.model.loading import load_network

    graph = ChannelsLastGraph(load_network(checkpoint), checkpoint, size).eval()
    example = torch.zeros(1, *size, 3)
    with torch.no_grad():
        model = openvino.convert_model(graph, example_input=(example,), input=[1, size.height, size.width, 3])
    openvino.save_model(model, str(folder / MODEL_FILE), compress_to_fp16=False)
    keep_stem_in_fp32(folder / MODEL_FILE)


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


def _checkpoint_from_json(values: Dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        **{
            **values,
            "mean_bgr": tuple(values["mean_bgr"]),
            "std_bgr": tuple(values["std_bgr"]),
            "input_size": ImageSize(*values["input_size"]),
            "path": Path(values["path"]),
        }
    )


def _main() -> int:
    os.nice(_NICENESS)
    request = json.load(sys.stdin)
    try:
        export(_checkpoint_from_json(request["checkpoint"]), ImageSize(*request["size"]), Path(request["folder"]))
    except WeightsError as error:
        sys.stderr.write(f"{WeightsError.__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
