"""Free space in the street: poses of objects, and checks that they do not overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from espnet_ros.synthetic.classes import BUILDING, FENCE, POLE, TREE
from espnet_ros.synthetic.course import Course
from espnet_ros.synthetic.ground import CrossSection
from espnet_ros.synthetic.solids import Part, Shape, StandingObject

_CLEARANCE = 0.9  # metres to either side of the driven path that stay free
_GAP = 0.25  # metres between the footprints of small objects


@dataclass(frozen=True)
class Slot:
    """A rectangle in street coordinates where an object may stand.

    Attributes:
        s: centre, in metres along the centre line.
        d: centre, in metres to the left of the centre line.
        turn: angle from the street's direction to the rectangle's x axis, in radians.
        half_x: half its length, in metres; 0 for objects that do not touch the ground.
        half_y: half its width, in metres.
    """

    s: float
    d: float
    turn: float
    half_x: float
    half_y: float


class Site:
    """Collects objects, and rejects those without enough space.

    Args:
        course: the centre line.
        section: cross-section of the street.
        length: metres of the drive.

    Attributes:
        objects: the accepted objects.
    """

    def __init__(self, course: Course, section: CrossSection, length: float) -> None:
        self._course = course
        self._section = section
        self._length = length
        self._occupied: List[Tuple[float, float, float]] = []  # x, y and radius
        self.objects: List[StandingObject] = []

    def pose(self, slot: Slot) -> Tuple[float, float, float]:
        """Return x and y in metres and yaw in radians of a slot, in the odom frame."""
        place = self._course.station(slot.s)
        beyond = slot.s - min(max(slot.s, self._course.first_s), self._course.last_s)
        x, y = self._course.point(slot.s, slot.d)
        yaw = place.heading + slot.turn
        x, y = x + beyond * math.cos(place.heading), y + beyond * math.sin(place.heading)
        return float(x), float(y), float(yaw)

    def add(
        self,
        class_id: int,
        slot: Slot,
        height: float,
        parts: Sequence[Part],
        is_round: bool = False,
        reserve: bool = True,
    ) -> bool:
        """Add an object if there is enough space; return whether it was added.

        Objects stay off the driven path; buildings, fences, trees and poles also off the road. With ``reserve``, an
        object also avoids reserved space and reserves its own; without, it ignores reserved space.
        """
        x, y, yaw = self.pose(slot)
        added = StandingObject(
            len(self.objects) + 1, class_id, x, y, yaw, slot.half_x, slot.half_y, is_round, height, tuple(parts)
        )
        if added.touches_ground and not self._is_free(added, reserve):
            return False
        self.objects.append(added)
        if reserve:
            reach = slot.half_x if is_round else slot.half_y
            steps = 0 if is_round else max(math.ceil(slot.half_x / reach) - 1, 0)
            for step in np.linspace(-1.0, 1.0, 2 * steps + 1) if steps else (0.0,):
                along = step * max(slot.half_x - reach, 0.0)
                self._occupied.append((x + along * math.cos(yaw), y + along * math.sin(yaw), reach))
        return True

    def _is_free(self, added: StandingObject, avoids_others: bool) -> bool:
        outline = _outline(added)
        x, y = outline[:, 0].astype(np.float32), outline[:, 1].astype(np.float32)
        s, d = self._course.locate(x, y)
        if added.class_id in (BUILDING, FENCE, TREE, POLE):
            on_road = (d < self._section.left + 0.1) & (d > self._section.right - 0.1) & (s < self._course.last_s)
            if on_road.any():
                return False
        path = (np.abs(d - self._section.own_lane) < _CLEARANCE) & (s < self._length + 8.0)
        if path.any():
            return False
        if not avoids_others or not self._occupied:
            return True
        occupied = np.array(self._occupied)
        gaps = np.hypot(outline[:, :1] - occupied[:, 0], outline[:, 1:] - occupied[:, 1]) - occupied[:, 2]
        return bool(gaps.min() > _GAP)


def _outline(standing: StandingObject) -> np.ndarray:
    """Return (N, 2) points on the rim of the footprint."""
    corners = standing.polygon
    shares = np.linspace(0.0, 1.0, 9)[:-1, None, None]
    return np.asarray((corners + shares * (np.roll(corners, -1, axis=0) - corners)).reshape(-1, 2))


def box_part(
    x: float,
    y: float,
    yaw: float,
    slot: Slot,
    bottom: float,
    top: float,
    tiles: Tuple[int, int, int],
    roof: int,
    low: int = 0,
    low_height: float = 0.0,
    width: float = 5.0,
    floor: float = 0.0,
    taper_x: float = 0.0,
    taper_y: float = 0.0,
) -> Part:
    """Return a box with ``tiles`` for (front, back, sides).

    With ``floor``, the tiles repeat every ``width`` and ``floor`` metres; otherwise a tile spans its whole side.
    """
    return Part(
        Shape.BOX,
        x,
        y,
        yaw,
        slot.half_x,
        slot.half_y,
        bottom,
        top,
        taper_x,
        taper_y,
        *tiles,
        roof,
        low,
        low_height,
        width if floor else 0.0,
        floor,
    )
