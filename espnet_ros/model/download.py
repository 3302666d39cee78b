"""Finds weight files on disk by SHA-256, and downloads published ones."""

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
from espnet_ros.resources import cache_folder, expand_user
from espnet_ros.stopping import check_stop

WEIGHTS_DIR_VARIABLE = "ESPNET_WEIGHTS_DIR"
_TIMEOUT_S = 10.0
_SUFFIXES = (".pth", ".pt", ".safetensors")


def download_folder() -> Path:
    """Return the folder of downloaded weights, which may not exist yet."""
    return cache_folder() / "weights"


def find_by_sha256(sha256: str, weights_dir: str = "") -> Optional[Path]:
    """Search for a file with this SHA-256; return None if there is none.

    Searches ``weights_dir`` (or ``$ESPNET_WEIGHTS_DIR``) and its subfolders, then the download folder.
    """
    for path in _candidates(weights_dir):
        try:
            stat = path.stat()
            if _cached_sha256(str(path), stat.st_size, stat.st_mtime_ns) == sha256:
                return path
        except OSError:
            continue
    return None


def fetch(url: str, sha256: str, name: str, show_progress: bool) -> Path:
    """Download a file into the download folder, verify its SHA-256 and return its path.

    Raises:
        WeightsError: no network, an HTTP error or the wrong SHA-256. No partial file is left behind.
    """
    folder = download_folder()
    target = folder / f"{name}{Path(url).suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = _read(url, name, show_progress)
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise WeightsError(f"weights '{name}': {url} has SHA-256 {digest}, must be {sha256}")
        with tempfile.NamedTemporaryFile(dir=str(folder), suffix=".part", delete=False) as part:
            try:
                part.write(content)
                part.flush()
                Path(part.name).replace(target)
            finally:
                if Path(part.name).exists():
                    Path(part.name).unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(
            f"weights '{name}' are not on this machine and could not be downloaded from {url}: {reason}. To work "
            f"offline, copy the file into {folder} or set {WEIGHTS_DIR_VARIABLE} to the folder that contains it"
        ) from error
    return target


def _read(url: str, name: str, show_progress: bool) -> bytes:
    """Download a file into memory, so that nothing is left on the disk whenever this process ends."""
    content = bytearray()
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
        total = int(response.headers.get("Content-Length") or 0) or None
        with tqdm(total=total, unit="B", unit_scale=True, desc=f"downloading {name}", disable=not show_progress) as bar:
            for block in iter(lambda: response.read(1 << 16), b""):
                check_stop()
                content += block
                bar.update(len(block))
    return bytes(content)


def _candidates(weights_dir: str) -> Iterator[Path]:
    for folder in (weights_dir or os.environ.get(WEIGHTS_DIR_VARIABLE, ""), str(download_folder())):
        if folder:
            files = (path for path in sorted(expand_user(folder).rglob("*")) if path.suffix in _SUFFIXES)
            yield from files


@lru_cache(maxsize=256)
def _cached_sha256(path: str, _size: int, _mtime_ns: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
