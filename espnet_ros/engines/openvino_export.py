"""Converts a checkpoint to an OpenVINO model, in a process of its own.

Conversion needs torch, which takes seconds to import and hundreds of megabytes. A node that converts in a child
process stays small, and the child runs at low priority, so that the stream of images keeps its rate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

from espnet_ros.errors import EngineError, WeightsError
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.types import ImageSize

MODEL_FILE = "model.xml"
_NICENESS = 10
_EXAMPLE_SIZE = ImageSize(64, 96)


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

    from espnet_ros.model.graph import SegmentationGraph
    from espnet_ros.model.loading import load_network

    graph = SegmentationGraph(load_network(checkpoint), checkpoint).eval()
    # the trace does not depend on the size, and a small example takes a fraction of the time and memory
    example = torch.zeros(1, *_EXAMPLE_SIZE, 3)
    with torch.inference_mode():
        model = openvino.convert_model(graph, example_input=(example,), input=[1, size.height, size.width, 3])
    openvino.save_model(model, str(folder / MODEL_FILE), compress_to_fp16=False)


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
