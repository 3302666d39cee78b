"""Facts about a checkpoint, and where its file is. Needs no torch, so that a cached engine starts without it."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import yaml

from espnet_ros.classes import ClassTable, load_class_table
from espnet_ros.config import SIZE_MULTIPLE, rule_of
from espnet_ros.errors import ClassTableError, WeightsError
from espnet_ros.model import download
from espnet_ros.resources import share_folder
from espnet_ros.types import ImageSize

Channels = Tuple[float, float, float]
_REGISTRY = Path(__file__).with_name("registry.yaml")
_FACTS = ("network", "alpha", "classes", "mean_bgr", "std_bgr", "input_size")
_SUFFIXES = (".pth", ".pt", ".safetensors")
SHIPPED_FAMILY = "street"
"""Registry family of the weights that come with the package, one file for each alpha in ``weights/``."""
PUBLISHED_DIVISOR = 255.0
"""The published pipeline divides by this after mean and standard deviation."""


@dataclass(frozen=True)
class Checkpoint:
    """One file of weights and what must be known to run it.

    Attributes:
        name: name in the registry, or the file's name.
        network: ``espnet`` or ``espnet_c``.
        alpha: ESP blocks at the third level.
        classes: name or path of the class table it was trained for.
        mean_bgr, std_bgr: of pixel values 0..255, blue first: ``(pixel - mean) / std / divisor``.
        input_size: size it was trained at.
        sha256: of the file, lower-case hex.
        path: the file; None until it has been located.
        divisor: last step of the normalisation.
        family: registry family, "" for a user's file.
        url: where the file is published, "" for a user's file and for one that comes with the package.
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
        """The table it was trained for."""
        return load_class_table(self.classes)


@lru_cache(maxsize=None)
def list_registry() -> Tuple[Checkpoint, ...]:
    """Every checkpoint the package knows: the shipped ones with their paths, then published ones without."""
    document = yaml.safe_load(_REGISTRY.read_text(encoding="utf-8"))
    published = [
        _checkpoint_from_facts(entry, f"{_REGISTRY.name}, {entry['name']}", entry["name"], entry["sha256"])
        for entry in document["checkpoints"]
    ]
    return (*_list_shipped(), *published)


def _list_shipped() -> List[Checkpoint]:
    """The weights that come with the package; what is to be known of each is in the file itself."""
    shipped = []
    for path in sorted((share_folder() / "weights").glob("*.safetensors")):
        facts = {**_read_safetensors_metadata(path), "family": SHIPPED_FAMILY}
        entry = _checkpoint_from_facts(facts, f"weights {path}, metadata", path.stem, sha256_of(path))
        shipped.append(_with_path(entry, path))
    return shipped


def list_weight_names() -> List[str]:
    """Values that ``weights`` takes besides paths: families first, then single checkpoints."""
    families = sorted({entry.family for entry in list_registry()})
    return families + [entry.name for entry in list_registry()]


def is_family(weights: str) -> bool:
    """Whether ``weights`` names a family, in which network and alpha choose the checkpoint."""
    return any(entry.family == weights for entry in list_registry())


