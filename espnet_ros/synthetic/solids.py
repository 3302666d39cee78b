"""What stands in the street: objects made of upright convex solids, and where rays meet those."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Tuple

import numpy as np

from espnet_ros.synthetic.textures import TextureAtlas

_FAR = np.float32(np.inf)


class Shape(IntEnum):
    """How a ray meets a part."""

    BOX = 0
    """A box, upright, whose faces may lean inwards (``taper_x``, ``taper_y``)."""
    CYLINDER = 1
    """An upright cylinder; its texture turns to the camera."""
    PANEL = 2
    """An upright rectangle across the part's x axis, cut out by its texture."""
    BILLBOARD = 3
    """A panel that turns to the camera about the vertical."""


@dataclass(frozen=True)
class Part:
    """One upright convex solid, in the odom frame. Metres and radians.

    Attributes:
        shape: see ``Shape``.
        x: of the middle; ``y`` and the direction ``yaw`` of its x axis likewise.
        y: see ``x``.
        yaw: see ``x``.
        half_x: half the length along its x axis; of a cylinder the radius.
        half_y: half the length along its y axis.
        bottom: height of its underside above the ground.
        top: height of its upper side.
        taper_x: by how much ``half_x`` shrinks per metre of height above ``bottom``.
        taper_y: likewise.
        front: tile of the face towards +x; of a panel the side towards +y.
        back: tile of the face towards -x; of a panel the other side.
        side: tile of the faces along x.
        roof: tile of the upper side.
        low: tile that covers the sides below ``low_height`` above ``bottom``.
        low_height: 0 for none.
        tile_width: metres of a side that one tile spans; 0 for one tile across the whole side.
        tile_height: likewise, upwards.
    """

    shape: Shape
    x: float
    y: float
    yaw: float
    half_x: float
    half_y: float
    bottom: float
    top: float
    taper_x: float = 0.0
    taper_y: float = 0.0
    front: int = 0
    back: int = 0
    side: int = 0
    roof: int = 0
    low: int = 0
    low_height: float = 0.0
    tile_width: float = 0.0
    tile_height: float = 0.0


@dataclass(frozen=True)
class StandingObject:
    """Something that stands on the ground, or a sign that hangs above it.

    Attributes:
        id: above 0, its own.
        class_id: of the CamVid classes.
        x: of its footprint's middle, in metres in the odom frame; ``y`` likewise.
        y: see ``x``.
        yaw: direction of the footprint's x axis, in radians.
        half_x: half the footprint's length, in metres; 0 where it does not touch the ground.
        half_y: half its width.
        is_round: the footprint is a circle of radius ``half_x`` and not a rectangle.
        height: metres of the highest point above the ground.
        parts: what it is made of.
    """

    id: int
    class_id: int
    x: float
    y: float
    yaw: float
    half_x: float
    half_y: float
    is_round: bool
    height: float
    parts: Tuple[Part, ...]

    @property
    def touches_ground(self) -> bool:
        """It has a footprint."""
        return self.half_x > 0.0

    @property
    def polygon(self) -> np.ndarray:
        """(K, 2) float64 corners of the footprint in the odom frame, counter-clockwise; a circle has 24."""
        if self.is_round:
            angles = np.arange(24) * (math.tau / 24)
            return np.stack([self.x + self.half_x * np.cos(angles), self.y + self.half_x * np.sin(angles)], axis=1)
        corners = np.array([(1, -1), (1, 1), (-1, 1), (-1, -1)]) * (self.half_x, self.half_y)
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return np.asarray(corners @ np.array([[cos, sin], [-sin, cos]]) + (self.x, self.y))


