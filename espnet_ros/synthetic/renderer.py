"""Renders a street as seen by a camera, with the ground truth of every pixel.

It traces the ray of every pixel, so every lens that ``CameraModel`` supports is rendered correctly. Distances to an
object are computed only where it can be visible, and colours once per pixel, for the visible surface.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.errors import CameraError
from espnet_ros.synthetic.classes import PAVEMENT, SKY, VOID
from espnet_ros.synthetic.light import CameraEffects
from espnet_ros.synthetic.parts_table import Lens, PartsTable, PixelWindow
from espnet_ros.synthetic.solids import PlacedPart, Rays, Shape, intersect
from espnet_ros.synthetic.textures import TILE, mip_level
from espnet_ros.synthetic.world import StreetWorld

_FURTHEST_GROUND = np.float32(2000.0)  # metres; ground beyond is labelled as pavement


class View(NamedTuple):
    """A rendered view.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        labels: (H, W) uint8 CamVid class ids; 11 outside the lens.
        instances: (H, W) int32 id of the object, 0 for ground, sky and void.
        ranges: (H, W) float32 metres along the pixel's ray; inf for sky and void.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    ranges: np.ndarray


class StreetRenderer:
    """Renders one street with one camera.

    Args:
        world: the street.
        camera: its intrinsics and size.
    """

    def __init__(self, world: StreetWorld, camera: CameraModel) -> None:
        self._world = world
        self._camera = camera
        self._table = PartsTable(world.objects, world.light)
        self._lens = Lens(camera)
        self._rays = np.ascontiguousarray(camera.rays().reshape(-1, 3).T)
        self._is_void = ~np.isfinite(self._rays).all(axis=0)
        random = np.random.default_rng([world.seed, 6])
        self._effects = CameraEffects(random, world.light, (camera.size.height, camera.size.width))
        self._focal = np.float32((camera.fx + camera.fy) / 2)

    def render(self, odom_from_camera: np.ndarray, frame: int = 0) -> View:
        """Render one view.

        Args:
            odom_from_camera: (4, 4) float64 pose of the optical frame in the odom frame, above the ground.
            frame: frame number; it selects the camera's noise.

        Raises:
            CameraError: the pose is not finite, or not above the ground.
        """
        if odom_from_camera.shape != (4, 4) or not np.isfinite(odom_from_camera).all():
            raise CameraError(f"camera pose must be a finite 4x4 matrix, is {odom_from_camera.tolist()}")
        if odom_from_camera[2, 3] <= 0.0:
            raise CameraError(f"camera must be above the ground, is at {odom_from_camera[2, 3]:g} m")
        with np.errstate(all="ignore"):
            return self._render(odom_from_camera, frame)

    def _render(self, pose: np.ndarray, frame: int) -> View:
        height, width = self._camera.size
        # Not a matrix product: those start threads that spin on every core.
        x, y, z = self._rays
        directions = np.stack([x * row[0] + y * row[1] + z * row[2] for row in pose[:3, :3].astype(np.float32)])
        inverse_z = np.reciprocal(directions[2])
        planes = Rays(*(plane.reshape(height, width) for plane in (*directions, inverse_z)))
        turned = self._table.directions(pose[:3, 3])
        ranges, seen = self._trace(planes, pose, turned)

        flat_ranges, flat_seen = ranges.ravel(), seen.ravel()
        scene = np.zeros((height * width, 3), np.float32)
        labels = np.full(height * width, VOID, np.uint8)
        is_open = flat_seen < 0
        ground = np.flatnonzero(is_open & (directions[2] < 0))
        sky = np.flatnonzero(is_open & (directions[2] >= 0))
        solid = np.flatnonzero(~is_open)
        instances = np.zeros(height * width, np.int32)

        scene[sky] = self._world.sky.colors(*directions.take(sky, axis=1))
        labels[sky] = SKY
        reach = inverse_z.take(ground) * np.float32(-pose[2, 3])
        flat_ranges[ground] = reach
        scene[ground], labels[ground] = self._shade_ground(directions.take(ground, axis=1), reach, pose[:3, 3])
        if len(solid):
            parts = flat_seen.take(solid)
            labels[solid] = self._table.class_ids.take(parts)
            instances[solid] = self._table.object_ids.take(parts)
            toward = directions.take(solid, axis=1) * flat_ranges.take(solid)
            scene[solid] = self._shade_solids(parts, toward, flat_ranges.take(solid), pose[:3, 3], turned)
        image = self._effects.apply(scene.reshape(height, width, 3), frame)
        if self._is_void.any():
            image[self._is_void.reshape(height, width)] = 0
        return View(image, labels.reshape(height, width), instances.reshape(height, width), ranges)

    def _trace(self, planes: Rays, pose: np.ndarray, turned: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Return (H, W) float32 metres to the nearest part, or inf, and (H, W) int32 its index, or -1."""
        ranges = np.full(planes.x.shape, np.inf, np.float32)
        seen = np.full(planes.x.shape, -1, np.int32)
        for window in self._table.windows(self._lens, pose, turned):
            box = (slice(window.top, window.bottom), slice(window.left, window.right))
            before = ranges[box]
            if before.max() <= window.distance:
                continue
            placed = self._place(window, pose[:3, 3], turned[window.part])
            reach = intersect(placed, Rays(*(plane[box] for plane in planes)), self._world.atlas)
            nearer = reach < before
            np.copyto(before, reach, where=nearer)
            np.copyto(seen[box], np.int32(window.part), where=nearer)
        return ranges, seen

    def _place(self, window: PixelWindow, eye: np.ndarray, turned: np.ndarray) -> PlacedPart:
        part = self._table.parts[window.part]
        cos, sin = float(turned[0]), float(turned[1])
        east, north = float(eye[0]) - part.x, float(eye[1]) - part.y
        level = 0
        if part.shape in (Shape.PANEL, Shape.BILLBOARD):
            span = max(2 * part.half_x, part.top - part.bottom)
            texels = TILE * max(window.distance, 0.5) / (span * float(self._focal))
            level = min(int(mip_level(np.array([texels], np.float32))[0]), 4)
        return PlacedPart(part, cos, sin, east * cos + north * sin, north * cos - east * sin, float(eye[2]), level)

    def _shade_ground(self, ray: np.ndarray, reach: np.ndarray, eye: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Return (N, 3) float32 colours and (N,) uint8 classes of the ground, ``reach`` metres along rays (3, N)."""
        reach = np.minimum(reach, _FURTHEST_GROUND)
        x = ray[0] * reach + np.float32(eye[0])
        y = ray[1] * reach + np.float32(eye[1])
        s, d = self._world.course.locate(x, y)
        # The ground is seen at an angle: use a size between the pixel's width and its length on the ground.
        pixel = reach * np.sqrt(reach) * np.float32(1 / (self._focal * np.sqrt(eye[2]) * 1.4))
        colors = self._world.ground_texture.sample(s, d, pixel)
        colors *= self._world.shadows.sample(x, y)[:, None]
        self._fade(colors, reach)
        labels = self._world.section.class_ids(d)
        labels[reach >= _FURTHEST_GROUND] = PAVEMENT
        return colors, labels

    def _shade_solids(
        self, parts: np.ndarray, toward: np.ndarray, reach: np.ndarray, eye: np.ndarray, turned: np.ndarray
    ) -> np.ndarray:
        """Return (N, 3) float32 colours of parts (N,) that rays hit at ``toward`` (3, N), in metres from the camera."""
        table = self._table
        offset = (eye[:2] - table.middles).astype(np.float32)
        middle = offset.take(parts, axis=0)
        axes = turned.take(parts, axis=0)
        east, north = toward[0] + middle[:, 0], toward[1] + middle[:, 1]
        x = east * axes[:, 0] + north * axes[:, 1]
        y = north * axes[:, 0] - east * axes[:, 1]
        rise = toward[2] + (np.float32(eye[2]) - table.bottom.take(parts))
        face, across = self._find_face(parts, x, y, rise, middle, axes)
        tall = (table.top - table.bottom).take(parts)
        low_height = table.low_height.take(parts)
        is_low = (rise < low_height) & (low_height > 0) & (face != 4)
        tile_height = np.where(is_low, low_height, table.tile_height.take(parts))
        tile_width = table.tile_width.ravel().take(parts * 2 + (face >= 2))
        above = np.where(is_low, np.float32(0), low_height)
        tile = np.where(is_low, table.low.take(parts), table.tiles.ravel().take(parts * 5 + face))
        u = across / tile_width + np.float32(0.5)
        v = np.minimum(np.float32(1.0) - np.clip(rise - above, 0.0, tall) / tile_height, np.float32(0.99999))
        texels = reach * np.float32(TILE) / (np.minimum(tile_width, tile_height) * self._focal)
        colors = self._world.atlas.sample(tile, mip_level(texels), u, v)[:, :3].astype(np.float32)
        colors *= table.shades.ravel().take(parts * 5 + face)[:, None]
        self._fade(colors, reach)
        return colors

    def _find_face(
        self,
        parts: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
        rise: np.ndarray,
        middle: np.ndarray,
        axes: np.ndarray,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Return (N,) int32 face (0 front, 1 back, 2 left, 3 right, 4 top) and (N,) float32 metres across it."""
        table = self._table
        half, taper = table.half.take(parts, axis=0), table.taper.take(parts, axis=0)
        depth_x = np.abs(x) - (half[:, 0] - taper[:, 0] * rise)
        depth_y = np.abs(y) - (half[:, 1] - taper[:, 1] * rise)
        depth_top = rise - (table.top - table.bottom).take(parts)
        is_box = table.is_box.take(parts)
        on_x = depth_x > depth_y
        face = np.where(on_x, (x < 0).astype(np.int32), (y < 0).astype(np.int32) + 2)
        face[(depth_top > np.maximum(depth_x, depth_y))] = 4
        behind = middle[:, 1] * axes[:, 0] - middle[:, 0] * axes[:, 1] < 0
        face = np.where(is_box, face, behind.astype(np.int32))
        return face, np.where(on_x & is_box, y, x)

    def _fade(self, colors: np.ndarray, reach: np.ndarray) -> None:
        """Blend haze into colours, in place."""
        light = self._world.light
        haze = (1 - np.exp(reach * np.float32(-1 / light.haze)))[:, None]
        colors += haze * (np.array(light.horizon, np.float32) * np.float32(0.9) - colors)
