"""Images that engines are calibrated with and compared with torch on: a folder, a bag, or the synthetic street."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Iterator, List

import cv2
import numpy as np

from espnet_ros.engines.base import CalibrationImages
from espnet_ros.engines.cache_key import hash_sources
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.images import ImageFolder
from espnet_ros.evaluation.losses import losses_of
from espnet_ros.evaluation.sources import is_bag, open_bag
from espnet_ros.resources import expand_user
from espnet_ros.types import ImageSize

_logger = logging.getLogger(__name__)
_FRAMES_PER_STREET = 12
_FRAME_SPACING = 5.0  # m
_FIRST_SEED = 1000
_STREET_SOURCES = ("calibration.py", "headers.py", "synthetic/*.py", "costmap/*.py")
_RECORDED_SOURCES = ("evaluation/**/*.py", "image_encoding/*.py")
"""Code that the calibration images depend on. Rendering them to see whether they changed would slow every start."""


def calibration_images(source: str) -> CalibrationImages:
    """Return the calibration images of a source. Reads and renders nothing yet.

    Args:
        source: folder of images, or bag; "" for the synthetic street.
    """
    return RecordedImages(source) if source else StreetImages()


def check_calibration(source: str) -> None:
    """Check that a source of calibration images exists.

    Raises:
        DatasetError: there is no such folder or bag.
    """
    if source and not expand_user(source).exists():
        raise DatasetError(f"calibration '{source}': there is no such folder or bag")


@dataclass(frozen=True)
class StreetImages:
    """Frames of the synthetic street: every 5 m of several streets, so that they differ."""

    @property
    def description(self) -> str:
        """See ``CalibrationImages``. Changes with the code that draws the street."""
        return f"synthetic street {hash_sources(*_STREET_SOURCES)[:16]}"

    def images(self, size: ImageSize, count: int) -> List[np.ndarray]:
        """See ``CalibrationImages``. Always returns ``count`` images."""
        return list(islice(_render_streets(size, count), count))


@dataclass(frozen=True)
class RecordedImages:
    """Images of a folder or bag, spread evenly over it and resized. A bag is read up to the last image used.

    Attributes:
        source: path of the folder or bag; ``~`` is expanded.
    """

    source: str

    @property
    def description(self) -> str:
        """See ``CalibrationImages``. Changes with the names, sizes and times of the source's files, and our reader.

        The images themselves are not read, because that would slow every start down.
        """
        path = self._path
        files: List[str] = []
        with suppress(OSError):  # what cannot be read is reported when the images are read
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                status = file.stat()
                files.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
        code = hash_sources(*_RECORDED_SOURCES)
        return f"{path} {hashlib.sha256(' '.join([*files, code]).encode()).hexdigest()[:16]}"

    def images(self, size: ImageSize, count: int) -> List[np.ndarray]:
        """See ``CalibrationImages``. A source with fewer images than ``count`` returns all of them."""
        source = open_bag(self._path) if is_bag(self._path) else ImageFolder(self._path)
        step = max(1, len(source) // count)
        images = [_fit(frame.image, size) for frame in islice(source, 0, step * count, step)]
        for loss in losses_of(source):
            _logger.warning("calibration %s was read in part: %s", self._path, loss)
        return images

    @property
    def _path(self) -> Path:
        return expand_user(self.source)


def _fit(image: np.ndarray, size: ImageSize) -> np.ndarray:
    if image.shape[:2] != tuple(size):
        image = cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(image)


def _render_streets(size: ImageSize, count: int) -> Iterator[np.ndarray]:
    from espnet_ros.synthetic import SyntheticStreet, default_camera

    for index in range(-(-count // _FRAMES_PER_STREET)):
        street = SyntheticStreet(
            _FIRST_SEED + index, _FRAMES_PER_STREET, rate=1.0, speed=_FRAME_SPACING, camera=default_camera(size)
        )
        for frame in street:
            yield np.ascontiguousarray(frame.image)