class Rays(NamedTuple):
    """Directions of a window of pixels in the odom frame, each (h, w) float32; NaN where a pixel sees nothing."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    inverse_z: np.ndarray


class Placement(NamedTuple):
    """A part as a camera meets it.

    Attributes:
        part: the part.
        cos: of the direction of its x axis; a billboard's is the camera's right.
        sin: see ``cos``.
        x: of the camera in the part's axes, in metres, from its middle.
        y: see ``x``.
        height: of the camera above the ground.
        level: of the atlas, that cut-outs are looked up at.
    """

    part: Part
    cos: float
    sin: float
    x: float
    y: float
    height: float
    level: int


def meet(placement: Placement, rays: Rays, atlas: TextureAtlas) -> np.ndarray:
    """(h, w) float32 distances along rays, in metres, at which they enter a part; inf or NaN where they do not."""
    shape = placement.part.shape
    if shape is Shape.BOX:
        if placement.part.taper_x or placement.part.taper_y:
            return _meet_tapered(placement, rays)
        return _meet_box(placement, rays)
    if shape is Shape.CYLINDER:
        return _meet_cylinder(placement, rays)
    return _meet_panel(placement, rays, atlas)


def _turn(place: Placement, rays: Rays) -> Tuple[np.ndarray, np.ndarray]:
    cos, sin = np.float32(place.cos), np.float32(place.sin)
    x = rays.x * cos
    x += rays.y * sin
    y = rays.y * cos
    y -= rays.x * sin
    return x, y


def _meet_box(place: Placement, rays: Rays) -> np.ndarray:
    """The slab method (Kay and Kajiya, "Ray tracing complex scenes", 1986)."""
    part = place.part
    x, y = _turn(place, rays)
    enter = np.full(x.shape, 0, np.float32)
    leave = np.full(x.shape, _FAR, np.float32)
    for direction, origin, half in ((x, place.x, part.half_x), (y, place.y, part.half_y)):
        np.reciprocal(direction, out=direction)
        one = direction * np.float32(-half - origin)
        direction *= np.float32(half - origin)
        np.maximum(enter, np.minimum(one, direction), out=enter)
        np.minimum(leave, np.maximum(one, direction, out=direction), out=leave)
    one = rays.inverse_z * np.float32(part.bottom - place.height)
    two = rays.inverse_z * np.float32(part.top - place.height)
    np.maximum(enter, np.minimum(one, two), out=enter)
    np.minimum(leave, np.maximum(one, two, out=two), out=leave)
    enter[~(enter <= leave)] = _FAR
    return enter


def _meet_tapered(place: Placement, rays: Rays) -> np.ndarray:
    part = place.part
    x, y = _turn(place, rays)
    rise = place.height - part.bottom
    enter = np.full(x.shape, 0, np.float32)
    leave = np.full(x.shape, _FAR, np.float32)
    for direction, origin, half, taper in (
        (x, place.x, part.half_x, part.taper_x),
        (y, place.y, part.half_y, part.taper_y),
    ):
        lean = rays.z * np.float32(taper)
        for sign in (1.0, -1.0):
            speed = direction * np.float32(sign) + lean
            _clip(speed, np.float32(half - sign * origin - taper * rise), enter, leave)
    _clip(rays.z, np.float32(part.top - place.height), enter, leave)
    _clip(-rays.z, np.float32(rise), enter, leave)
    enter[~(enter <= leave)] = _FAR
    return enter


def _clip(speed: np.ndarray, room: np.float32, enter: np.ndarray, leave: np.ndarray) -> None:
    """Keep of each ray's span, in place, what is behind one plane: ``speed`` towards it, ``room`` metres before it."""
    crossing = room / speed
    inward = speed < 0
    np.maximum(enter, crossing, out=enter, where=inward)
    np.minimum(leave, crossing, out=leave, where=~inward)


def _meet_cylinder(place: Placement, rays: Rays) -> np.ndarray:
    """Its mantle and its top. The axes of a cylinder's placement point at it: the camera is at (0, -distance)."""
    part = place.part
    x, y = _turn(place, rays)
    square = x * x + y * y
    inward = y * np.float32(-place.y)
    discriminant = inward * inward - square * np.float32(place.y**2 - part.half_x**2)
    reach = (inward - np.sqrt(discriminant)) / square
    height = rays.z * reach + np.float32(place.height)
    missed = ~(
        (discriminant >= 0) & (height >= np.float32(part.bottom)) & (height <= np.float32(part.top)) & (reach > 0)
    )
    reach[missed] = _FAR
    if place.height > part.top:
        lid = rays.inverse_z * np.float32(part.top - place.height)
        across = x * lid
        along = y * lid + np.float32(place.y)
        inside = (across * across + along * along <= np.float32(part.half_x**2)) & (lid > 0)
        np.minimum(reach, lid, out=reach, where=inside)
    return np.asarray(reach)


def _meet_panel(place: Placement, rays: Rays, atlas: TextureAtlas) -> np.ndarray:
    part = place.part
    x, y = _turn(place, rays)
    reach = np.float32(-place.y) / y
    u = (x * reach + np.float32(place.x + part.half_x)) * np.float32(0.5 / part.half_x)
    v = (np.float32(part.top - place.height) - rays.z * reach) * np.float32(1 / (part.top - part.bottom))
    inside = (reach > 0) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    u[~inside] = 0
    v[~inside] = 0
    inside &= atlas.covers(part.front, place.level, u, v)
    reach[~inside] = _FAR
    return reach
