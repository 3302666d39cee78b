"""Light, haze and camera effects, which give each street its own look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import cv2
import numpy as np

from espnet_ros.synthetic.textures import fractal_noise

_SKY = 512  # texels per side of the cloud tile
_CLOUD_HEIGHT = 0.12  # keeps the cloud plane finite at the horizon


@dataclass(frozen=True)
class Light:
    """Light of a street, and the effects of its camera.

    Attributes:
        sun_azimuth: direction towards the sun in the odom frame, in radians.
        sun_elevation: elevation of the sun in radians.
        sun: share of direct light, 0 (overcast) to 0.7.
        shadow: brightness of shaded ground, 0..1.
        exposure: factor on all colours.
        balance: factors on blue, green and red.
        gamma: of the tone curve; values above 1 darken midtones.
        haze: metres after which a colour has faded to ``horizon`` except for 1/e.
        zenith: colour of the sky overhead, BGR, 0..255.
        horizon: colour of the sky at the horizon, BGR, 0..255.
        clouds: cloudiness, 0..1.
        noise: standard deviation of the camera's noise, 0..255.
        blur: standard deviation of the camera's blur in pixels.
        vignette: loss of light in the corners, 0..1.
    """

    sun_azimuth: float
    sun_elevation: float
    sun: float
    shadow: float
    exposure: float
    balance: Tuple[float, float, float]
    gamma: float
    haze: float
    zenith: Tuple[float, float, float]
    horizon: Tuple[float, float, float]
    clouds: float
    noise: float
    blur: float
    vignette: float

    def brightness(self, azimuth: float, upwards: bool = False) -> float:
        """Return the brightness of a face whose normal points to ``azimuth``, or up; lit ground is about 1."""
        elevation = self.sun_elevation
        cosine = math.sin(elevation) if upwards else math.cos(elevation) * math.cos(azimuth - self.sun_azimuth)
        # Walls differ a little even under an overcast sky, to keep corners visible.
        soft = 0.06 * math.cos(azimuth - self.sun_azimuth)
        ambient = 1.0 if upwards else 0.86
        return (1.0 - self.sun) * ambient + self.sun * 1.15 * max(cosine, 0.0) + soft


def draw_light(random: np.random.Generator) -> Light:
    """Draw a random time of day, weather and camera."""
    sun = float(random.choice([random.uniform(0.0, 0.12), random.uniform(0.3, 0.62)]))
    blueness = random.uniform(0.0, 1.0) if sun > 0.2 else random.uniform(0.0, 0.25)
    bright = random.uniform(0.78, 1.0)
    grey, blue = np.array([226.0, 222.0, 216.0]), np.array([224.0, 160.0, 96.0])
    pale = np.array([244.0, 236.0, 222.0])
    zenith = ((1 - blueness) * grey + blueness * blue) * bright
    horizon = ((1 - blueness * 0.5) * pale + blueness * 0.5 * blue) * bright
    warmth = random.normal(0.0, 0.06)
    tint = random.normal(0.0, 0.02)
    return Light(
        sun_azimuth=random.uniform(-math.pi, math.pi),
        sun_elevation=random.uniform(math.radians(18.0), math.radians(62.0)),
        sun=sun,
        shadow=1.0 - min(0.95 * sun + 0.06, 0.66),
        exposure=random.uniform(0.75, 1.15),
        balance=(1.0 - warmth, 1.0 + tint, 1.0 + warmth),
        gamma=random.uniform(0.72, 1.15),
        haze=random.uniform(180.0, 900.0),
        zenith=(float(zenith[0]), float(zenith[1]), float(zenith[2])),
        horizon=(float(horizon[0]), float(horizon[1]), float(horizon[2])),
        clouds=random.uniform(0.0, 1.0),
        noise=random.uniform(1.0, 5.0),
        blur=random.uniform(0.45, 0.8),
        vignette=random.uniform(0.0, 0.3),
    )


class Sky:
    """The sky: a gradient, and clouds on a high plane."""

    def __init__(self, random: np.random.Generator, light: Light) -> None:
        noise = fractal_noise(random, (_SKY, _SKY), (4, 4), 6, 0.6)
        low = 0.66 - 0.4 * light.clouds
        self._cover = np.clip((noise - low) / 0.16, 0.0, 1.0).astype(np.float32) * np.float32(0.85)
        self._light = light
        self._cloud = np.float32(random.uniform(0.86, 1.0)) * np.array([250, 248, 246], np.float32)

    def colors(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return (N, 3) float32 BGR of directions: unit vectors in the odom frame with z >= 0."""
        scale = np.float32(60.0) / (z + np.float32(_CLOUD_HEIGHT))
        column = (x * scale).astype(np.int32) & (_SKY - 1)
        row = (y * scale).astype(np.int32) & (_SKY - 1)
        cover = self._cover.ravel().take(row * _SKY + column)[:, None]
        rise = np.minimum(z * np.float32(1.6), np.float32(1.0))[:, None]
        horizon, zenith = np.array(self._light.horizon, np.float32), np.array(self._light.zenith, np.float32)
        colors = horizon + rise * (zenith - horizon)
        colors += cover * (self._cloud - colors)
        return np.asarray(colors)


class CameraEffects:
    """Applies the camera's vignette, tone curve, blur and noise to scene colours.

    Args:
        random: source of the noise.
        light: light and camera settings.
        size: (height, width).
    """

    _POOL = 64  # rows and columns by which the noise is shifted between frames

    def __init__(self, random: np.random.Generator, light: Light, size: Tuple[int, int]) -> None:
        height, width = size
        row, column = np.ogrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
        fall = 1.0 - light.vignette * (row**2 + column**2) / 2
        gain = np.asarray(light.balance) * light.exposure
        self._gain = (fall[..., None] * gain).astype(np.float32)
        curve = 255.0 * (np.arange(256) / 255.0) ** light.gamma
        self._curve = np.clip(np.rint(curve), 0, 255).astype(np.uint8)
        pool = random.standard_normal((height + self._POOL, width + self._POOL, 3), np.float32)
        grey = random.standard_normal((height + self._POOL, width + self._POOL, 1), np.float32)
        noise = cv2.GaussianBlur((pool * np.float32(0.6) + grey) * np.float32(light.noise), (0, 0), 0.5)
        self._noise = np.clip(np.rint(noise), -100, 100).astype(np.int16)
        self._blur = light.blur

    def apply(self, scene: np.ndarray, frame: int) -> np.ndarray:
        """Convert a (H, W, 3) float32 BGR scene to a (H, W, 3) uint8 image; ``frame`` selects the noise."""
        height, width = scene.shape[:2]
        exposed = cv2.convertScaleAbs(scene * self._gain)  # rounds and saturates; cv2.multiply is five times slower
        toned = cv2.LUT(cv2.GaussianBlur(exposed, (3, 3), self._blur), self._curve)
        top, left = frame * 37 % self._POOL, frame * 23 % self._POOL
        return np.asarray(cv2.add(toned, self._noise[top : top + height, left : left + width], dtype=cv2.CV_8U))
