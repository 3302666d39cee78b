"""Files of a run. Each is written whole or not at all, so that an interruption leaves the one before."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tempfile
from pathlib import Path
from typing import Any, Dict, Mapping

import torch
from safetensors.torch import save
from torch import Tensor

from espnet_ros.errors import DatasetError, WeightsError

SNAPSHOT = "state.pt"
WEIGHTS = "weights.safetensors"
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    pickle.UnpicklingError,
    # torch's reader of data-only pickles lets these through for garbage
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by new content, which is on the disk before the name points to it.

    Raises:
        DatasetError: it cannot be written.
    """
    part = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=str(path.parent), suffix=".part", delete=False) as stream:
            part = stream.name
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except OSError as error:
        raise DatasetError(f"file {path}: cannot be written: {error.strerror}") from error
    finally:
        if part and Path(part).exists():
            Path(part).unlink()


def save_snapshot(path: Path, state: Mapping[str, Any]) -> None:
    """Write what a run needs to go on: tensors and plain values.

    Raises:
        DatasetError: it cannot be written.
    """
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    write_atomically(path, stream.getvalue())


def load_snapshot(path: Path) -> Dict[str, Any]:
    """Read a snapshot, on the CPU. No code in the file is run.

    Raises:
        WeightsError: it is none.
    """
    try:
        state = torch.load(str(path), map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"snapshot {path}: cannot be read: {reason}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"snapshot {path}: must hold a run's state, holds {type(state).__name__}")
    return state


def save_weights(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write weights that ``model.checkpoint`` reads, with their facts inside, each as JSON text.

    Raises:
        DatasetError: it cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    metadata = {key: json.dumps(value) for key, value in facts.items()}
    write_atomically(path, _with_ordered_header(save(tensors, metadata)))


def _with_ordered_header(content: bytes) -> bytes:
    """The same safetensors file with sorted facts: the library's order changes from call to call, and with it the sum.

    The format is 8 bytes of length, that much JSON padded with spaces to 8 bytes, and the tensors' data.
    """
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]
