"""Opaque texture tiles: facades, roofs, fences, hedges, trunks and cars. All are BGR, 0..255."""

from __future__ import annotations

from typing import NamedTuple, Tuple

import cv2
import numpy as np

from espnet_ros.synthetic.textures import TILE, add_grain, fractal_noise, solid_tile

_WALLS = np.array(
    [
        (70, 84, 122),  # red brick
        (98, 112, 134),
        (116, 152, 174),  # yellow stock brick
        (150, 172, 188),  # sandstone
        (204, 212, 216),  # white render
        (176, 196, 206),
        (148, 148, 146),  # concrete
        (96, 98, 100),
        (128, 166, 196),  # ochre
        (170, 160, 144),  # pale blue
        (158, 178, 168),  # sage
        (140, 148, 192),  # rose
    ],
    np.float32,
)
_PAINTS = np.array(
    [
        (36, 34, 34),
        (196, 196, 194),
        (150, 150, 148),
        (92, 90, 90),
        (34, 30, 132),
        (112, 52, 28),
        (64, 74, 38),
        (148, 112, 62),
        (84, 136, 152),
        (52, 36, 44),
        (220, 222, 220),
        (112, 108, 106),
        (176, 174, 172),
        (46, 44, 46),
        (40, 36, 104),
        (86, 100, 110),
    ],
    np.float32,
)


def draw_color(random: np.random.Generator, palette: np.ndarray, spread: float = 12.0) -> np.ndarray:
    """Draw a (3,) float32 BGR colour close to a random row of ``palette``."""
    color = palette[random.integers(len(palette))] * random.uniform(0.75, 1.15) + random.normal(0.0, spread / 2, 3)
    return np.asarray(np.clip(color, 8, 245).astype(np.float32))


def draw_paint(random: np.random.Generator) -> np.ndarray:
    """Draw a (3,) float32 BGR car paint."""
    return draw_color(random, _PAINTS)


class Facade(NamedTuple):
    """Tiles of a building: an upper floor, the ground floor and the roof."""

    floor: np.ndarray
    ground: np.ndarray
    roof: np.ndarray


def draw_facade(random: np.random.Generator) -> Facade:
    """Draw the tiles of a building."""
    wall = draw_color(random, _WALLS)
    is_brick = wall.mean() < 150 and random.random() < 0.7
    frame = np.array((210, 212, 214), np.float32) * random.uniform(0.35, 1.0)
    glass = np.array((66, 58, 52), np.float32) * random.uniform(0.5, 1.5)
    floor = _wall(random, wall, is_brick)
    _windows(random, floor, frame, glass)
    if random.random() < 0.6:
        floor[-int(random.integers(3, 8)) :] *= np.float32(random.uniform(0.7, 1.2))
    ground = _shop(random, wall) if random.random() < 0.55 else _entrance(random, wall, is_brick, frame, glass)
    slate = draw_color(random, np.array([(78, 76, 74), (62, 70, 104), (92, 92, 92)], np.float32))
    roof = add_grain(random, solid_tile(slate), 0.2)
    roof[:: int(random.integers(6, 12))] *= np.float32(0.75)
    return Facade(floor, ground, roof)


