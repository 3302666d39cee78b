"""Which images each step learns from, known for the whole run beforehand, so that a resumed run goes on with it."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from espnet_ros.training.images import LabelledImages
from espnet_ros.training.statistics import source_weights


def steps_per_epoch(train: Sequence[LabelledImages], batch_size: int) -> int:
    """Steps in which each image of the first source comes once, and the others by their shares."""
    return max(1, math.ceil(len(train[0]) / float(source_weights(train)[0]) / batch_size))


def draw_order(sizes: Sequence[int], weights: Sequence[float], draws: int, seed: int) -> np.ndarray:
    """Images of a run in order, over all sources joined end to end.

    Each source goes through all its images in random order before one comes again.

    Args:
        sizes: images of each source.
        weights: probability of each source.
        draws: how many images.
        seed: of the order.

    Returns:
        (draws,) int64 index of an image.
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
