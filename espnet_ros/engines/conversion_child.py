"""Converts a checkpoint in a process of its own.

Conversion needs torch, which takes seconds to import and hundreds of megabytes. A node that converts in a child
process stays small, and the child runs at low priority, so that the stream of images keeps its rate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict

from espnet_ros.errors import EngineError, WeightsError
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.types import ImageSize

Conversion = Callable[[Checkpoint, ImageSize, Path], None]
"""Writes what an engine starts from: checkpoint, input size, folder."""
_NICENESS = 10


def convert_in_child(module: str, product: str, checkpoint: Checkpoint, size: ImageSize, folder: Path) -> None:
    """Have a child process of low priority fill ``folder``.

    Args:
        module: dotted name of a module that, run as a program, ends with what ``serve_conversion`` returns.
        product: what the checkpoint becomes, for error messages.
        checkpoint: located weights.
        size: the engine's input size.
        folder: where the child writes.

    Raises:
        WeightsError: the weights do not fit the network.
        EngineError: the conversion failed; the message holds what the child said last.
    """
    request = json.dumps({"checkpoint": checkpoint.__dict__, "size": size, "folder": str(folder)}, default=str)
    # the caller's module search path goes along: it may not come from the environment
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.run(
        [sys.executable, "-m", module],
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
    raise EngineError(f"{product} conversion of '{checkpoint.name}' at {size} failed ({child.returncode}): {last}")


def serve_conversion(convert: Conversion) -> int:
    """The child's side: convert what stdin asks for. Returns the exit code."""
    os.nice(_NICENESS)
    request = json.load(sys.stdin)
    try:
        convert(_checkpoint_from_json(request["checkpoint"]), ImageSize(*request["size"]), Path(request["folder"]))
    except WeightsError as error:
        sys.stderr.write(f"{WeightsError.__name__}: {error}\n")
        return 1
    return 0


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
