"""Objects of the street, made of upright convex solids, and the intersection of rays with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Tuple

import numpy as np

from espnet_ros.synthetic.textures import TextureAtlas

_FAR = np.float32(np.inf)


class Shape(IntEnum):
    """Shape of a part."""

    BOX = 0
    """An upright box whose faces may lean inwards (``taper_x``, ``taper_y``)."""
    CYLINDER = 1
    """An upright cylinder; its texture faces the camera."""
    PANEL = 2
    """An upright rectangle along the part's x axis, cut out by its texture."""
    BILLBOARD = 3
    """A panel that turns about its vertical axis to face the camera."""


@dataclass(frozen=True)
class Part:
    """An upright convex solid in the odom frame. Lengths in metres, angles in radians.

    Attributes:
        shape: the shape.
        x: of the centre.
        y: of the centre.
        yaw: direction of its x axis.
        half_x: half the length along its x axis; radius of a cylinder.
        half_y: half the length along its y axis.
        bottom: height of the lower side above the ground.
        top: height of the upper side above the ground.
        taper_x: decrease of ``half_x`` per metre of height above ``bottom``.
        taper_y: the same for ``half_y``.
        front: tile of the face towards +x; for a panel, of the side towards +y.
        back: tile of the face towards -x; for a panel, of the other side.
        side: tile of the faces along x.
        roof: tile of the upper side.
        low: tile that covers the sides below ``low_height`` above ``bottom``.
        low_height: height of that area; 0 for none.
        tile_width: width of a tile; 0 for one tile across the whole side.
        tile_height: height of a tile; 0 for one tile over the whole height.
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
    """An object that stands on the ground, or a sign above it.

    Attributes:
        id: unique id, above 0.
        class_id: CamVid class id.
        x: centre of the footprint, in metres in the odom frame.
        y: the same.
        yaw: direction of the footprint's x axis, in radians.
        half_x: half the footprint's length in metres; 0 if the object does not touch the ground.
        half_y: half the footprint's width in metres.
        is_round: whether the footprint is a circle with radius ``half_x`` instead of a rectangle.
        height: height of the highest point above the ground, in metres.
        parts: its parts.
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
        """Whether the object has a footprint."""
        return self.half_x > 0.0

    @property
    def polygon(self) -> np.ndarray:
        """(K, 2) float64 corners of the footprint in the odom frame, counter-clockwise; 24 for a circle."""
        if self.is_round:
            angles = np.arange(24) * (math.tau / 24)
            return np.stack([self.x + self.half_x * np.cos(angles), self.y + self.half_x * np.sin(angles)], axis=1)
        corners = np.array([(1, -1), (1, 1), (-1, 1), (-1, -1)]) * (self.half_x, self.half_y)
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return np.asarray(corners @ np.array([[cos, sin], [-sin, cos]]) + (self.x, self.y))


