"""The order of training images, drawn for the whole run in advance, so that a resumed run continues with it."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from espnet_ros.training.images import LabelledImages
from espnet_ros.training.statistics import source_weights


def steps_per_epoch(train: Sequence[LabelledImages], batch_size: int) -> int:
    """Return the steps per epoch: one pass over the first source, with the others by their shares."""
    return max(1, math.ceil(len(train[0]) / float(source_weights(train)[0]) / batch_size))


def draw_order(sizes: Sequence[int], weights: Sequence[float], draws: int, seed: int) -> np.ndarray:
    """Draw the image order of a run.

    Each source shows all its images in random order before it repeats one.

    Args:
        sizes: number of images of each source.
        weights: probability of each source.
        draws: length of the order.
        seed: of the random numbers.

    Returns:
        (draws,) int64 image indices, over all sources concatenated.
    """
    generator = np.random.default_rng([seed, 0])
    source_of = generator.choice(len(sizes), draws, p=np.asarray(weights, np.float64))
    order = np.empty(draws, np.int64)
    offset = 0
    for source, size in enumerate(sizes):
        places = np.flatnonzero(source_of == source)
        rounds = -(-len(places) // size)
        generator = np.random.default_rng([seed, 1 + source])
        passes = [generator.permutation(size) for _ in range(rounds)]
        order[places] = offset + np.concatenate(passes)[: len(places)] if passes else offset
        offset += size
    return order
