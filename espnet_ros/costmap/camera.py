"""Camera model from sensor_msgs/CameraInfo: pixels to rays, and points to pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Dict, Sequence, Tuple

import cv2
import numpy as np

from espnet_ros.errors import CameraError
from espnet_ros.types import ImageSize

_COEFFICIENT_COUNTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
_USUAL_COEFFICIENTS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}  # of an undistorted image
_UNDISTORT_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)
_MAX_REPROJECTION_ERROR = 0.5  # pixel


@dataclass(frozen=True)
class CameraModel:
    """A pinhole or fisheye camera.

    The optical frame has x to the right, y down and z forward. Pixel coordinates (0, 0) are the centre of the top left
    pixel.

    Attributes:
        size: image size that the intrinsics refer to.
        fx, fy: focal length in pixels, along rows and along columns.
        cx, cy: column and row of the principal point, in pixels.
        distortion_model: ``plumb_bob``, ``rational_polynomial`` or ``equidistant``, as in sensor_msgs/CameraInfo.
        distortion: distortion coefficients; empty for an undistorted image.

    Raises:
        CameraError: a value is not finite or out of range, or the model or its number of coefficients is unknown.
    """

    size: ImageSize
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = "plumb_bob"
    distortion: Tuple[float, ...] = ()

    def __post_init__(self) -> None:
        values = {"fx": self.fx, "fy": self.fy, "cx": self.cx, "cy": self.cy}
        for name, value in values.items():
            if not math.isfinite(value):
                raise CameraError(f"camera {name} must be a finite number, is {value}")
        for name in ("fx", "fy"):
            if values[name] <= 0:
                raise CameraError(f"camera {name} must be above 0 pixel, is {values[name]} (an uncalibrated camera?)")
        if self.size.height <= 0 or self.size.width <= 0:
            raise CameraError(f"camera image must not be empty, is {self.size}")
        if self.distortion_model not in _COEFFICIENT_COUNTS:
            raise CameraError(
                f"camera distortion_model must be one of {', '.join(_COEFFICIENT_COUNTS)}, is '{self.distortion_model}'"
            )
        counts = _COEFFICIENT_COUNTS[self.distortion_model]
        if self.distortion and len(self.distortion) not in counts:
            allowed = " or ".join(map(str, counts))
            raise CameraError(
                f"camera distortion '{self.distortion_model}' must have {allowed} coefficients, "
                f"has {len(self.distortion)}"
            )
        if not all(math.isfinite(value) for value in self.distortion):
            raise CameraError(f"camera distortion must be finite numbers, is {list(self.distortion)}")

    @property
    def matrix(self) -> np.ndarray:
        """Camera matrix, (3, 3) float64."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, size: ImageSize) -> CameraModel:
        """Return the model for the image resized to ``size``.

        Pixels are areas: their edges scale, not their centres, so the principal point includes a half-pixel shift.
        """
        if size == self.size:
            return self
        y_scale, x_scale = size.height / self.size.height, size.width / self.size.width
        return replace(
            self,
            size=size,
            fx=self.fx * x_scale,
            fy=self.fy * y_scale,
            cx=(self.cx + 0.5) * x_scale - 0.5,
            cy=(self.cy + 0.5) * y_scale - 0.5,
        )

    def rays(self) -> np.ndarray:
        """Return the ray of each pixel: (H, W, 3) float32 unit vectors in the optical frame, read-only.

        Pixels outside the field of view in which the distortion model is valid are NaN.
        """
        return _rays(self)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project (N, 3) points in the optical frame, in metres, to (N, 2) pixel coordinates (column, row).

        Points that are not in front of the camera give NaN.
        """
        points = np.asarray(points, np.float64).reshape(-1, 3)
        pixels = np.full((len(points), 2), np.nan)
        front = points[:, 2] > 1e-6
        if not front.any():
            return pixels
        if not self.distortion and self.distortion_model != "equidistant":
            seen = points if front.all() else points[front]
            pixels[front] = seen[:, :2] / seen[:, 2:] * (self.fx, self.fy) + (self.cx, self.cy)
            return pixels
        seen = points[front].reshape(-1, 1, 3)
        zero = np.zeros(3)
        if self.distortion_model == "equidistant":
            found, _ = cv2.fisheye.projectPoints(seen, zero, zero, self.matrix, self._coefficients())
        else:
            found, _ = cv2.projectPoints(seen, zero, zero, self.matrix, self._coefficients())
        pixels[front] = found.reshape(-1, 2)
        return pixels

    def _coefficients(self) -> np.ndarray:
        """Return the distortion coefficients, float64; zeros for an undistorted image."""
        return np.array(self.distortion or (0.0,) * _USUAL_COEFFICIENTS[self.distortion_model], np.float64)


def camera_from_info(
    size: Tuple[int, int],
    k: Sequence[float],
    d: Sequence[float],
    distortion_model: str,
    binning: Tuple[int, int] = (0, 0),
    roi: Tuple[int, int, int, int] = (0, 0, 0, 0),
) -> CameraModel:
    """Build the model of the published image from the fields of sensor_msgs/CameraInfo.

    Args:
        size: (height, width) of the full-resolution sensor.
        k: camera matrix K, nine numbers in row-major order.
        d: distortion coefficients; all zero means no distortion.
        distortion_model: "" means ``plumb_bob``.
        binning: (binning_x, binning_y); 0 means 1.
        roi: (x_offset, y_offset, height, width) in full-resolution pixels; all 0 means the whole sensor.

    Raises:
        CameraError: a field is invalid.
    """
    if len(k) != 9:
        raise CameraError(f"camera matrix K must have 9 numbers, has {len(k)}")
    bin_x, bin_y = max(binning[0], 1), max(binning[1], 1)
    x_offset, y_offset, height, width = roi
    height, width = height or size[0] - y_offset, width or size[1] - x_offset
    if size[0] <= 0 or size[1] <= 0:
        raise CameraError(f"camera image must not be empty, is {size[0]}x{size[1]}")
    if y_offset + height > size[0] or x_offset + width > size[1]:
        raise CameraError(f"camera roi must lie inside {size[0]}x{size[1]}, is {height}x{width}+{x_offset}+{y_offset}")
    coefficients = tuple(float(value) for value in d)
    cut = CameraModel(
        ImageSize(height, width),
        float(k[0]),
        float(k[4]),
        float(k[2]) - x_offset,
        float(k[5]) - y_offset,
        distortion_model or "plumb_bob",
        coefficients if any(coefficients) else (),
    )
    return cut.resized(ImageSize(height // bin_y, width // bin_x))


def camera_info_fields(camera: CameraModel) -> Dict[str, Any]:
    """Return the fields of a sensor_msgs/CameraInfo that describe an image without cropping, binning or rectification.

    It is the inverse of ``camera_from_info``. ``k``, ``r`` and ``p`` are flat float64 arrays, ``d`` is a list of floats
    (zeros for a camera without distortion).
    """
    return {
        "height": camera.size.height,
        "width": camera.size.width,
        "distortion_model": camera.distortion_model,
        "d": camera._coefficients().tolist(),
        "k": camera.matrix.reshape(-1),
        "r": np.eye(3).reshape(-1),
        "p": np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1),
    }


@lru_cache(maxsize=4)
def _rays(camera: CameraModel) -> np.ndarray:
    height, width = camera.size
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
    if camera.distortion_model == "equidistant":
        rays = _equidistant_rays(camera, pixels.reshape(-1, 2))
    else:
        coefficients = camera._coefficients()
        if camera.distortion:
            # OpenCV 5 takes the criteria in undistortPoints itself.
            undistort: Any = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
            flat = undistort(pixels, camera.matrix, coefficients, R=None, P=None, criteria=_UNDISTORT_CRITERIA)
        else:
            flat = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
        rays = np.concatenate([flat.reshape(-1, 2), np.ones((height * width, 1))], axis=1)
    if camera.distortion:
        front = rays[:, 2] > 0.0
        error = np.abs(camera.project(rays[front]) - pixels.reshape(-1, 2)[front]).max(axis=1)
        rays[np.flatnonzero(front)[~(error <= _MAX_REPROJECTION_ERROR)]] = np.nan
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    result = rays.astype(np.float32).reshape(height, width, 3)
    result.setflags(write=False)
    return result


def _equidistant_rays(camera: CameraModel, pixels: np.ndarray) -> np.ndarray:
    """Solve ``r = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)`` for theta with Newton's method.

    Kannala and Brandt, "A generic camera model and calibration method", 2006.
    """
    k = camera._coefficients()
    x, y = (pixels[:, 0] - camera.cx) / camera.fx, (pixels[:, 1] - camera.cy) / camera.fy
    radius = np.hypot(x, y)
    theta = radius.copy()
    for _ in range(20):
        square = theta * theta
        value = theta * (1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3]))))
        slope = 1 + square * (3 * k[0] + square * (5 * k[1] + square * (7 * k[2] + square * 9 * k[3])))
        theta = np.clip(theta - (value - radius) / np.where(np.abs(slope) < 1e-6, 1e-6, slope), 0.0, math.pi)
    scale = np.divide(np.sin(theta), radius, out=np.ones_like(radius), where=radius > 1e-12)
    return np.stack([x * scale, y * scale, np.cos(theta)], axis=1)
