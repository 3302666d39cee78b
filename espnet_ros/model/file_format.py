"""Tells weight files apart from what is given in their place: pointers, web pages, archives, other formats.

Imports no torch.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import BinaryIO, Tuple

from espnet_ros.errors import WeightsError

TORCH, SAFETENSORS = "torch", "safetensors"
MAX_EXPANSION = 1 << 30  # bytes; how much larger than its file the content of a weight file may be
_HEAD = 512  # bytes; enough for a tar archive's magic number at 257
_LEGACY_TORCH = struct.pack("<Q", 0xA86A20F9469CFC6C)
"""Part of the number that torch.save wrote first before PyTorch 1.6."""
_PICKLE = b"\x80"
_EXPORT = "save the network's state_dict() with torch.save instead"
_COPY = "copy or download it again"
_MAGIC: Tuple[Tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", "a Git LFS pointer: fetch the file itself with 'git lfs pull'"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it"),
    (0, b"BZh", "a bzip2 archive: unpack it"),
    (0, b"\xfd7zXZ\x00", "an xz archive: unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (0, b"Rar!", "a RAR archive: unpack it"),
    (257, b"ustar", "a tar archive: unpack it"),
    (0, b"ptrt", f"a TensorRT engine: {_EXPORT}"),
    (0, b"ftrt", f"a TensorRT engine: {_EXPORT}"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"SQLite format 3", "a SQLite database"),
    (0, b"\x7fELF", "a program or library"),
)
"""Position of a mark, the mark, and what the file is."""
_ONNX_SECOND_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42"
"""Tags of the fields that can follow the version, the first field of an ONNX model (onnx.proto, ModelProto)."""


def detect_format(path: Path) -> str:
    """Return the format of a weight file, ``TORCH`` or ``SAFETENSORS``. The content decides, not the suffix.

    Raises:
        WeightsError: the file cannot be read or is something else; one line says what it is and what to do.
    """
    try:
        if path.is_dir():
            raise WeightsError(f"weights {path}: is a folder: give the .pth or .safetensors file in it")
        if path.exists() and not path.is_file():
            raise WeightsError(f"weights {path}: is not a regular file")
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            size = path.stat().st_size
            problem = _find_problem(head, size) or (_find_problem_of_zip(stream) if head.startswith(b"PK") else "")
    except OSError as error:
        raise WeightsError(f"weights {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a null byte in the path
        raise WeightsError(f"weights {path}: cannot be read: {error}") from error
    if problem:
        raise unreadable(path, problem)
    return SAFETENSORS if _is_safetensors(head) else TORCH


def unreadable(path: Path, problem: str) -> WeightsError:
    """Return the error for a file that holds no weights.

    Args:
        path: of the file.
        problem: what it is and what to do.
    """
    return WeightsError(f"weights {path}: cannot be read as tensors: {problem}")


def damaged() -> str:
    """Return the problem of a file whose format is right and whose content is not."""
    return f"the file is damaged or incomplete: {_COPY}"


def _find_problem(head: bytes, size: int) -> str:
    if not head:
        return f"the file is empty: {_COPY}"
    for position, mark, description in _MAGIC:
        if head[position:].startswith(mark):
            return f"it is {description}"
    if not any(head):
        return f"it starts with zeros only, as an interrupted copy leaves them: {_COPY}"
    if _is_safetensors(head):
        (length,) = struct.unpack("<Q", head[:8])
        return f"the file is cut short: {_COPY}" if length + 8 > size else ""
    if head.startswith(b"PK"):
        return ""
    if head.startswith(_PICKLE):
        return "" if _LEGACY_TORCH in head[:16] else f"it is a pickle that torch.save did not write: {_EXPORT}"
    if len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 32 and head[2] in _ONNX_SECOND_FIELDS:
        return f"it is an ONNX model: {_EXPORT}"
    return _describe_text(head) or "it is no file of torch.save or safetensors"


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and head[6:8] == b"\0\0"


def _describe_text(head: bytes) -> str:
    """Return what a text file is; "" if the file is no text."""
    text = head.decode("utf-8", errors="ignore").lstrip("\ufeff \t\r\n").lower()
    if b"\0" in head or not all(character.isprintable() or character.isspace() for character in text):
        return ""
    if text.startswith(("<!doctype html", "<html", "<head", "<!--")):
        return "it is a web page, not the file that it offers: download the file itself"
    if text.startswith("<"):
        return "it is an XML file"
    return "it is a text file"


def _find_problem_of_zip(stream: BinaryIO) -> str:
    if not zipfile.is_zipfile(stream):
        return f"the file is cut short: {_COPY}"
    try:
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            unpacked = sum(entry.file_size for entry in archive.infolist())
            size = sum(entry.compress_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        return damaged()
    if unpacked > size + MAX_EXPANSION:
        return damaged()
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return f"it is a TorchScript archive: {_EXPORT}"
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return f"it is an archive of torch.export: {_EXPORT}"
    if any(name.endswith("data.pkl") for name in names):
        return ""
    if any(name.endswith(".npy") for name in names):
        return "it is an archive of NumPy arrays"
    inside = [name for name in names if name.endswith((".pth", ".pt", ".tar", ".safetensors"))]
    return "it is a zip archive without tensors" + (": unpack it" if inside else "")
