"""Images that an engine is tuned with and tried on: from a folder or bag, or of the synthetic street."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Iterator, List

import cv2
import numpy as np

from espnet_ros.engines.base import EngineSpec
from espnet_ros.evaluation.frames import FrameSource
from espnet_ros.types import ImageSize

_FRAMES_A_STREET = 12
_METRES_APART = 5.0
_FIRST_SEED = 1000
_BAG_SUFFIXES = (".bag", ".mcap", ".db3")
_BAG_MANIFEST = "metadata.yaml"


def calibration_images(spec: EngineSpec, count: int) -> List[np.ndarray]:
    """Images like those that the engine will see, the same ones at every call.

    Those of a folder or bag are spread evenly over it. A bag is read as far as the last one taken.

    Args:
        spec: ``calibration`` says where from, ``input_size`` at which size.
        count: how many at most; a folder or bag with fewer gives all it has.

    Returns:
        At least one (h, w, 3) uint8 BGR image, C-contiguous.

    Raises:
        DatasetError: the folder or bag cannot be used.
    """
    if spec.calibration:
        return [_fit(image, spec.input_size) for image in _spread(_open(Path(spec.calibration).expanduser()), count)]
    return list(islice(_streets(spec.input_size, count), count))


def describe_images(calibration: str) -> str:
    """Which images these are, for the key of a cached engine; none of them is read, which would take too long.

    Args:
        calibration: as in ``EngineSpec``.

    Returns:
        Another text where the folder has other files, or files of other sizes or times.
    """
    if not calibration:
        return "synthetic street"
    path = Path(calibration).expanduser()
    facts: List[str] = []
    with suppress(OSError):  # who reads them says what is wrong with them
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            status = file.stat()
            facts.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return f"{path} {hashlib.sha256(' '.join(facts).encode()).hexdigest()[:16]}"


def _open(path: Path) -> FrameSource:
    if path.suffix in _BAG_SUFFIXES or (path / _BAG_MANIFEST).is_file():
        from espnet_ros.evaluation.bag import BagFrames

        return BagFrames(path)
    from espnet_ros.evaluation.images import ImageFolder

    return ImageFolder(path)


def _spread(source: FrameSource, count: int) -> Iterator[np.ndarray]:
    step = max(1, len(source) // count)
    return (frame.image for frame in islice(source, 0, step * count, step))


def _fit(image: np.ndarray, size: ImageSize) -> np.ndarray:
    if image.shape[:2] != tuple(size):
        image = cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(image)


def _streets(size: ImageSize, count: int) -> Iterator[np.ndarray]:
    """Frames some metres apart, of several streets, so that they differ."""
    from espnet_ros.synthetic import SyntheticStreet, default_camera

    for index in range(-(-count // _FRAMES_A_STREET)):
        street = SyntheticStreet(
            _FIRST_SEED + index, _FRAMES_A_STREET, rate=1.0, speed=_METRES_APART, camera=default_camera(size)
        )
        for frame in street:
            yield np.ascontiguousarray(frame.image)
