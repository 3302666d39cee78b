"""Resolves the ``weights`` parameter to a checkpoint: its metadata and its file.

Imports no torch, so an engine that starts from its cache does not need it.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import yaml

from espnet_ros.classes import ClassTable, load_class_table
from espnet_ros.config import SIZE_MULTIPLE, rule_of
from espnet_ros.errors import ClassTableError, WeightsError, one_line
from espnet_ros.model import download
from espnet_ros.model.file_format import SAFETENSORS, detect_format
from espnet_ros.resources import expand_user, share_folder
from espnet_ros.types import ImageSize
from espnet_ros.yaml_files import read_yaml

Channels = Tuple[float, float, float]
_REGISTRY = Path(__file__).with_name("registry.yaml")
_METADATA_KEYS = ("network", "alpha", "classes", "mean_bgr", "std_bgr", "input_size")
_SUFFIXES = (".pth", ".pt", ".safetensors")
SHIPPED_FAMILY = "street"
"""Family of the weights shipped with the package: one file per alpha in ``weights/``."""
PUBLISHED_DIVISOR = 255.0
"""Last step of the published normalisation, after mean and standard deviation."""


@dataclass(frozen=True)
class Checkpoint:
    """A weight file and the metadata needed to run it.

    Attributes:
        name: registry name, or the file name of a user's file.
        network: ``espnet`` or ``espnet_c``.
        alpha: number of ESP blocks at the third level.
        classes: name or path of the class table it was trained with.
        mean_bgr, std_bgr: of pixel values 0..255, blue first. Input is ``(pixel - mean) / std / divisor``.
        input_size: image size it was trained at.
        sha256: of the file, lower-case hex.
        path: the file; None until ``locate_checkpoint`` has found it.
        divisor: last step of the normalisation.
        family: registry family; "" for a user's file.
        url: download address; "" for a user's file and for shipped weights.
    """

    name: str
    network: str
    alpha: int
    classes: str
    mean_bgr: Channels
    std_bgr: Channels
    input_size: ImageSize
    sha256: str
    path: Optional[Path] = None
    divisor: float = PUBLISHED_DIVISOR
    family: str = ""
    url: str = ""

    def load_class_table(self) -> ClassTable:
        """Load the class table it was trained with."""
        return load_class_table(self.classes)


@lru_cache(maxsize=None)
def list_registry() -> Tuple[Checkpoint, ...]:
    """Return every known checkpoint: shipped ones with their paths, then published ones without."""
    document = yaml.safe_load(_REGISTRY.read_text(encoding="utf-8"))
    published = [
        _checkpoint_from_metadata(entry, f"{_REGISTRY.name}, {entry['name']}", entry["name"], entry["sha256"])
        for entry in document["checkpoints"]
    ]
    return (*_list_shipped(), *published)


def _list_shipped() -> List[Checkpoint]:
    """List the weights in ``weights/``, whose metadata is stored in the files themselves."""
    shipped = []
    for path in sorted((share_folder() / "weights").glob("*.safetensors")):
        metadata = {**_read_safetensors_metadata(path), "family": SHIPPED_FAMILY}
        entry = _checkpoint_from_metadata(metadata, f"weights {path}, metadata", path.stem, sha256_of(path))
        shipped.append(_with_path(entry, path))
    return shipped


def list_weight_names() -> List[str]:
    """Return the values that ``weights`` accepts besides paths: families first, then checkpoint names."""
    families = sorted({entry.family for entry in list_registry()})
    return families + [entry.name for entry in list_registry()]


def is_family(weights: str) -> bool:
    """Return whether ``weights`` names a family, in which ``network`` and ``alpha`` select the checkpoint."""
    return any(entry.family == weights for entry in list_registry())


def select_checkpoint(weights: str, network: str, alpha: int) -> Checkpoint:
    """Resolve ``weights`` to a checkpoint. Does not search for a published checkpoint's file.

    Args:
        weights: a family, a checkpoint name or a path.
        network: selects within a family, together with ``alpha``; ignored otherwise.
        alpha: number of ESP blocks at the third level.

    Raises:
        WeightsError: the name is unknown, the family has no such network and alpha, or the file cannot be read or has
            no valid metadata.
    """
    if is_family(weights):
        members = [entry for entry in list_registry() if entry.family == weights]
        for entry in members:
            if (entry.network, entry.alpha) == (network, alpha):
                return entry
        offered = ", ".join(f"{entry.network} alpha {entry.alpha}" for entry in members)
        raise WeightsError(f"weights '{weights}' have no {network} with alpha {alpha}; they have: {offered}")
    for entry in list_registry():
        if entry.name == weights:
            return entry
    path = expand_user(weights)
    if path.suffix not in _SUFFIXES and not path.exists():
        raise WeightsError(
            f"weights '{weights}': neither a file ({', '.join(_SUFFIXES)}) nor a known name; "
            f"known names: {', '.join(list_weight_names())}"
        )
    return _describe_file(path)


def locate_checkpoint(
    checkpoint: Checkpoint, weights_dir: str = "", show_progress: bool = False, *, download_missing: bool = True
) -> Checkpoint:
    """Find a checkpoint's file, and download a published one if it is not on this machine.

    Published checkpoints are searched for by SHA-256 in ``weights_dir`` (or ``$ESPNET_WEIGHTS_DIR``) and in the
    download folder.

    Args:
        checkpoint: from ``select_checkpoint``.
        weights_dir: folder to search, with its subfolders; "" for ``$ESPNET_WEIGHTS_DIR``.
        show_progress: show a progress bar while downloading.
        download_missing: download a file that is not on this machine.

    Returns:
        The checkpoint with its path, which is None if the file is not on this machine and not to be downloaded.

    Raises:
        WeightsError: the file is not on this machine, and the download failed or has the wrong SHA-256.
    """
    if checkpoint.path is not None:
        return checkpoint
    path = download.find_by_sha256(checkpoint.sha256, weights_dir)
    if path is None:
        if not download_missing:
            return checkpoint
        path = download.fetch(checkpoint.url, checkpoint.sha256, checkpoint.name, show_progress)
    return _with_path(checkpoint, path)


def _with_path(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    return Checkpoint(**{**checkpoint.__dict__, "path": path})


def _describe_file(path: Path) -> Checkpoint:
    is_safetensors = detect_format(path) == SAFETENSORS
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise WeightsError(f"weights {path}: cannot be read: {error.strerror}") from error
    for entry in list_registry():
        if entry.sha256 == digest:
            return _with_path(entry, path)
    sidecar = path.with_suffix(".yaml")
    if is_safetensors:
        metadata: Any = _read_safetensors_metadata(path)
        origin = f"weights {path}, metadata"
        if not sidecar.is_file() or set(_METADATA_KEYS).issubset(metadata):
            return _with_path(_checkpoint_from_metadata(metadata, origin, path.name, digest), path)
    if not sidecar.is_file():
        raise WeightsError(
            f"weights {path}: not a published checkpoint (SHA-256 {digest[:12]}...) and without metadata; write "
            f"{sidecar.name} next to it, with: {', '.join(_METADATA_KEYS)}"
        )
    try:
        metadata = read_yaml(sidecar)
    except ValueError as error:
        raise WeightsError(f"weights {path}: {error}") from error
    return _with_path(_checkpoint_from_metadata(metadata, str(sidecar), path.name, digest), path)


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file, as lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _read_safetensors_metadata(path: Path) -> Dict[str, Any]:
    """Read the metadata in the file's header. Each value is JSON text, since safetensors stores only strings."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > 100_000_000:
                raise ValueError("header too long")
            metadata = json.loads(stream.read(length)).get("__metadata__", {})
        return {key: _from_json(value) for key, value in metadata.items() if key in (*_METADATA_KEYS, "divisor")}
    except OSError as error:
        raise WeightsError(f"weights {path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError, struct.error, AttributeError) as error:
        raise WeightsError(f"weights {path}: not a safetensors file: {one_line(error)}") from error


def _from_json(text: str) -> Any:
    """Return the value of a JSON text; the text itself if it is none, such as a name without quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _checkpoint_from_metadata(metadata: Any, origin: str, name: str, sha256: str) -> Checkpoint:
    if not isinstance(metadata, Mapping):
        raise WeightsError(f"{origin}: must be a mapping with {', '.join(_METADATA_KEYS)}")
    missing = [key for key in _METADATA_KEYS if key not in metadata]
    if missing:
        raise WeightsError(f"{origin}: lacks {', '.join(missing)}")
    for key in ("network", "alpha"):
        choices = rule_of(key).choices
        if metadata[key] not in choices or isinstance(metadata[key], float):
            found = reprlib.repr(metadata[key])
            raise WeightsError(f"{origin}: {key} must be one of {', '.join(map(str, choices))}, is {found}")
    std = _numbers(metadata, "std_bgr", 3, origin)
    if min(std) <= 0:
        raise WeightsError(f"{origin}: std_bgr must be above 0, is {list(std)}")
    height, width = _numbers(metadata, "input_size", 2, origin)
    if height <= 0 or width <= 0 or height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        raise WeightsError(
            f"{origin}: input_size must be positive multiples of {SIZE_MULTIPLE}, is {metadata['input_size']}"
        )
    mean = _numbers(metadata, "mean_bgr", 3, origin)
    divisor = metadata.get("divisor", PUBLISHED_DIVISOR)
    if not _is_number(divisor) or divisor <= 0:
        raise WeightsError(f"{origin}: divisor must be above 0, is {reprlib.repr(divisor)}")
    return Checkpoint(
        name=name,
        network=metadata["network"],
        alpha=metadata["alpha"],
        classes=_class_table_source(metadata["classes"], origin),
        mean_bgr=(mean[0], mean[1], mean[2]),
        std_bgr=(std[0], std[1], std[2]),
        input_size=ImageSize(int(height), int(width)),
        sha256=sha256,
        divisor=float(divisor),
        family=metadata.get("family", ""),
        url=metadata.get("url", ""),
    )


def _class_table_source(value: Any, origin: str) -> str:
    if not isinstance(value, str):
        raise WeightsError(f"{origin}: classes must be a class table's name or path, is {reprlib.repr(value)}")
    try:
        load_class_table(value)
    except ClassTableError as error:
        raise WeightsError(f"{origin}: {error}") from error
    return value


def _numbers(metadata: Mapping[str, Any], key: str, count: int, origin: str) -> Tuple[float, ...]:
    values = metadata[key]
    if not isinstance(values, (list, tuple)) or len(values) != count or not all(map(_is_number, values)):
        raise WeightsError(f"{origin}: {key} must be {count} numbers, is {reprlib.repr(values)}")
    return tuple(float(value) for value in values)


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number that a double can store."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
