"""Frames: images in a sequence, with or without true labels, and the protocol of their sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, List, Optional

import numpy as np
from typing_extensions import Protocol

from espnet_ros.classes import ClassTable
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.label_files import MAPPING_HELP
from espnet_ros.types import UNLABELLED, ImageSize

FIRST_STAMP_NS = 1_000_000_000
"""Stamp of the first frame of a source without timestamps. 0 would mean "no time" in ROS."""
MASK_IDS = {0, UNLABELLED}
"""Ids of a mask, which is 0 or 255."""
_MAX_CITYSCAPES_LABEL_ID = 33
_MAX_LISTED = 10


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        name: name of the image within its source, for messages and reports.
        stamp_ns: capture time in nanoseconds, increasing from frame to frame.
        image: (H, W, 3) uint8 BGR.
        labels: (H, W) uint8 true class ids, 255 for unlabelled pixels; None if the source has no labels.
        labels_name: what holds the labels, such as a file, for messages; "" if the name of the image says it.
    """

    name: str
    stamp_ns: int
    image: np.ndarray
    labels: Optional[np.ndarray] = None
    labels_name: str = ""


class FrameSource(Protocol):
    """Frames in order of time. Can be iterated more than once.

    Attributes:
        name: name of the source, for messages.
        has_labels: whether every frame has labels.
    """

    name: str
    has_labels: bool

    def __iter__(self) -> Iterator[Frame]:
        """Read the frames one by one.

        Raises:
            DatasetError: a frame cannot be read or breaks a rule; the message names the frame and the rule.
        """

    def __len__(self) -> int:
        """Return the number of frames. For a video this is its container's estimate, and 0 if that is missing."""


def check_labels(labels: np.ndarray, image: np.ndarray, name: str) -> None:
    """Check that true labels fit their image.

    Args:
        labels: must be (H, W) uint8.
        image: (H, W, 3).
        name: name of the labels, for the message.

    Raises:
        DatasetError: the labels have the wrong dtype, number of channels or size.
    """
    if labels.dtype != np.uint8 or labels.ndim != 2:
        channels = labels.shape[2] if labels.ndim == 3 else 1
        raise DatasetError(
            f"label image {name}: must have one 8-bit channel of class ids, has {channels} of {labels.dtype}"
        )
    if labels.shape != image.shape[:2]:
        size, expected = ImageSize(*labels.shape), ImageSize(*image.shape[:2])
        raise DatasetError(f"label image {name}: must have its image's size, {expected}, has {size}")


def check_label_ids(labels: np.ndarray, table: ClassTable, name: str) -> None:
    """Check that every true label is a class id of the table or 255.

    Args:
        labels: (H, W) uint8.
        table: the classes.
        name: name of the frame, for the message.

    Raises:
        DatasetError: the message names the frame, the table and the ids.
    """
    outside = [label for label in present_ids(labels) if len(table) <= label < UNLABELLED]
    if outside:
        is_raw_cityscapes = table.name == "cityscapes" and max(outside) <= _MAX_CITYSCAPES_LABEL_ID
        remedy = "these look like labelIds of Cityscapes: use its labelTrainIds"
        raise DatasetError(
            f"labels of {name}: ids must be 0..{len(table) - 1} of class table '{table.name}' or {UNLABELLED} "
            f"(unlabelled), but {_listed(outside)} occur{'s' if len(outside) == 1 else ''}; "
            + (remedy if is_raw_cityscapes else f"map them to ids of the table or to {UNLABELLED}")
        )


def _listed(ids: List[int]) -> str:
    shown = ", ".join(map(str, ids[:_MAX_LISTED]))
    return shown if len(ids) <= _MAX_LISTED else f"{shown} and {len(ids) - _MAX_LISTED} others"


def check_no_mask(ids: Iterable[int], table: ClassTable, name: str) -> None:
    """Check that the labels of a data set are not masks of 0 and 255, in which all of class 1 would be unlabelled.

    Args:
        ids: ids that occur in any of its labels.
        table: the classes. With a single class, 0 and 255 are its labels.
        name: name of the data set, for the message.

    Raises:
        DatasetError: nothing but 0 and 255 occurs, and both do.
    """
    if set(ids) == MASK_IDS and len(table) > 1:
        raise DatasetError(
            f"labels of {name}: must hold class ids, but only 0 and 255 occur, as in masks, and 255 means unlabelled; "
            f"map 255 to id 1 ({MAPPING_HELP}), or use a class table with class 0 alone"
        )


def present_ids(labels: np.ndarray) -> List[int]:
    """Return the ids that occur in (H, W) or (N, H, W) uint8 labels, in ascending order."""
    return [int(label) for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=256))]
