"""Class ids of the CamVid table that the street's labels use."""

from __future__ import annotations

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST, VOID = range(12)

NUM_CLASSES = 11
"""Classes that count; ``VOID`` comes after them and marks pixels that the lens does not reach."""

FLAT_CLASSES = (ROAD, PAVEMENT)
"""Classes of the ground itself."""
