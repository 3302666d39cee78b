"""Class ids of the labels, from the CamVid table."""

from __future__ import annotations

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST, VOID = range(12)

NUM_CLASSES = 11
"""Number of classes without ``VOID``, which marks pixels outside the lens."""

FLAT_CLASSES = (ROAD, PAVEMENT)
"""Classes of the ground."""
