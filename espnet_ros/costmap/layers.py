"""Per-class evidence on the ground, from the labels of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ros.classes import FLAT, STANDING, ClassTable
from espnet_ros.costmap.contacts import find_contacts
from espnet_ros.costmap.projection import GroundView
from espnet_ros.types import UNLABELLED

_NO_LAYER = 255
_NEITHER, _GROUND, _STANDS = 0, 1, 2


@dataclass(frozen=True)
class Layer:
    """One grid: a class, or a group of classes.

    Attributes:
        name: name of the layer, part of its topic.
        class_ids: labels that belong to it.
        kind: ``flat`` (ground that is filled) or ``standing`` (only ground contacts mark).
        cost: of an occupied cell in the merged grid, 0..98, or 100 for lethal.
    """

    name: str
    class_ids: Tuple[int, ...]
    kind: str
    cost: int


def layers_of(table: ClassTable) -> List[Layer]:
    """The layers that a class table asks for, in the order of their first class."""
    layers: List[Layer] = []
    for row in table.classes:
        if row.ground not in (FLAT, STANDING):
            continue
        known = next((index for index, layer in enumerate(layers) if layer.name == row.layer), None)
        if known is None:
            layers.append(Layer(row.layer, (row.id,), row.ground, row.cost))
        else:
            layer = layers[known]
            layers[known] = Layer(layer.name, (*layer.class_ids, row.id), layer.kind, layer.cost)
    return layers


class GroundEvidence(NamedTuple):
    """What one image says about the ground in view.

    All arrays have one entry a sample of ground; standing things come as contacts.
    """

    x: np.ndarray
    """(N,) float32, metres forward in the base frame, of ground that is seen."""
    y: np.ndarray
    """(N,) float32, metres to the left."""
    layer: np.ndarray
    """(N,) uint8 index of the layer, 255 where the ground belongs to none."""
    pixels: np.ndarray
    """(N,) float64 image area of the sample, in pixels."""
    contact_x: np.ndarray
    """(M,) float32, metres forward, of ground contacts of standing things."""
    contact_y: np.ndarray
    """(M,) float32, metres to the left."""
    contact_layer: np.ndarray
    """(M,) uint8 index of the layer."""
    contact_label: np.ndarray
    """(M,) uint8 class id."""
    contact_confidence: np.ndarray
    """(M,) uint8, 255 being certain; 255 where no confidence was given."""


def no_evidence() -> GroundEvidence:
    """Evidence of an image that shows nothing."""
    nowhere, nothing = np.empty(0, np.float32), np.empty(0, np.uint8)
    return GroundEvidence(nowhere, nowhere, nothing, np.empty(0), nowhere, nowhere, nothing, nothing, nothing)


class EvidenceExtractor:
    """Reads ground and ground contacts out of label images.

    Args:
        layers: layers to tell apart.
        min_confidence: pixels less certain than this, 0..1, say nothing.
        min_obstacle_height: what does not rise at least this high above its contact, in metres, is noise.
    """

    def __init__(self, layers: Sequence[Layer], min_confidence: float = 0.0, min_obstacle_height: float = 0.15) -> None:
        self.layers = tuple(layers)
        self.min_confidence = min_confidence
        self.min_obstacle_height = min_obstacle_height
        self._layer_of = np.full(256, _NO_LAYER, np.uint8)
        self._kind_of = np.full(256, _NEITHER, np.uint8)
        for index, layer in enumerate(self.layers):
            ids = list(layer.class_ids)
            self._layer_of[ids] = index
            self._kind_of[ids] = _GROUND if layer.kind == FLAT else _STANDS

    def extract(self, view: GroundView, labels: np.ndarray, confidence: Optional[np.ndarray] = None) -> GroundEvidence:
        """Evidence of one image.

        Args:
            view: the ground as the camera sees it.
            labels: (H, W) uint8, at the size of the view's camera.
            confidence: (H, W) uint8; needed where ``min_confidence`` is above 0.
        """
        seen = labels.reshape(-1).take(view.pixel)  # (S, A)
        seen[view.hidden] = UNLABELLED
        kind = self._kind_of.take(seen)
        kind[view.hidden] = _NEITHER
        certainty = None if confidence is None else confidence.reshape(-1).take(view.pixel)
        if certainty is not None and self.min_confidence > 0:
            kind[certainty < self.min_confidence * 255] = _NEITHER
        flat, standing = kind == _GROUND, kind == _STANDS
        contact = find_contacts(view, seen, flat, standing, self.min_obstacle_height)
        ground = np.flatnonzero(flat[: view.reach])
        touching = np.flatnonzero(contact)
        label = seen.take(touching)
        return GroundEvidence(
            x=view.x.take(ground),
            y=view.y.take(ground),
            layer=self._layer_of.take(seen.take(ground)),
            pixels=view.pixels.take(ground),
            contact_x=view.x.take(touching),
            contact_y=view.y.take(touching),
            contact_layer=self._layer_of.take(label),
            contact_label=label,
            contact_confidence=np.full(len(touching), 255, np.uint8) if certainty is None else certainty.take(touching),
        )
