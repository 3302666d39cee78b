"""Camera model from sensor_msgs/CameraInfo: pixels to rays, and points to pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Dict, Sequence, Tuple

import numpy as np

from espnet_ros.costmap.distortion import check_distortion, read_distortion
from espnet_ros.costmap.lens import FISHEYE_MODEL, lens_of
from espnet_ros.costmap.rectification import is_rotation, rectified_matrix, rectifying_rotation
from espnet_ros.errors import CameraError
from espnet_ros.types import ImageSize

_USUAL_COEFFICIENTS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}  # of an undistorted image
_LARGEST_SIDE = 65_535
_MOST_PIXELS = 1 << 26
_FOCAL_LENGTHS = (0.01, 1e7)  # pixel
_FARTHEST_CENTRE = 1e6  # pixel
_ROUNDED_BY = 2.0  # pixel
_LARGEST_STRETCH = 0.05
_SKEW_TOLERANCE = 1e-6
_ROWS_TOGETHER = 1 << 15  # pixel


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
        rectification: rotation from the optical frame to the frame of a rectified image, nine numbers in row-major
            order; empty for none.
        skew: columns per unit of y on the image plane, in pixels: 0 unless rows and columns are not at right angles.

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
    rectification: Tuple[float, ...] = ()
    skew: float = 0.0

    def __post_init__(self) -> None:
        values = {"fx": self.fx, "fy": self.fy, "cx": self.cx, "cy": self.cy, "skew": self.skew}
        for name, value in values.items():
            if not math.isfinite(value):
                raise CameraError(f"camera {name} must be a finite number, is {value}")
        smallest, largest = _FOCAL_LENGTHS
        for name in ("fx", "fy"):
            if values[name] <= 0:
                raise CameraError(f"camera {name} must be above 0 pixel, is {values[name]} (an uncalibrated camera?)")
            if not smallest <= values[name] <= largest:
                raise CameraError(f"camera {name} must be from {smallest} to {largest:g} pixels, is {values[name]}")
        for name in ("cx", "cy"):
            if abs(values[name]) > _FARTHEST_CENTRE:
                raise CameraError(
                    f"camera {name} must be at most {_FARTHEST_CENTRE:g} pixels from the corner, is {values[name]}"
                )
        if abs(self.skew) > self.fx:
            raise CameraError(f"camera skew must be at most fx, {self.fx}, is {self.skew}")
        _check_size(self.size)
        if self.size.height * self.size.width > _MOST_PIXELS:
            raise CameraError(f"camera image must have at most {_MOST_PIXELS} pixels, is {self.size}")
        check_distortion(self.distortion_model, self.distortion)
        if self.rectification and not is_rotation(self._rotation):
            raise CameraError(f"camera rectification must be a rotation, is {list(self.rectification)}")

    @property
    def matrix(self) -> np.ndarray:
        """Camera matrix, (3, 3) float64."""
        return np.array([[self.fx, self.skew, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def is_distorted(self) -> bool:
        """Whether the image is not that of an ideal pinhole camera."""
        return bool(self.distortion) or self.distortion_model == FISHEYE_MODEL

    @property
    def _rotation(self) -> np.ndarray:
        return np.array(self.rectification, np.float64).reshape(3, 3)

    def resized(self, size: ImageSize) -> CameraModel:
        """Return the model for the image resized to ``size``.

        Pixels are areas: their edges scale, not their centres, so the principal point includes a half-pixel shift.

        Raises:
            CameraError: ``size`` has another aspect ratio, so that the image was cropped or stretched, not resized.
        """
        if size == self.size:
            return self
        _check_size(size)
        height, width = self.size
        off = min(abs(size.width - width * size.height / height), abs(size.height - height * size.width / width))
        stretch = (size.width / width) / (size.height / height)
        if off > _ROUNDED_BY or not 1.0 - _LARGEST_STRETCH < stretch < 1.0 + _LARGEST_STRETCH:
            raise CameraError(
                f"camera image must have the aspect ratio of its calibration, {self.size}, is {size}: calibrate the "
                "camera in the mode in which it runs, or let the driver fill in roi and binning"
            )
        return self._scaled(size)

    def _scaled(self, size: ImageSize) -> CameraModel:
        y_scale, x_scale = size.height / self.size.height, size.width / self.size.width
        return replace(
            self,
            size=size,
            fx=self.fx * x_scale,
            fy=self.fy * y_scale,
            cx=(self.cx + 0.5) * x_scale - 0.5,
            cy=(self.cy + 0.5) * y_scale - 0.5,
            skew=self.skew * x_scale,
        )

    def rays(self) -> np.ndarray:
        """Return the ray of each pixel: (H, W, 3) float32 unit vectors in the optical frame, read-only.

        Rays of a fisheye can point backwards. Pixels beyond the valid range of the distortion model, where its image
        stops growing, are NaN.
        """
        return _rays(self)

    def blind_share(self) -> float:
        """Return the share of pixels without a ray, 0..1."""
        return float(np.isnan(self.rays()[..., 2]).mean()) if self.is_distorted else 0.0

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project (N, 3) points in the optical frame, in metres, to (N, 2) pixel coordinates (column, row).

        Points beyond the valid range of the distortion model are NaN, and so are points that are not in front of a
        pinhole camera.
        """
        points = np.asarray(points, np.float64).reshape(-1, 3)
        if self.rectification:
            points = points @ self._rotation.T
        with np.errstate(all="ignore"):
            if self.is_distorted:
                flat = lens_of(self.distortion_model, self.coefficients).project(points)
            else:
                depth = np.where(points[:, 2] > 1e-6, points[:, 2], np.nan)
                flat = points[:, :2] / depth[:, None]
            pixels = flat * (self.fx, self.fy) + (self.cx, self.cy)
            if self.skew:
                pixels[:, 0] += self.skew * flat[:, 1]
        return np.asarray(pixels)

    @property
    def coefficients(self) -> Tuple[float, ...]:
        """Distortion coefficients; zeros for an undistorted image."""
        return self.distortion or (0.0,) * _USUAL_COEFFICIENTS[self.distortion_model]


