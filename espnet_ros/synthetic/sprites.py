"""Texture tiles with cut-outs: tree crowns, people, cyclists and signs.

Every column of the outline of people and cyclists reaches down to the lowest row of the tile, which makes their contact
with the ground well-defined. Gaps between legs or wheels are drawn dark, not cut out.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import cv2
import numpy as np

from espnet_ros.synthetic.surfaces import draw_color
from espnet_ros.synthetic.textures import TILE, fractal_noise, solid_tile

_CLOTHES = np.array(
    [
        (36, 34, 34),
        (82, 60, 44),
        (120, 84, 60),
        (50, 44, 128),
        (150, 150, 148),
        (198, 200, 202),
        (58, 74, 48),
        (60, 90, 130),
        (96, 70, 90),
        (44, 120, 170),
        (140, 120, 40),
        (70, 66, 66),
    ],
    np.float32,
)
_SKIN = np.array([(150, 176, 214), (120, 150, 196), (84, 110, 156), (52, 72, 104)], np.float32)
_HAIR = np.array([(24, 26, 30), (40, 58, 84), (90, 130, 164), (120, 122, 124)], np.float32)
_GAP = (22, 22, 24)
_BACKGROUND = (76, 76, 78)  # about the colour of a road


class Sprite(NamedTuple):
    """A (128, 128, 3) float32 BGR canvas and its (128, 128) bool outline, True where opaque."""

    canvas: np.ndarray
    outline: np.ndarray


def draw_crown(random: np.random.Generator) -> Sprite:
    """Draw leaves or bare twigs of a tree, with a ragged rim and holes."""
    row, column = np.mgrid[-1.0 : 1.0 : TILE * 1j, -1.0 : 1.0 : TILE * 1j].astype(np.float32)
    ragged = fractal_noise(random, (TILE, TILE), (4, 4), 6, 0.75) - np.float32(0.5)
    fine = fractal_noise(random, (TILE, TILE), (24, 24), 3, 0.9) - np.float32(0.5)
    power = random.uniform(1.7, 2.6)
    radius = (np.abs(row * random.uniform(1.0, 1.1)) ** power + np.abs(column) ** power) ** (1 / power)
    is_bare = random.random() < 0.3
    fill = np.float32(random.uniform(0.75, 0.85)) - radius + ragged * np.float32(1.5) + fine * np.float32(0.5)
    outline = (fill > 0) & (radius < 0.99)
    if is_bare:
        outline &= fine + ragged * np.float32(0.4) > np.float32(-0.05) * np.clip(1.2 - radius, 0, 1) * 4
        color = draw_color(random, np.array([(52, 62, 72), (70, 84, 92), (58, 76, 96)], np.float32))
    else:
        leaves = [(40, 84, 62), (36, 70, 50), (52, 112, 100), (38, 64, 70), (44, 96, 60), (50, 120, 150)]
        color = draw_color(random, np.array(leaves, np.float32))
    lit = 1.0 - 0.35 * row + random.uniform(-0.25, 0.25) * column
    grain = np.clip(1.0 + fine * 2.6 + ragged * 1.4, 0.15, 2.0)
    return Sprite(color * (lit * grain)[..., None].astype(np.float32), outline)


def draw_person(random: np.random.Generator) -> Sprite:
    """Draw a person who stands or walks, from the front or back. The tile's width is 0.42 of its height."""
    coat, trousers = draw_color(random, _CLOTHES), draw_color(random, _CLOTHES)
    skin, hair = draw_color(random, _SKIN), draw_color(random, _HAIR)
    canvas, outline = solid_tile(trousers), np.zeros((TILE, TILE), np.uint8)
    hem = int(random.integers(60, 96))
    shoulder = int(random.integers(30, 37))
    hip, foot = int(random.integers(25, shoulder - 2)), shoulder + int(random.integers(1, 5))
    legs = np.array([(64 - hip, 60), (64 + hip, 60), (64 + shoulder - 2, 110), (64 + foot, 127), (64 - foot, 127)])
    legs = np.concatenate([legs, [(64 - shoulder + 2, 110)]])
    torso = np.array([(64 - shoulder + 8, 24), (64 + shoulder - 8, 24), (64 + shoulder, 34), (64 + hip + 1, hem)])
    torso = np.concatenate([torso, [(64 - hip - 1, hem), (64 - shoulder, 34)]])
    for shape in (legs, torso):
        cv2.fillPoly(outline, [shape], 1)
    gap = int(random.integers(4, 18))
    cv2.fillPoly(canvas, [np.array([(64, hem), (64 + gap, 127), (64 - gap, 127)])], _GAP)
    cv2.fillPoly(canvas, [torso], coat.tolist())
    for side in (-1, 1):  # arms
        cv2.line(canvas, (64 + side * (shoulder - 6), 30), (64 + side * (hip - 1), 66), (coat * 0.7).tolist(), 5)
        cv2.circle(canvas, (64 + side * (hip - 1), 68), 4, skin.tolist(), -1)
    if random.random() < 0.35:  # a bag
        cv2.rectangle(canvas, (48, 32), (80, 56), draw_color(random, _CLOTHES).tolist(), -1)
    _head(random, canvas, outline, 13, (13, 11), skin, hair)
    canvas[122:] *= np.float32(0.4)
    return Sprite(_shade(random, canvas), outline > 0)


