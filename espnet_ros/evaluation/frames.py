"""Frames: images that come one after another, with or without their true labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional

import numpy as np
from typing_extensions import Protocol

from espnet_ros.classes import ClassTable
from espnet_ros.errors import DatasetError
from espnet_ros.types import UNLABELLED, ImageSize

FIRST_STAMP_NS = 1_000_000_000
"""Stamp of the first frame of a source without time of its own; stamp 0 means "no time" in ROS."""


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        name: the image's own name within the source, for messages and pages.
        stamp_ns: when it was taken, in nanoseconds; grows from frame to frame.
        image: (H, W, 3) uint8, BGR.
        labels: (H, W) uint8 true class ids, 255 being unlabelled; None where the source has none.
    """

    name: str
    stamp_ns: int
    image: np.ndarray
    labels: Optional[np.ndarray] = None


class FrameSource(Protocol):
    """Frames in order of time. It can be iterated more than once.

    Attributes:
        name: where the frames come from, for messages.
        has_labels: every frame has labels.
    """

    name: str
    has_labels: bool

    def __iter__(self) -> Iterator[Frame]:
        """Read the frames one by one.

        Raises:
            DatasetError: a frame cannot be read or breaks a rule; the message names both.
        """

    def __len__(self) -> int:
        """Number of frames; of a video what its container claims, which may be a little off, 0 being unknown."""


def check_labels(labels: np.ndarray, image: np.ndarray, name: str) -> None:
    """Refuse true labels that do not fit their image.

    Raises:
        DatasetError: they are not one 8-bit id a pixel, or of another size.
    """
    if labels.dtype != np.uint8 or labels.ndim != 2:
        channels = labels.shape[2] if labels.ndim == 3 else 1
        raise DatasetError(
            f"label image {name}: must have one 8-bit channel of class ids, has {channels} of {labels.dtype}"
        )
    if labels.shape != image.shape[:2]:
        size, expected = ImageSize(*labels.shape), ImageSize(*image.shape[:2])
        raise DatasetError(f"label image {name}: must be of its image's size {expected}, is {size}")


def check_label_ids(labels: np.ndarray, table: ClassTable, name: str) -> None:
    """Refuse true labels with an id that is neither in the class table nor 255.

    Raises:
        DatasetError: the message names the frame, the table and the id.
    """
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    outside = [int(label) for label in present if len(table) <= label < UNLABELLED]
    if outside:
        raise DatasetError(
            f"labels of {name}: ids must be 0..{len(table) - 1} of class table '{table.name}' or {UNLABELLED} "
            f"(unlabelled), but {', '.join(map(str, outside))} occur{'s' if len(outside) == 1 else ''}"
        )
