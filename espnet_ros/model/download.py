"""Finds published files by their SHA-256, on disk or where they are published."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from functools import lru_cache
from pathlib import Path
from typing import Iterator, Optional

from tqdm import tqdm

from espnet_ros.errors import WeightsError
from espnet_ros.resources import cache_folder

WEIGHTS_DIR_VARIABLE = "ESPNET_WEIGHTS_DIR"
_TIMEOUT_S = 10.0
_SUFFIXES = (".pth", ".pt", ".safetensors")


def download_folder() -> Path:
    """Where downloaded weights are kept; it may not exist yet."""
    return cache_folder() / "weights"


def find_by_sum(sha256: str, weights_dir: str = "") -> Optional[Path]:
    """File with that SHA-256 below ``weights_dir`` (or ``$ESPNET_WEIGHTS_DIR``) or in the download cache, or None."""
    for path in _candidates(weights_dir):
        try:
            stat = path.stat()
            if _sum_of(str(path), stat.st_size, stat.st_mtime_ns) == sha256:
                return path
        except OSError:
            continue
    return None


def fetch(url: str, sha256: str, name: str, show_progress: bool) -> Path:
    """Download a file into the cache and check its sum.

    Raises:
        WeightsError: there is no network, the server refuses, or the sum is another; nothing is left behind.
    """
    folder = download_folder()
    target = folder / f"{name}{Path(url).suffix}"
    digest = hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=str(folder), suffix=".part", delete=False) as part:
            try:
                _copy(url, part, digest, name, show_progress)
                if digest.hexdigest() != sha256:
                    raise WeightsError(f"weights '{name}': {url} has SHA-256 {digest.hexdigest()}, must be {sha256}")
                part.flush()
                Path(part.name).replace(target)
            finally:
                if Path(part.name).exists():
                    Path(part.name).unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(
            f"weights '{name}' are not on this machine and could not be downloaded from {url}: {reason}. Without a "
            f"network, copy the file into {folder} or set {WEIGHTS_DIR_VARIABLE} to the folder that has it"
        ) from error
    return target


def _copy(url: str, part: object, digest: object, name: str, show_progress: bool) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
        total = int(response.headers.get("Content-Length") or 0) or None
        with tqdm(total=total, unit="B", unit_scale=True, desc=f"downloading {name}", disable=not show_progress) as bar:
            for block in iter(lambda: response.read(1 << 16), b""):
                part.write(block)  # type: ignore[attr-defined]
                digest.update(block)  # type: ignore[attr-defined]
                bar.update(len(block))


def _candidates(weights_dir: str) -> Iterator[Path]:
    for folder in (weights_dir or os.environ.get(WEIGHTS_DIR_VARIABLE, ""), str(download_folder())):
        if folder:
            files = (path for path in sorted(Path(folder).expanduser().rglob("*")) if path.suffix in _SUFFIXES)
            yield from files


@lru_cache(maxsize=256)
def _sum_of(path: str, _size: int, _mtime_ns: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
