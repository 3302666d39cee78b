"""Evidence for each costmap layer, in ground coordinates, from the labels of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ros.classes import FLAT, STANDING, ClassTable
from espnet_ros.costmap.contacts import find_contacts
from espnet_ros.costmap.projection import GroundView
from espnet_ros.types import UNLABELLED

_NO_LAYER = 255
_NEITHER, _GROUND, _STANDING = 0, 1, 2


@dataclass(frozen=True)
class Layer:
    """A costmap layer: one grid for a class or a group of classes.

    Attributes:
        name: name of the layer, part of its topic.
        class_ids: labels that belong to the layer.
        kind: ``flat`` (marks all ground it covers) or ``standing`` (marks only where it touches the ground).
        cost: cost of an occupied cell in the merged grid: 0..98, or 100 for lethal.
    """

    name: str
    class_ids: Tuple[int, ...]
    kind: str
    cost: int


def layers_from_table(table: ClassTable) -> List[Layer]:
    """Return the layers defined by a class table, in the order of their first class."""
    layers: List[Layer] = []
    for row in table.classes:
        if row.ground not in (FLAT, STANDING):
            continue
        found = next((index for index, layer in enumerate(layers) if layer.name == row.layer), None)
        if found is None:
            layers.append(Layer(row.layer, (row.id,), row.ground, row.cost))
        else:
            layer = layers[found]
            layers[found] = Layer(layer.name, (*layer.class_ids, row.id), layer.kind, layer.cost)
    return layers


class GroundEvidence(NamedTuple):
    """Evidence from one image, in the base frame: N samples of visible ground, and M ground contacts.

    A ground contact is a point where a standing object touches the ground.
    """

    x: np.ndarray
    """(N,) float32: ground samples, metres forward."""
    y: np.ndarray
    """(N,) float32: metres to the left."""
    layer: np.ndarray
    """(N,) uint8: index of the flat layer."""
    pixel_area: np.ndarray
    """(N,) float64: image area that the sample represents, in pixels."""
    contact_x: np.ndarray
    """(M,) float32: ground contacts, metres forward."""
    contact_y: np.ndarray
    """(M,) float32: metres to the left."""
    contact_layer: np.ndarray
    """(M,) uint8: index of the standing layer."""
    contact_label: np.ndarray
    """(M,) uint8: class id."""
    contact_confidence: np.ndarray
    """(M,) uint8: 255 is 1.0; 255 if there is no confidence image."""


def empty_evidence() -> GroundEvidence:
    """Return evidence without samples and contacts."""
    floats, indices = np.empty(0, np.float32), np.empty(0, np.uint8)
    return GroundEvidence(floats, floats, indices, np.empty(0), floats, floats, indices, indices, indices)


class EvidenceExtractor:
    """Extracts ground samples and ground contacts from label images.

    Args:
        layers: layers of the costmap.
        min_confidence: ignore pixels with a lower confidence, 0..1. Has no effect on images without confidence.
        min_obstacle_height: ignore obstacles that rise less than this above their contact, in metres.
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
            self._kind_of[ids] = _GROUND if layer.kind == FLAT else _STANDING

    def extract(self, view: GroundView, labels: np.ndarray, confidence: Optional[np.ndarray] = None) -> GroundEvidence:
        """Extract the evidence of one image.

        Args:
            view: ground samples of the camera.
            labels: (H, W) uint8 class ids, at the size of the view's camera.
            confidence: (H, W) uint8, 255 is 1.0; or None, with which ``min_confidence`` has no effect.
        """
        sampled = labels.reshape(-1).take(view.pixel)  # (S, A)
        sampled[view.hidden] = UNLABELLED
        kind = self._kind_of.take(sampled)
        kind[view.hidden] = _NEITHER
        certainty = None if confidence is None else confidence.reshape(-1).take(view.pixel)
        if certainty is not None and self.min_confidence > 0:
            kind[certainty < self.min_confidence * 255] = _NEITHER
        flat, standing = kind == _GROUND, kind == _STANDING
        ground = np.flatnonzero(flat[: view.range_count])
        contacts = np.flatnonzero(find_contacts(view, sampled, flat, standing, self.min_obstacle_height))
        label = sampled.take(contacts)
        return GroundEvidence(
            x=view.x.take(ground),
            y=view.y.take(ground),
            layer=self._layer_of.take(sampled.take(ground)),
            pixel_area=view.pixel_area.take(ground),
            contact_x=view.x.take(contacts),
            contact_y=view.y.take(contacts),
            contact_layer=self._layer_of.take(label),
            contact_label=label,
            contact_confidence=np.full(len(contacts), 255, np.uint8) if certainty is None else certainty.take(contacts),
        )
