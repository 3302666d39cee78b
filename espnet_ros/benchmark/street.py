"""Frames of synthetic streets: to run engines on, and to judge their labels by."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Iterator, List, Tuple

import numpy as np

from espnet_ros.classes import ClassTable, load_class_table
from espnet_ros.evaluation.frames import Frame
from espnet_ros.synthetic import StreetWorld, SyntheticStreet, default_camera, drive
from espnet_ros.types import ImageSize

JUDGED_HEIGHT = 480
"""Rows of the images that labels are judged by. A smaller network loses what it does not see of them."""
FIRST_JUDGED_SEED = 30000
"""The streets of training and those of the model card end before."""
_FRAMES_A_STREET = 2
_METRES_APART = 20.0


def street_images(size: ImageSize, count: int = 4) -> List[np.ndarray]:
    """(H, W, 3) uint8 BGR images of a drive."""
    frames = drive(StreetWorld(seed=0), default_camera(size), rate=1.0)
    return [frame.image for frame in itertools.islice(frames, count)]


def is_street_table(table: ClassTable) -> bool:
    """Whether a network of these classes can be judged by the street's labels as they are."""
    return table.names == load_class_table("camvid").names


class JudgedFrames:
    """A fixed set of frames of unseen streets with exact labels; see ``FrameSource``.

    Args:
        network_size: the images have its shape and ``JUDGED_HEIGHT`` rows, so that networks of one shape share them.
        count: how many, of half as many streets.
    """

    has_labels = True

    def __init__(self, network_size: ImageSize, count: int) -> None:
        width = round(JUDGED_HEIGHT * network_size.width / network_size.height)
        self._frames = _draw(ImageSize(JUDGED_HEIGHT, max(1, width)), count)
        self.name = f"{count} frames of synthetic streets from seed {FIRST_JUDGED_SEED} on"

    def __iter__(self) -> Iterator[Frame]:
        """See ``FrameSource``."""
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


@lru_cache(maxsize=4)
def _draw(size: ImageSize, count: int) -> Tuple[Frame, ...]:
    frames: List[Frame] = []
    for seed in itertools.count(FIRST_JUDGED_SEED):
        wanted = min(_FRAMES_A_STREET, count - len(frames))
        if wanted < 1:
            return tuple(frames)
        frames += SyntheticStreet(seed, wanted, rate=1.0, speed=_METRES_APART, camera=default_camera(size))
    return tuple(frames)
