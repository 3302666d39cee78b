"""Files of a training run, written atomically: an interruption leaves the previous version."""

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
    # torch's weights-only reader raises these for invalid files
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically: the new content is on disk before it gets the name.

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
    """Write the state that a run resumes from: tensors and plain values.

    Raises:
        DatasetError: it cannot be written.
    """
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    write_atomically(path, stream.getvalue())


def load_snapshot(path: Path) -> Dict[str, Any]:
    """Read a snapshot onto the CPU. Code in the file is never executed.

    Raises:
        WeightsError: the file is not a valid snapshot.
    """
    try:
        state = torch.load(str(path), map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or "it is damaged or not the snapshot of a run"
        raise WeightsError(f"snapshot {path}: cannot be read: {reason}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"snapshot {path}: must hold the state of a run, holds {type(state).__name__}")
    return state


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write weights for ``model.checkpoint``, with metadata in the file, each value as JSON text.

    Raises:
        DatasetError: it cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    write_atomically(path, _with_sorted_metadata(save(tensors, texts)))


def _with_sorted_metadata(content: bytes) -> bytes:
    """Sort the metadata of a safetensors file. The library's order varies between calls, and the file's hash with it.

    The format: 8 bytes of length, that many bytes of JSON padded with spaces to a multiple of 8, and the tensors.
    """
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]