class Rays(NamedTuple):
    """Directions of a window of pixels in the odom frame, each (h, w) float32; NaN for pixels outside the lens."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    inverse_z: np.ndarray


class PlacedPart(NamedTuple):
    """A part and the camera's position relative to it.

    Attributes:
        part: the part.
        cos: cosine of the direction of its x axis; for a billboard, this axis points to the camera's right.
        sin: sine of that direction.
        x: camera position in the part's axes, relative to its centre, in metres.
        y: the same.
        height: camera height above the ground in metres.
        level: mip level of the atlas for testing cut-outs.
    """

    part: Part
    cos: float
    sin: float
    x: float
    y: float
    height: float
    level: int


def intersect(placed: PlacedPart, rays: Rays, atlas: TextureAtlas) -> np.ndarray:
    """Return (h, w) float32 distances in metres at which rays enter a part; inf or NaN where they miss it."""
    shape = placed.part.shape
    if shape is Shape.BOX:
        if placed.part.taper_x or placed.part.taper_y:
            return _intersect_tapered(placed, rays)
        return _intersect_box(placed, rays)
    if shape is Shape.CYLINDER:
        return _intersect_cylinder(placed, rays)
    return _intersect_panel(placed, rays, atlas)


def _to_part_axes(placed: PlacedPart, rays: Rays) -> Tuple[np.ndarray, np.ndarray]:
    cos, sin = np.float32(placed.cos), np.float32(placed.sin)
    x = rays.x * cos
    x += rays.y * sin
    y = rays.y * cos
    y -= rays.x * sin
    return x, y


def _intersect_box(placed: PlacedPart, rays: Rays) -> np.ndarray:
    """Intersect with the slab method (Kay and Kajiya, "Ray tracing complex scenes", 1986)."""
    part = placed.part
    x, y = _to_part_axes(placed, rays)
    enter = np.full(x.shape, 0, np.float32)
    leave = np.full(x.shape, _FAR, np.float32)
    for direction, origin, half in ((x, placed.x, part.half_x), (y, placed.y, part.half_y)):
        np.reciprocal(direction, out=direction)
        one = direction * np.float32(-half - origin)
        direction *= np.float32(half - origin)
        np.maximum(enter, np.minimum(one, direction), out=enter)
        np.minimum(leave, np.maximum(one, direction, out=direction), out=leave)
    one = rays.inverse_z * np.float32(part.bottom - placed.height)
    two = rays.inverse_z * np.float32(part.top - placed.height)
    np.maximum(enter, np.minimum(one, two), out=enter)
    np.minimum(leave, np.maximum(one, two, out=two), out=leave)
    enter[~(enter <= leave)] = _FAR
    return enter


def _intersect_tapered(placed: PlacedPart, rays: Rays) -> np.ndarray:
    part = placed.part
    x, y = _to_part_axes(placed, rays)
    rise = placed.height - part.bottom
    enter = np.full(x.shape, 0, np.float32)
    leave = np.full(x.shape, _FAR, np.float32)
    for direction, origin, half, taper in (
        (x, placed.x, part.half_x, part.taper_x),
        (y, placed.y, part.half_y, part.taper_y),
    ):
        lean = rays.z * np.float32(taper)
        for sign in (1.0, -1.0):
            speed = direction * np.float32(sign) + lean
            _clip(speed, np.float32(half - sign * origin - taper * rise), enter, leave)
    _clip(rays.z, np.float32(part.top - placed.height), enter, leave)
    _clip(-rays.z, np.float32(rise), enter, leave)
    enter[~(enter <= leave)] = _FAR
    return enter


def _clip(speed: np.ndarray, room: np.float32, enter: np.ndarray, leave: np.ndarray) -> None:
    """Clip each ray's span [enter, leave] with a plane, in place.

    Args:
        speed: speed of the rays towards the plane.
        room: distance of the camera from the plane, in metres.
        enter: start of the spans.
        leave: end of the spans.
    """
    crossing = room / speed
    inward = speed < 0
    np.maximum(enter, crossing, out=enter, where=inward)
    np.minimum(leave, crossing, out=leave, where=~inward)


def _intersect_cylinder(placed: PlacedPart, rays: Rays) -> np.ndarray:
    """Intersect with the side and the top. In the part's axes, the camera is at (0, -distance)."""
    part = placed.part
    x, y = _to_part_axes(placed, rays)
    square = x * x + y * y
    inward = y * np.float32(-placed.y)
    discriminant = inward * inward - square * np.float32(placed.y**2 - part.half_x**2)
    reach = (inward - np.sqrt(discriminant)) / square
    height = rays.z * reach + np.float32(placed.height)
    missed = ~(
        (discriminant >= 0) & (height >= np.float32(part.bottom)) & (height <= np.float32(part.top)) & (reach > 0)
    )
    reach[missed] = _FAR
    if placed.height > part.top:
        lid = rays.inverse_z * np.float32(part.top - placed.height)
        across = x * lid
        along = y * lid + np.float32(placed.y)
        inside = (across * across + along * along <= np.float32(part.half_x**2)) & (lid > 0)
        np.minimum(reach, lid, out=reach, where=inside)
    return np.asarray(reach)


def _intersect_panel(placed: PlacedPart, rays: Rays, atlas: TextureAtlas) -> np.ndarray:
    part = placed.part
    x, y = _to_part_axes(placed, rays)
    reach = np.float32(-placed.y) / y
    u = (x * reach + np.float32(placed.x + part.half_x)) * np.float32(0.5 / part.half_x)
    v = (np.float32(part.top - placed.height) - rays.z * reach) * np.float32(1 / (part.top - part.bottom))
    inside = (reach > 0) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    u[~inside] = 0
    v[~inside] = 0
    inside &= atlas.is_opaque(part.front, placed.level, u, v)
    reach[~inside] = _FAR
    return reach
