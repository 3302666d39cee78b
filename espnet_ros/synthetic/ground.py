"""The flat ground: the extent of road and pavement, and their texture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from espnet_ros.synthetic.classes import PAVEMENT, ROAD
from espnet_ros.synthetic.surfaces import draw_color
from espnet_ros.synthetic.textures import fractal_noise, value_noise

_TEXEL = 0.03125  # metres
_PERIOD = 1536  # texels along the street until the texture repeats: 48 m
_HALF_WIDTH = 14.0  # metres to either side; beyond, the texture is mirrored
_ACROSS = round(2 * _HALF_WIDTH / _TEXEL)
_LEVELS = 6
_BORDER = 2  # texels around each mip level, so that bilinear sampling does not mix levels
_WHITE = (218.0, 220.0, 220.0)
_YELLOW = (70.0, 170.0, 200.0)


@dataclass(frozen=True)
class CrossSection:
    """Cross-section of the street, in metres to the left of the centre line.

    Attributes:
        lane: width of each of the two lanes; they meet at 0.
        left: the left kerb.
        right: the right kerb, negative.
        left_front: start of gardens and houses on the left.
        right_front: the same on the right, negative.
        keeps_left: whether traffic drives on the left.
    """

    lane: float
    left: float
    right: float
    left_front: float
    right_front: float
    keeps_left: bool

    @property
    def own_lane(self) -> float:
        """Middle of the lane of the drive."""
        return self.lane / 2 if self.keeps_left else -self.lane / 2

    def class_ids(self, d: np.ndarray) -> np.ndarray:
        """Return uint8 class ids of the ground ``d`` metres to the left of the centre line: road between the kerbs."""
        return np.where((d < np.float32(self.left)) & (d > np.float32(self.right)), ROAD, PAVEMENT).astype(np.uint8)


def draw_cross_section(random: np.random.Generator) -> CrossSection:
    """Draw a cross-section with random widths, with a parking strip on at least one side."""
    lane = random.uniform(2.9, 3.6)
    strips = random.choice([0.0, 2.1, 2.3], size=2, p=[0.4, 0.3, 0.3])
    if not strips.any():
        strips[random.integers(2)] = 2.2
    pavements = random.uniform(2.2, 4.5, size=2)
    left, right = lane + float(strips[0]), -lane - float(strips[1])
    keeps_left = bool(random.random() < 0.6)
    return CrossSection(lane, left, right, left + float(pavements[0]), right - float(pavements[1]), keeps_left)


class GroundTexture:
    """Colours of the ground in street coordinates: one strip, painted once, with its mip levels.

    Args:
        random: source of colours, wear and markings.
        section: cross-section of the street.
    """

    def __init__(self, random: np.random.Generator, section: CrossSection) -> None:
        strip = np.clip(_paint_strip(random, section), 0, 255)
        self._tops = []
        levels = []
        top = 0
        for level in range(_LEVELS):
            padded = np.pad(strip, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), mode="wrap")
            width = _ACROSS + 2 * _BORDER
            levels.append(np.pad(padded, ((0, 0), (0, width - padded.shape[1]), (0, 0))))
            self._tops.append(top + _BORDER)
            top += padded.shape[0]
            if level + 1 < _LEVELS:
                strip = cv2.resize(strip, (strip.shape[1] // 2, strip.shape[0] // 2), interpolation=cv2.INTER_AREA)
        self._atlas = np.rint(np.concatenate(levels)).astype(np.uint8)
        self._top = np.array(self._tops, np.float32)
        self._scale = np.array([1 / (_TEXEL * 2**level) for level in range(_LEVELS)], np.float32)

    def sample(self, s: np.ndarray, d: np.ndarray, pixel: np.ndarray) -> np.ndarray:
        """Return colours of the ground.

        Args:
            s: (N,) float32 metres along the street.
            d: (N,) float32 metres to the left of the centre line.
            pixel: (N,) float32 metres of ground covered by one pixel.

        Returns:
            (N, 3) float32 BGR, 0..255.
        """
        level = np.zeros(len(s), np.int32)
        for finer in range(_LEVELS - 1):
            level += pixel > np.float32(_TEXEL * 1.5 * 2**finer)
        scale = self._scale.take(level)
        along = s * np.float32(1 / (_PERIOD * _TEXEL))
        along -= np.floor(along)
        across = (d + np.float32(_HALF_WIDTH)) * np.float32(1 / (4 * _HALF_WIDTH))
        across -= np.floor(across)
        across = np.float32(4 * _HALF_WIDTH) * np.minimum(across, 1 - across)  # mirrored at the edges
        row = along * np.float32(_PERIOD * _TEXEL) * scale + (self._top.take(level) - np.float32(0.5))
        column = across * scale + np.float32(_BORDER - 0.5)
        return sample_bilinear(self._atlas, row, column).astype(np.float32)


def sample_bilinear(image: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return values of an image at N places: (N,) or (N, C) of its dtype, clamped to its border."""
    count, width = len(row), 1024
    rows = -(-count // width)
    maps = np.zeros((2, rows * width), np.float32)
    maps[0, :count], maps[1, :count] = column, row
    column_map, row_map = maps.reshape(2, rows, width)
    found = cv2.remap(image, column_map, row_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found.reshape(rows * width, *image.shape[2:])[:count])


def _paint_strip(random: np.random.Generator, section: CrossSection) -> np.ndarray:
    """Return (_PERIOD, _ACROSS, 3) float32 BGR; rows run along the street, columns from right to left."""
    shape = (_PERIOD, _ACROSS)
    d = (np.arange(_ACROSS) + 0.5) * _TEXEL - _HALF_WIDTH
    s = (np.arange(_PERIOD) + 0.5) * _TEXEL
    grain = fractal_noise(random, shape, (_PERIOD // 8, _ACROSS // 8), 4, 1.4) - np.float32(0.5)
    wear = fractal_noise(random, shape, (12, 7), 4, 0.6) - np.float32(0.5)
    asphalt = draw_color(
        random, np.array([(88, 86, 84), (104, 102, 100), (70, 68, 68), (124, 124, 124)], np.float32), 6
    )
    shade = 1.0 + 0.7 * grain + 0.3 * wear
    for lane in (-1, 1):  # wheel tracks
        for wheel in (-0.75, 0.75):
            track = np.exp(-(((d - lane * section.lane / 2 - wheel) / 0.25) ** 2)).astype(np.float32)
            shade -= np.float32(random.uniform(-0.03, 0.1)) * track
    strip: np.ndarray = asphalt * shade[..., None]
    for _ in range(int(random.integers(0, 7))):  # repaired patches and covers
        top, left = int(random.integers(0, _PERIOD - 120)), int(random.integers(0, _ACROSS - 60))
        strip[top : top + int(random.integers(20, 120)), left : left + int(random.integers(16, 60))] *= np.float32(
            random.uniform(0.65, 1.15)
        )
    _paint_pavement(random, strip, section, d, s, grain, wear)
    _paint_markings(random, strip, section, d, s, wear)
    return strip


def _paint_pavement(
    random: np.random.Generator,
    strip: np.ndarray,
    section: CrossSection,
    d: np.ndarray,
    s: np.ndarray,
    grain: np.ndarray,
    wear: np.ndarray,
) -> None:
    slabs = draw_color(
        random,
        np.array([(150, 154, 156), (128, 138, 146), (112, 112, 112), (120, 132, 160), (168, 176, 180)], np.float32),
        5,
    )
    outside = (d >= section.left) | (d <= section.right)
    length, width = random.uniform(0.4, 1.0), random.uniform(0.3, 0.7)
    tones = value_noise(random, (round(_PERIOD * _TEXEL / length) + 1, round(2 * _HALF_WIDTH / width) + 1), (999, 999))
    along, across = (s / length).astype(int), ((d + _HALF_WIDTH) / width).astype(int)
    tone = tones[along][:, across] - np.float32(0.5)
    joints = ((s % length < _TEXEL)[:, None] | ((d + _HALF_WIDTH) % width < _TEXEL)[None, :]).astype(np.float32)
    shade = 1 + 0.35 * grain + 0.4 * wear
    if random.random() < 0.75:
        shade += 0.2 * tone - 0.3 * joints
    strip[:, outside] = (slabs * shade[..., None])[:, outside]
    kerb = draw_color(random, np.array([(172, 176, 178), (140, 146, 150), (110, 114, 118)], np.float32))
    stones = (1 + 0.3 * grain - 0.3 * (s % 0.9 < 1.5 * _TEXEL)[:, None])[..., None]
    for edge, side in ((section.left, 1), (section.right, -1)):
        out = (d - edge) * side
        top, gutter = (out >= 0) & (out < 0.14), (out < 0) & (out > -0.12)
        strip[:, top] = (kerb * stones)[:, top]
        strip[:, gutter] *= np.float32(random.uniform(0.55, 0.85))


def _paint_markings(
    random: np.random.Generator,
    strip: np.ndarray,
    section: CrossSection,
    d: np.ndarray,
    s: np.ndarray,
    wear: np.ndarray,
) -> None:
    fading = np.float32(random.uniform(0.5, 0.95))

    def mark(rows: np.ndarray, columns: np.ndarray, color: object) -> None:
        cover = rows[:, None] * columns[None, :] * fading * np.clip(1.0 + wear * np.float32(1.5), 0.2, 1.0)
        touched = np.flatnonzero(columns)
        part = strip[:, touched]
        strip[:, touched] = part + cover[:, touched, None] * (np.asarray(color, np.float32) - part)

    def line(middle: float, width: float) -> np.ndarray:
        return np.clip((width / 2 - np.abs(d - middle)) / _TEXEL + 0.5, 0, 1).astype(np.float32)

    everywhere = np.ones(_PERIOD, np.float32)
    period, share = random.choice([4.0, 6.0, 8.0, 12.0]), random.uniform(0.35, 0.7)
    dashes = (s % period < period * share).astype(np.float32)
    mark(dashes if random.random() < 0.8 else everywhere, line(0.0, random.uniform(0.1, 0.16)), _WHITE)
    for edge, side in ((section.left, -1), (section.right, 1)):
        style = int(random.integers(4))
        if style == 1:
            mark(everywhere, line(edge + side * 0.35, 0.12), _WHITE)
        elif style in (2, 3):
            for gap in (0.3, 0.5)[: style - 1]:
                mark(everywhere, line(edge + side * gap, 0.09), _YELLOW)
        if abs(edge) > section.lane + 1.0:
            mark((s % 6.0 < 0.1).astype(np.float32), ((d - edge) * side > 0) * (np.abs(d) > section.lane) * 1.0, _WHITE)
            mark(everywhere, line(-side * section.lane, 0.1), _WHITE)
    if random.random() < 0.5:  # a zebra crossing
        start = random.uniform(4.0, 40.0)
        bars = ((d % 1.1 < 0.55) & (d < section.left - 0.3) & (d > section.right + 0.3)).astype(np.float32)
        mark(((s > start) & (s < start + 3.0)).astype(np.float32), bars, _WHITE)
