"""Render the synthetic streets of a source in parallel, and cache them in a folder.

It does not import torch, so that its processes start fast.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, List, NamedTuple, Tuple

import numpy as np
from tqdm import tqdm

import espnet_ros.synthetic
from espnet_ros.bound_process import end_with_parent
from espnet_ros.errors import DatasetError
from espnet_ros.synthetic import Mount, SyntheticStreet, default_camera
from espnet_ros.training.config import SyntheticSource
from espnet_ros.types import ImageSize

_RATE = 10.0  # Hz; arbitrary, only the distance between frames matters


class Drawn(NamedTuple):
    """Frames of one street."""

    images: np.ndarray
    """(N, H, W, 3) uint8 BGR."""
    labels: np.ndarray
    """(N, H, W) uint8."""


def draw_streets(source: SyntheticSource, size: ImageSize, cache: str, show_progress: bool) -> List[Drawn]:
    """Return the streets of a source, in the order of their seeds.

    Args:
        source: the streets.
        size: of the images.
        cache: folder to cache them in; empty for no cache.
        show_progress: show a progress bar.

    Raises:
        DatasetError: the cache cannot be written.
    """
    seeds = range(source.first_seed, source.first_seed + source.seeds)
    jobs = [(source, seed, size, cache) for seed in seeds]
    workers = min(len(jobs), os.cpu_count() or 1)
    bar = tqdm(total=len(jobs), desc="streets", unit="street", disable=not show_progress)
    with bar:
        if workers == 1 or len(jobs) < 4:
            return [_advance(bar, _draw(job)) for job in jobs]
        # spawn, because a forked child of a process with threads, as torch has, can deadlock
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _enter_worker, (os.getpid(),)) as pool:
            return [_advance(bar, drawn) for drawn in pool.map(_draw, jobs)]


def _enter_worker(parent: int) -> None:
    """Ignore Ctrl-C in workers, which the parent handles, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)


def _advance(bar: Any, drawn: Drawn) -> Drawn:
    bar.update()
    return drawn


def _draw(job: Tuple[SyntheticSource, int, ImageSize, str]) -> Drawn:
    source, seed, size, cache = job
    path = Path(cache) / f"{_fingerprint(source, size)}-{seed}.npz" if cache else None
    if path is not None and path.is_file():
        with np.load(str(path)) as stored:
            return Drawn(stored["images"], stored["labels"])
    # Its own generator, so that the mount does not depend on the number of streets.
    generator = np.random.default_rng([seed, 1])
    mount = Mount(height=generator.uniform(*source.camera_height), pitch=generator.uniform(*source.camera_pitch))
    street = SyntheticStreet(seed, source.frames, _RATE, source.spacing * _RATE, default_camera(size), mount)
    frames = list(street.frames())
    drawn = Drawn(np.stack([frame.image for frame in frames]), np.stack([frame.labels for frame in frames]))
    if path is not None:
        _save(path, drawn)
    return drawn


def _save(path: Path, drawn: Drawn) -> None:
    """Write atomically, so that an interrupted run leaves no partial street."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=str(path.parent), suffix=".part", delete=False) as part:
            np.savez(part, images=drawn.images, labels=drawn.labels)
        Path(part.name).replace(path)
    except OSError as error:
        raise DatasetError(f"cache {path.parent}: cannot be written: {error.strerror}") from error


def _fingerprint(source: SyntheticSource, size: ImageSize) -> str:
    """Hash everything except the seed that the images depend on, including the rendering code."""
    settings = {**dataclasses.asdict(source), "first_seed": 0, "seeds": 0, "size": list(size)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for module in sorted(Path(espnet_ros.synthetic.__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()[:16]