def select_checkpoint(weights: str, network: str, alpha: int) -> Checkpoint:
    """What ``weights`` means, without looking for a published checkpoint's file.

    Args:
        weights: a family, a checkpoint's name, or a path.
        network: chooses within a family, with ``alpha``; a single checkpoint has its own.
        alpha: ESP blocks at the third level.

    Raises:
        WeightsError: nothing is known under that name, the family lacks the alpha, or the file has no facts.
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
    path = Path(weights).expanduser()
    if path.suffix not in _SUFFIXES and not path.is_file():
        raise WeightsError(
            f"weights '{weights}': neither a file ({', '.join(_SUFFIXES)}) nor a known name; "
            f"known are {', '.join(list_weight_names())}"
        )
    return _describe_file(path)


def locate_checkpoint(checkpoint: Checkpoint, weights_dir: str = "", show_progress: bool = False) -> Checkpoint:
    """Find a checkpoint's file, downloading it where it is published.

    A published checkpoint is looked for by SHA-256 in ``weights_dir`` (or ``$ESPNET_WEIGHTS_DIR``) and in the
    download cache.

    Raises:
        WeightsError: it is nowhere, or the download failed or has another sum.
    """
    if checkpoint.path is not None:
        return checkpoint
    path = download.find_by_sum(checkpoint.sha256, weights_dir)
    if path is None:
        path = download.fetch(checkpoint.url, checkpoint.sha256, checkpoint.name, show_progress)
    return _with_path(checkpoint, path)


def _with_path(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    return Checkpoint(**{**checkpoint.__dict__, "path": path})


def _describe_file(path: Path) -> Checkpoint:
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise WeightsError(f"weights {path}: cannot be read: {error.strerror}") from error
    for entry in list_registry():
        if entry.sha256 == digest:
            return _with_path(entry, path)
    beside = path.with_suffix(".yaml")
    if path.suffix == ".safetensors":
        facts: Any = _read_safetensors_metadata(path)
        origin = f"weights {path}, metadata"
        if facts or not beside.is_file():
            return _with_path(_checkpoint_from_facts(facts, origin, path.name, digest), path)
    if not beside.is_file():
        raise WeightsError(
            f"weights {path}: not a published checkpoint (SHA-256 {digest[:12]}...), and {beside.name} is not beside "
            f"it; write there: {', '.join(_FACTS)}"
        )
    try:
        facts = yaml.safe_load(beside.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise WeightsError(f"weights {path}: {beside} cannot be read: {error}") from error
    return _with_path(_checkpoint_from_facts(facts, str(beside), path.name, digest), path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _read_safetensors_metadata(path: Path) -> Dict[str, Any]:
    """Facts in the file's header; every value is JSON text, as safetensors holds text alone."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > 100_000_000:
                raise ValueError("header too long")
            metadata = json.loads(stream.read(length)).get("__metadata__", {})
        return {key: json.loads(value) for key, value in metadata.items() if key in (*_FACTS, "divisor")}
    except (OSError, ValueError, struct.error, AttributeError) as error:
        raise WeightsError(f"weights {path}: not a safetensors file: {error}") from error


def _checkpoint_from_facts(facts: Any, origin: str, name: str, sha256: str) -> Checkpoint:
    if not isinstance(facts, Mapping):
        raise WeightsError(f"{origin}: must be a mapping with {', '.join(_FACTS)}")
    missing = [key for key in _FACTS if key not in facts]
    if missing:
        raise WeightsError(f"{origin}: lacks {', '.join(missing)}")
    for key in ("network", "alpha"):
        choices = rule_of(key).choices
        if facts[key] not in choices:
            raise WeightsError(f"{origin}: {key} must be one of {', '.join(map(str, choices))}, is {facts[key]!r}")
    std = _numbers(facts, "std_bgr", 3, origin)
    if min(std) <= 0:
        raise WeightsError(f"{origin}: std_bgr must be above 0, is {list(std)}")
    height, width = (int(value) for value in _numbers(facts, "input_size", 2, origin))
    if height <= 0 or width <= 0 or height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        raise WeightsError(
            f"{origin}: input_size must be positive multiples of {SIZE_MULTIPLE}, is {facts['input_size']}"
        )
    mean = _numbers(facts, "mean_bgr", 3, origin)
    divisor = facts.get("divisor", PUBLISHED_DIVISOR)
    if not isinstance(divisor, (int, float)) or divisor <= 0:
        raise WeightsError(f"{origin}: divisor must be above 0, is {divisor!r}")
    return Checkpoint(
        name=name,
        network=facts["network"],
        alpha=facts["alpha"],
        classes=_class_table_source(facts["classes"], origin),
        mean_bgr=(mean[0], mean[1], mean[2]),
        std_bgr=(std[0], std[1], std[2]),
        input_size=ImageSize(height, width),
        sha256=sha256,
        divisor=float(divisor),
        family=facts.get("family", ""),
        url=facts.get("url", ""),
    )


def _class_table_source(value: Any, origin: str) -> str:
    if not isinstance(value, str):
        raise WeightsError(f"{origin}: classes must be a class table's name or path, is {value!r}")
    try:
        load_class_table(value)
    except ClassTableError as error:
        raise WeightsError(f"{origin}: {error}") from error
    return value


def _numbers(facts: Mapping[str, Any], key: str, count: int, origin: str) -> Tuple[float, ...]:
    values = facts[key]
    if (
        not isinstance(values, (list, tuple))
        or len(values) != count
        or not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    ):
        raise WeightsError(f"{origin}: {key} must be {count} numbers, is {values!r}")
    return tuple(float(value) for value in values)