def camera_from_info(
    size: Tuple[int, int],
    k: Sequence[float],
    d: Sequence[float],
    distortion_model: str,
    binning: Tuple[int, int] = (0, 0),
    roi: Tuple[int, int, int, int] = (0, 0, 0, 0),
    p: Sequence[float] = (),
    r: Sequence[float] = (),
    image_is_rectified: bool = False,
) -> CameraModel:
    """Build the model of the published image from the fields of sensor_msgs/CameraInfo.

    Args:
        size: (height, width) of the full-resolution sensor.
        k: camera matrix K, nine numbers in row-major order.
        d: distortion coefficients; all zero means no distortion, except for a fisheye.
        distortion_model: see `read_distortion`.
        binning: (binning_x, binning_y); 0 means 1.
        roi: (x_offset, y_offset, height, width) in full-resolution pixels; all 0 means the whole sensor. That of a
            rectified image is taken to be the same, as in image_geometry.
        p: projection matrix P, twelve numbers, and
        r: rectification matrix R, nine numbers; used only for rectified images.
        image_is_rectified: the image has no distortion, intrinsics P, and is seen from a frame that R rotates. An image
            with zeros for K and D, but with a P, is always taken to be rectified.

    Raises:
        CameraError: a field is invalid.
    """
    if len(k) != 9:
        raise CameraError(f"camera matrix K must have 9 numbers, has {len(k)}")
    if 0 in size:
        raise CameraError(
            f"camera image must not be empty, is {ImageSize(*size)} in camera_info: height and width must be those of "
            "the calibration"
        )
    _check_size(ImageSize(*size))
    model, coefficients = read_distortion(distortion_model, d)
    rotation: Tuple[float, ...] = ()
    name, matrix = "K", tuple(float(value) for value in k)
    is_undistorted = not coefficients and model != FISHEYE_MODEL
    has_skew = model == FISHEYE_MODEL  # OpenCV estimates the skew of fisheyes, and assumes that others have none
    if image_is_rectified or (is_undistorted and not any(k) and any(p)):
        has_skew = True
        name, matrix = "P", rectified_matrix(p, k, is_undistorted)
        model, coefficients, rotation = "plumb_bob", (), rectifying_rotation(r)
    x_offset, y_offset, height, width = _region(size, roi)
    fx, skew, cx, _, fy, cy = matrix[:6]
    cut = CameraModel(ImageSize(height, width), fx, fy, cx - x_offset, cy - y_offset, model, coefficients, rotation)
    if has_skew:
        cut, skew = replace(cut, skew=skew), 0.0
    if not (abs(skew) <= _SKEW_TOLERANCE * fx and _is_close(matrix[3:4] + matrix[6:], (0.0, 0.0, 0.0, 1.0))):
        raise CameraError(f"camera matrix {name} must be [fx 0 cx; 0 fy cy; 0 0 1], is {list(matrix)}")
    bin_x, bin_y = max(binning[0], 1), max(binning[1], 1)
    if bin_x > width or bin_y > height:
        raise CameraError(f"camera binning must be at most the image, {cut.size}, is {bin_y}x{bin_x}")
    return cut._scaled(ImageSize(height // bin_y, width // bin_x))


def _region(size: Tuple[int, int], roi: Tuple[int, int, int, int]) -> Tuple[int, int, int, int]:
    """Return (x_offset, y_offset, height, width) of the part of the sensor that is in the image."""
    x_offset, y_offset, height, width = roi
    height, width = height or size[0] - y_offset, width or size[1] - x_offset
    is_inside = x_offset >= 0 and y_offset >= 0 and height > 0 and width > 0
    if not is_inside or y_offset + height > size[0] or x_offset + width > size[1]:
        raise CameraError(f"camera roi must lie inside {size[0]}x{size[1]}, is {roi[2]}x{roi[3]}+{x_offset}+{y_offset}")
    return x_offset, y_offset, height, width


def _check_size(size: ImageSize) -> None:
    if size.height <= 0 or size.width <= 0:
        raise CameraError(f"camera image must not be empty, is {size}")
    if max(size) > _LARGEST_SIDE:
        raise CameraError(f"camera image must have at most {_LARGEST_SIDE} pixels a side, is {size}")


def _is_close(values: Sequence[float], expected: Sequence[float]) -> bool:
    return all(abs(value - right) <= _SKEW_TOLERANCE for value, right in zip(values, expected))


def camera_info_fields(camera: CameraModel) -> Dict[str, Any]:
    """Return the fields of a sensor_msgs/CameraInfo that describe an image without cropping or binning.

    It is the inverse of ``camera_from_info``. ``k``, ``r`` and ``p`` are flat float64 arrays, ``d`` is a list of floats
    (zeros for a camera without distortion).
    """
    return {
        "height": camera.size.height,
        "width": camera.size.width,
        "distortion_model": camera.distortion_model,
        "d": list(camera.coefficients),
        "k": camera.matrix.reshape(-1),
        "r": np.array(camera.rectification or np.eye(3).reshape(-1), np.float64),
        "p": np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1),
    }


@lru_cache(maxsize=4)
def _rays(camera: CameraModel) -> np.ndarray:
    height, width = camera.size
    result = np.empty((height, width, 3), np.float32)
    columns = np.arange(width, dtype=np.float64)
    together = max(_ROWS_TOGETHER // width, 1)
    for first in range(0, height, together):
        rows = np.arange(first, min(first + together, height), dtype=np.float64)
        pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        flat = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
        if camera.skew:
            flat[:, 0] -= camera.skew / camera.fx * flat[:, 1]
        if camera.is_distorted:
            with np.errstate(all="ignore"):
                rays = lens_of(camera.distortion_model, camera.coefficients).rays(flat)
        else:
            rays = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
            rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        if camera.rectification:
            rays = rays @ np.array(camera.rectification).reshape(3, 3)  # row vectors: the transpose, from the right
        result[first : first + len(rows)] = rays.reshape(len(rows), width, 3)
    result.setflags(write=False)
    return result
