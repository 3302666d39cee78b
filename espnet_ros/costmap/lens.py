"""Lenses: from a ray to a point on the image plane, and back.

A lens polynomial is valid up to where the image stops growing. Beyond that, it folds back onto pixels that look
elsewhere. Both directions therefore end there: a point on the image has the ray that is reached first from the centre,
or none.

Image points are (N, 2) float64 at focal length 1, relative to the principal point. Coefficients are those of
sensor_msgs/CameraInfo, in OpenCV's order.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Sequence, Tuple, Union

import numpy as np

from espnet_ros.costmap.decentring import Decentring
from espnet_ros.costmap.radial_curve import RadialCurve

FISHEYE_MODEL = "equidistant"
_LARGEST_TANGENT = 1e4  # 89.994 degrees from the optical axis
_NEAREST = 1e-6  # m


class FisheyeLens:
    """``r = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)``, for angles up to 180 degrees.

    Kannala and Brandt, "A generic camera model and calibration method", 2006.

    Args:
        coefficients: k1 to k4.
    """

    def __init__(self, coefficients: Sequence[float]) -> None:
        self._curve = RadialCurve((1.0, *coefficients), (1.0,), math.pi)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the (N, 2) image of (N, 3) points; NaN for points out of view."""
        across = np.hypot(points[:, 0], points[:, 1])
        angle = np.arctan2(across, points[:, 2])
        is_seen = (angle <= self._curve.limit) & (np.maximum(across, np.abs(points[:, 2])) > _NEAREST)
        # On the axis, the radius over the sine is 1 in front. Behind, the axis has no single image.
        ratio = np.divide(self._curve.at(angle), across, out=np.full_like(across, np.nan), where=across > 0.0)
        ratio[(across == 0.0) & (points[:, 2] > 0.0)] = 0.0
        ratio[~is_seen] = np.nan
        return np.asarray(points[:, :2] * ratio[:, None])

    def rays(self, image: np.ndarray) -> np.ndarray:
        """Return the (N, 3) unit rays of (N, 2) image points; NaN beyond the lens's valid range."""
        radius = np.hypot(image[:, 0], image[:, 1])
        angle = self._curve.inverse(radius)
        scale = np.divide(np.sin(angle), radius, out=np.ones_like(radius), where=radius > 1e-12)
        rays = np.column_stack([image * scale[:, None], np.cos(angle)])
        rays[np.isnan(angle)] = np.nan
        return rays


class PinholeLens:
    """Radial distortion as a polynomial or a ratio of two, tangential distortion, thin prism and tilted sensor.

    The formula is that of OpenCV's ``projectPoints``.

    Args:
        coefficients: k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4[, tau_x, tau_y]]]].
    """

    def __init__(self, coefficients: Sequence[float]) -> None:
        k1, k2, p1, p2, k3, k4, k5, k6, *rest = [*coefficients, *[0.0] * (14 - len(coefficients))]
        denominator = (1.0, k4, k5, k6) if any((k4, k5, k6)) else (1.0,)
        self._curve = RadialCurve((1.0, k1, k2, k3), denominator, _LARGEST_TANGENT)
        others = (p1, p2, *rest)
        self._decentring = Decentring(self._curve, others) if any(others) else None

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the (N, 2) image of (N, 3) points; NaN for points out of view."""
        depth = np.where(points[:, 2] > _NEAREST, points[:, 2], np.nan)
        flat = points[:, :2] / depth[:, None]
        if self._decentring is not None:
            return self._decentring.distort(flat)
        square = flat[:, 0] * flat[:, 0] + flat[:, 1] * flat[:, 1]
        gain = np.where(square <= self._curve.limit**2, self._curve.gain(square), np.nan)
        return np.asarray(flat * gain[:, None])

    def rays(self, image: np.ndarray) -> np.ndarray:
        """Return the (N, 3) unit rays of (N, 2) image points; NaN beyond the lens's valid range."""
        if self._decentring is not None:
            flat = self._decentring.undistort(image)
        else:
            radius = np.hypot(image[:, 0], image[:, 1])
            ratio = np.divide(self._curve.inverse(radius), radius, out=np.ones_like(radius), where=radius > 1e-12)
            flat = image * ratio[:, None]
        length = np.sqrt(flat[:, 0] * flat[:, 0] + flat[:, 1] * flat[:, 1] + 1.0)
        return np.asarray(np.column_stack([flat, np.ones(len(flat))]) / length[:, None])


@lru_cache(maxsize=8)
def lens_of(model: str, coefficients: Tuple[float, ...]) -> Union[FisheyeLens, PinholeLens]:
    """Return the lens of a distortion model."""
    return FisheyeLens(coefficients) if model == FISHEYE_MODEL else PinholeLens(coefficients)