def _head(
    random: np.random.Generator,
    canvas: np.ndarray,
    outline: np.ndarray,
    row: int,
    radii: Tuple[int, int],
    skin: np.ndarray,
    hair: np.ndarray,
) -> None:
    for target, color in ((outline, 1), (canvas, hair.tolist())):
        cv2.ellipse(target, (64, row), radii, 0, 0, 360, color, -1)
        cv2.rectangle(target, (64 - radii[0] // 2, row), (64 + radii[0] // 2, row + 14), color, -1)
    if random.random() < 0.6:  # faces the camera
        cv2.ellipse(canvas, (64, row + 3), (radii[0] - 3, radii[1] - 3), 0, 0, 360, skin.tolist(), -1)


def draw_cyclist(random: np.random.Generator) -> Sprite:
    """Draw a cyclist from the front or back. The tile's width is 0.7 of its height."""
    jacket, trousers = draw_color(random, _CLOTHES), draw_color(random, _CLOTHES)
    if random.random() < 0.3:
        jacket = np.array((40, 220, 190), np.float32)
    canvas, outline = solid_tile(trousers), np.zeros((TILE, TILE), np.uint8)
    hip = int(random.integers(18, 24))
    legs = np.array([(64 - hip, 60), (64 + hip, 60), (64 + hip, 127), (64 - hip, 127)])
    torso = np.array([(64 - 16, 26), (64 + 16, 26), (64 + 23, 36), (64 + 20, 68), (64 - 20, 68), (64 - 23, 36)])
    base = np.array([(64 - hip, 104), (64 + hip, 104), (64 + 24, 127), (64 - 24, 127)])
    for shape in (legs, torso, base):
        cv2.fillPoly(outline, [shape], 1)
    cv2.rectangle(canvas, (34, 76), (94, 127), _BACKGROUND, -1)
    for side in (-1, 1):
        cv2.line(
            canvas, (64 + side * 10, 64), (64 + side * 15, 108 + int(random.integers(-10, 8))), trousers.tolist(), 10
        )
    cv2.rectangle(canvas, (61, 80), (67, 127), (52, 52, 54), -1)
    cv2.fillPoly(canvas, [torso], jacket.tolist())
    cv2.circle(canvas, (64, 76), 3, (40, 40, 210), -1)
    helmet = draw_color(random, _CLOTHES)
    _head(random, canvas, outline, 14, (11, 12), draw_color(random, _SKIN), helmet)
    return Sprite(_shade(random, canvas), outline > 0)


def draw_bicycle_side(random: np.random.Generator) -> Sprite:
    """Draw a cyclist from the side. The tile spans the length of the bicycle and the height of the rider."""
    jacket, trousers = draw_color(random, _CLOTHES), draw_color(random, _CLOTHES)
    canvas, outline = solid_tile((64.0, 66.0, 66.0)), np.zeros((TILE, TILE), np.uint8)
    for wheel in (25, 103):
        cv2.ellipse(outline, (wheel, 102), (24, 25), 0, 0, 360, 1, -1)
        cv2.rectangle(outline, (max(wheel - 24, 0), 102), (wheel + 24, 127), 1, -1)
        cv2.ellipse(canvas, (wheel, 102), (21, 22), 0, 0, 360, (88, 90, 90), -1)
        cv2.ellipse(canvas, (wheel, 102), (22, 23), 0, 0, 360, (24, 24, 24), 3)
    cv2.rectangle(outline, (26, 84), (102, 127), 1, -1)
    cv2.rectangle(canvas, (48, 84), (80, 127), _BACKGROUND, -1)
    frame = draw_color(random, _CLOTHES).tolist()
    for start, end in (((25, 102), (58, 84)), ((58, 84), (92, 80)), ((92, 80), (103, 102)), ((60, 112), (92, 80))):
        cv2.line(canvas, start, end, frame, 3)
    leg = np.array([(50, 62), (68, 62), (74, 90), (68, 118), (58, 118), (62, 90)])
    torso = np.array([(46, 68), (70, 70), (82, 32), (70, 24)])
    arm = np.array([(74, 30), (82, 34), (98, 70), (92, 74)])
    for shape, color in ((leg, trousers), (torso, jacket), (arm, jacket * np.float32(0.8))):
        cv2.fillPoly(outline, [shape], 1)
        cv2.fillPoly(canvas, [shape], color.tolist())
    for target, fill in ((outline, 1), (canvas, draw_color(random, _HAIR).tolist())):
        cv2.ellipse(target, (80, 13), (8, 12), 0, 0, 360, fill, -1)
    return Sprite(_shade(random, canvas), outline > 0)


def draw_sign(random: np.random.Generator) -> Sprite:
    """Draw a traffic sign: round, triangular, or rectangular with text."""
    canvas, outline = solid_tile((225.0, 225.0, 225.0)), np.zeros((TILE, TILE), np.uint8)
    red, blue, green = (40.0, 34.0, 190.0), (170.0, 90.0, 30.0), (70.0, 110.0, 20.0)
    style = int(random.integers(5))
    if style in (0, 1):
        cv2.circle(outline, (64, 64), 63, 1, -1)
        cv2.circle(canvas, (64, 64), 63, red if style == 0 else blue, -1)
        cv2.circle(canvas, (64, 64), 46, (228.0, 228.0, 228.0) if style == 0 else blue, -1)
        _glyph(random, canvas, (30.0, 30.0, 30.0) if style == 0 else (228.0, 228.0, 228.0), (44, 84))
    elif style == 2:
        outer, inner = np.array([(64, 2), (127, 124), (0, 124)]), np.array([(64, 34), (104, 110), (24, 110)])
        cv2.fillPoly(outline, [outer], 1)
        cv2.fillPoly(canvas, [outer], red)
        cv2.fillPoly(canvas, [inner], (228.0, 228.0, 228.0))
        _glyph(random, canvas, (30.0, 30.0, 30.0), (56, 100))
    else:
        outline[:] = 1
        board = [blue, green, (60.0, 60.0, 60.0), (228.0, 228.0, 228.0), (40.0, 190.0, 220.0)][int(random.integers(5))]
        canvas[:] = board
        ink = (228.0, 228.0, 228.0) if sum(board) < 450 else (30.0, 30.0, 30.0)
        canvas[4:8, 4:124] = canvas[120:124, 4:124] = ink
        for row in range(20, 108, 22):
            _glyph(random, canvas, ink, (row, row + 12))
    return Sprite(canvas, outline > 0)


def _glyph(
    random: np.random.Generator, canvas: np.ndarray, ink: Tuple[float, float, float], rows: Tuple[int, int]
) -> None:
    column = int(random.integers(36, 48))
    while column < 84:
        width = int(random.integers(4, 12))
        canvas[rows[0] : rows[1], column : column + width] = ink
        column += width + int(random.integers(3, 7))


def _shade(random: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    folds = fractal_noise(random, (TILE, TILE), (10, 6), 3) - np.float32(0.5)
    across = np.linspace(-1.0, 1.0, TILE, dtype=np.float32) * np.float32(random.uniform(-0.4, 0.4))
    return np.asarray(canvas * (1.0 + 0.7 * folds + across[None, :])[..., None])