def _wall(random: np.random.Generator, color: np.ndarray, is_brick: bool) -> np.ndarray:
    canvas = add_grain(random, solid_tile(color), 0.1, 8)
    if is_brick:
        courses = random.normal(1.0, 0.09, (TILE // 4, TILE // 8)).astype(np.float32)
        canvas *= np.kron(courses, np.ones((4, 8), np.float32))[..., None]
        canvas[::4] *= np.float32(1.14)
    return canvas


def _windows(random: np.random.Generator, canvas: np.ndarray, frame: np.ndarray, glass: np.ndarray) -> None:
    count = int(random.choice([1, 2, 2, 3]))
    pitch = TILE // count
    width = int(pitch * random.uniform(0.35, 0.75))
    top, bottom = int(random.integers(14, 34)), int(random.integers(86, 112))
    lintel = np.float32(random.uniform(0.6, 1.35))
    bars = int(random.integers(0, 3))
    for number in range(count):
        left = number * pitch + (pitch - width) // 2
        canvas[top - 6 : top, left - 3 : left + width + 3] *= lintel
        canvas[bottom : bottom + 4, left - 3 : left + width + 3] *= np.float32(1.2)
        canvas[top:bottom, left : left + width] = frame
        pane = canvas[top + 3 : bottom - 3, left + 3 : left + width - 3]
        shine = np.linspace(random.uniform(0.7, 2.2), random.uniform(0.5, 1.2), len(pane), dtype=np.float32)
        pane[:] = glass * shine[:, None, None] * np.float32(random.uniform(0.7, 1.3))
        if random.random() < 0.35:  # a curtain or a blind
            pane[: int(len(pane) * random.uniform(0.2, 1.0))] = frame * np.float32(0.8)
        for bar in range(bars):
            row = top + (bottom - top) * (bar + 1) // (bars + 1)
            canvas[row - 1 : row + 1, left : left + width] = frame
        if width > 24:
            canvas[top:bottom, left + width // 2 - 1 : left + width // 2 + 1] = frame


def _shop(random: np.random.Generator, wall: np.ndarray) -> np.ndarray:
    paint = draw_paint(random)
    canvas = add_grain(random, solid_tile(paint), 0.05)
    canvas[:8] = wall
    canvas[8:34] *= np.float32(random.uniform(0.8, 1.3))
    lettering = 235.0 - paint if random.random() < 0.8 else paint * 0.6
    column = int(random.integers(12, 30))
    while column < 104:
        width = int(random.integers(3, 9))
        canvas[14 : int(random.integers(24, 30)), column : column + width] = lettering
        column += width + int(random.integers(2, 6))
    lamp = float(random.uniform(20, 110))
    blotches = fractal_noise(random, (TILE, TILE), (6, 8), 3)[..., None]
    inside = blotches * np.array((lamp * 0.8, lamp, lamp * 1.15), np.float32) + 12
    inside += (random.random((1, TILE, 1)) < 0.06) * np.float32(lamp)
    door = int(random.integers(4, 92))
    for left, right, sill in ((4, 60, 108), (66, 124, 108), (door, door + 26, 124)):
        canvas[38:sill, left:right] = inside[38:sill, left:right]
        canvas[38:sill, left : left + 2] = paint * np.float32(0.7)
    return canvas


def _entrance(
    random: np.random.Generator, wall: np.ndarray, is_brick: bool, frame: np.ndarray, glass: np.ndarray
) -> np.ndarray:
    canvas = _wall(random, wall, is_brick)
    _windows(random, canvas, frame, glass)
    if random.random() < 0.7:
        left = int(random.integers(6, 90))
        canvas[34:126, left - 3 : left + 29] = frame
        canvas[40:126, left : left + 26] = draw_paint(random)
    canvas[116:] *= np.float32(random.uniform(0.6, 0.95))
    return canvas


def draw_fence(random: np.random.Generator) -> Tuple[np.ndarray, float]:
    """Draw the tile of a fence; return it and its width in metres.

    The fence is of boards, pickets or railings on a dark background, or a low wall.
    """
    style = int(random.integers(4))
    if style == 0:
        wood = draw_color(random, np.array([(64, 92, 122), (96, 116, 132)], np.float32))
        canvas = add_grain(random, solid_tile(wood), 0.15)
        canvas *= np.repeat(random.normal(1.0, 0.12, 8), 16).astype(np.float32)[None, :, None]
        canvas[:, ::16] *= np.float32(0.4)
        return canvas, 1.6
    if style == 3:
        canvas = _wall(random, draw_color(random, _WALLS), True)
        canvas[:10] = draw_color(random, np.array([(150, 156, 160)], np.float32))
        return canvas, 2.5
    dark = np.array((40, 52, 46), np.float32) * random.uniform(0.5, 1.6)
    canvas = add_grain(random, solid_tile(dark), 0.5, 16)
    bar = draw_color(random, np.array([(34, 34, 34), (206, 210, 212), (60, 84, 52), (120, 122, 124)], np.float32))
    pitch, width = (16, 8) if style == 1 else (12, 3)
    for left in range(2, TILE, pitch):
        canvas[4:, left : left + width] = bar * np.float32(random.uniform(0.85, 1.1))
    for row in (10, 104):
        canvas[row : row + 7] = bar
    return canvas, 2.0


def draw_hedge(random: np.random.Generator) -> np.ndarray:
    """Draw the leaves of a hedge, lighter towards the top."""
    color = draw_color(random, np.array([(38, 74, 52), (44, 92, 76), (36, 62, 62)], np.float32))
    leaves = fractal_noise(random, (TILE, TILE), (12, 12), 4, 0.85)
    rise = np.linspace(1.25, 0.6, TILE, dtype=np.float32)[:, None]
    return np.asarray(color * np.clip((leaves - 0.5) * 5.0 + 1.0, 0.1, 2.2)[..., None] * rise[..., None])


def draw_trunk(random: np.random.Generator) -> np.ndarray:
    """Draw bark, shaded to look round."""
    color = draw_color(random, np.array([(46, 58, 68), (60, 70, 78), (36, 42, 48)], np.float32))
    return _rounded(random, add_grain(random, solid_tile(color), 0.5, 10), 0.75)


def draw_post(random: np.random.Generator) -> np.ndarray:
    """Draw painted or galvanised metal, shaded to look round."""
    shades = np.array([(128, 130, 132), (60, 62, 62), (44, 56, 40), (168, 170, 170), (34, 34, 34)], np.float32)
    return _rounded(random, add_grain(random, solid_tile(draw_color(random, shades)), 0.08), 0.6)


def _rounded(random: np.random.Generator, canvas: np.ndarray, depth: float) -> np.ndarray:
    across = np.linspace(-1.0, 1.0, TILE, dtype=np.float32)
    light = random.uniform(-0.6, 0.6)
    shade = 1.0 - depth * np.clip(np.abs(across - light), 0.0, 1.4) ** 2 / 2
    return np.asarray(canvas * shade[None, :, None].astype(np.float32))


class CarBody(NamedTuple):
    """Tiles of a car: body from side, front and back, cabin glass from front and side, and roof."""

    side: np.ndarray
    front: np.ndarray
    back: np.ndarray
    glass: np.ndarray
    cabin_side: np.ndarray
    roof: np.ndarray


def draw_car(random: np.random.Generator) -> CarBody:
    """Draw the tiles of a car. Each spans a whole face; the lowest row of the body touches the ground."""
    paint = draw_paint(random)
    body = solid_tile(paint) * np.linspace(1.2, 0.7, TILE, dtype=np.float32)[:, None, None]
    side = body.copy()
    side[96:] = (20, 20, 22)
    for door in (44, 78):
        side[6:92, door : door + 1] *= np.float32(0.5)
    for wheel in (25, 102):  # the face is about four times as long as high
        for radius, grey in ((1.18, 16.0), (1.0, 34.0), (0.62, float(random.uniform(80, 180)))):
            cv2.ellipse(side, (wheel, 84), (int(11 * radius), int(43 * radius)), 0, 0, 360, (grey, grey, grey), -1)
    front, back = body.copy(), body.copy()
    front[100:], back[104:] = (18, 18, 20), (20, 20, 22)
    front[44:70, 36:92] = (26, 26, 28)
    front[78:94, 46:82] = back[52:70, 46:82] = (190, 200, 204) if random.random() < 0.5 else (60, 190, 210)
    for left in (6, 100):
        front[30:52, left : left + 22] = (214, 216, 212)
        back[22:58, left : left + 16 + (left > 50) * 6] = (30, 26, 150 + 60 * (random.random() < 0.3))
    front[100:128, 6:26] = front[100:128, 102:122] = back[100:128, 6:26] = back[100:128, 102:122] = (12, 12, 12)
    glass = solid_tile(np.array((62, 56, 52), np.float32) * random.uniform(0.5, 1.4))
    glass *= np.linspace(1.7, 0.6, TILE, dtype=np.float32)[:, None, None]
    cabin_side = glass.copy()
    glass[:, :7] = glass[:, -7:] = glass[:10] = paint * np.float32(0.85)
    for left, right in ((0, 10), (58, 66), (116, 128)):
        cabin_side[:, left:right] = paint * np.float32(0.85)
    cabin_side[:14] = paint
    return CarBody(side, front, back, glass, cabin_side, solid_tile(paint * 1.1))
