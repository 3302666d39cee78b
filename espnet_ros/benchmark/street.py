"""Frames of synthetic streets, for timing engines and for measuring their accuracy."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Iterator, List, Tuple

import numpy as np

from espnet_ros.classes import ClassTable, load_class_table
from espnet_ros.evaluation.frames import Frame
from espnet_ros.synthetic import StreetWorld, SyntheticStreet, default_camera, drive
from espnet_ros.types import ImageSize

EVALUATION_HEIGHT = 480
"""Rows of the evaluation images. A network with a smaller input loses accuracy on their details."""
FIRST_EVALUATION_SEED = 30000
"""Training and the model card use streets with smaller seeds."""
_FRAMES_PER_STREET = 2
_METRES_APART = 20.0


def street_images(size: ImageSize, count: int = 4) -> List[np.ndarray]:
    """Return (H, W, 3) uint8 BGR images of a drive."""
    frames = drive(StreetWorld(seed=0), default_camera(size), rate=1.0)
    return [frame.image for frame in itertools.islice(frames, count)]


def is_street_table(table: ClassTable) -> bool:
    """Return whether a class table is that of the street's labels."""
    return table.names == load_class_table("camvid").names


class EvaluationFrames:
    """A fixed set of frames with exact labels, from streets that training does not use; see ``FrameSource``.

    Args:
        network_size: the images have its aspect ratio and ``EVALUATION_HEIGHT`` rows.
        count: number of frames, two per street.
    """

    has_labels = True

    def __init__(self, network_size: ImageSize, count: int) -> None:
        width = round(EVALUATION_HEIGHT * network_size.width / network_size.height)
        self._frames = _draw(ImageSize(EVALUATION_HEIGHT, max(1, width)), count)
        self.name = f"{count} frames of synthetic streets from seed {FIRST_EVALUATION_SEED} on"

    def __iter__(self) -> Iterator[Frame]:
        """See ``FrameSource``."""
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


@lru_cache(maxsize=4)
def _draw(size: ImageSize, count: int) -> Tuple[Frame, ...]:
    frames: List[Frame] = []
    for seed in itertools.count(FIRST_EVALUATION_SEED):
        wanted = min(_FRAMES_PER_STREET, count - len(frames))
        if wanted < 1:
            return tuple(frames)
        frames += SyntheticStreet(seed, wanted, rate=1.0, speed=_METRES_APART, camera=default_camera(size))
    return tuple(frames)
