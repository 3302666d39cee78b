"""Distortion that is not radial: tangential, thin prism, tilted sensor. Its valid range depends on the direction."""

from __future__ import annotations

import math
from typing import NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ros.costmap.radial_curve import RadialCurve

_DIRECTIONS = 360
_DISTANCES = np.geomspace(1e-6, 1e4, 1500)
_BISECTIONS = 50
_STEPS = 40
_ENOUGH = 1e-11
"""Error of the inverse on the image plane, in focal lengths."""
_GOOD_ENOUGH = 1e-7
"""Error that is accepted where numbers are not fine enough for less, close to a pole."""
_SMALLEST_DAMPING = 1e-5
"""A point whose error does not shrink even with such small steps lies outside the image."""
_MARGIN = 1.02


class _Image(NamedTuple):
    """Image points, before the sensor's tilt, with their derivatives by the coordinates of the undistorted point."""

    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yx: np.ndarray
    yy: np.ndarray

    @property
    def determinant(self) -> np.ndarray:
        return np.asarray(self.xx * self.yy - self.xy * self.yx)


class Decentring:
    """Distortion of a lens that is not only radial.

    The valid range is where the Jacobian's determinant keeps its sign on the straight way from the centre.

    Args:
        curve: radial distortion.
        coefficients: p1, p2, s1, s2, s3, s4, tau_x, tau_y.
    """

    def __init__(self, curve: RadialCurve, coefficients: Sequence[float]) -> None:
        self._curve = curve
        self._p1, self._p2, *self._prism = coefficients[:6]
        self._is_tilted = any(coefficients[6:])
        self._tilt = _tilt_matrix(coefficients[6], coefficients[7])
        self._untilt = np.linalg.inv(self._tilt)
        with np.errstate(all="ignore"):
            self._limits = self._find_limits()
            self._border = self._find_border()

    def distort(self, flat: np.ndarray) -> np.ndarray:
        """Return the (N, 2) image of undistorted (N, 2) points; NaN beyond the valid range."""
        with np.errstate(all="ignore"):
            x, y = flat[:, 0], flat[:, 1]
            square = x * x + y * y
            result = np.column_stack(self._place(x, y, square, self._curve.gain(square)))
            if self._is_tilted:
                result = _map(self._tilt, result)
            result[~(np.sqrt(square) <= self._limit_towards(x, y))] = np.nan
        return result

    def undistort(self, image: np.ndarray) -> np.ndarray:
        """Return the undistorted (N, 2) points of (N, 2) image points; NaN beyond the valid range."""
        with np.errstate(all="ignore"):
            return self._solve(_map(self._untilt, image) if self._is_tilted else image)

    def _solve(self, image: np.ndarray) -> np.ndarray:
        """Invert all but the tilt: Newton's method with damping, from the solution of the radial part alone."""
        result = np.full(image.shape, np.nan)
        todo = np.flatnonzero(self._may_have_ray(image))
        target = image[todo]
        radius = np.hypot(target[:, 0], target[:, 1])
        start = self._curve.inverse(np.minimum(radius, self._curve.image_limit))
        flat = target * np.divide(start, radius, out=np.ones_like(radius), where=radius > 1e-12)[:, None]
        flat = self._pull_inside(flat)
        found, error = self._error(flat, target)
        damping = np.ones(len(todo))
        for _ in range(_STEPS):
            is_done = error <= _ENOUGH * (1.0 + np.hypot(target[:, 0], target[:, 1]))
            is_stuck = damping <= _SMALLEST_DAMPING
            is_done |= is_stuck & (error <= _GOOD_ENOUGH)
            result[todo[is_done]] = flat[is_done]
            going = np.flatnonzero(~is_done & ~is_stuck)
            if not going.size:
                break
            todo, target, flat, error, damping = todo[going], target[going], flat[going], error[going], damping[going]
            found = _Image(*(part[going] for part in found))
            dx, dy = target[:, 0] - found.x, target[:, 1] - found.y
            step = np.column_stack([found.yy * dx - found.xy * dy, found.xx * dy - found.yx * dx])
            moved = self._pull_inside(flat + step * (damping / found.determinant)[:, None])
            there, error_there = self._error(moved, target)
            is_better = error_there < error
            damping = np.where(is_better, np.minimum(2.0 * damping, 1.0), damping / 4.0)
            flat = np.where(is_better[:, None], moved, flat)
            error = np.where(is_better, error_there, error)
            found = _Image(*(np.where(is_better, new, old) for new, old in zip(there, found)))
        return result

    def _error(self, flat: np.ndarray, target: np.ndarray) -> Tuple[_Image, np.ndarray]:
        image = self._at(flat[:, 0], flat[:, 1])
        return image, np.hypot(image.x - target[:, 0], image.y - target[:, 1])

    def _place(
        self, x: np.ndarray, y: np.ndarray, square: np.ndarray, gain: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Return the coordinates of the image points, before the sensor's tilt."""
        s1, s2, s3, s4 = self._prism
        shift = gain + 2.0 * (self._p1 * y + self._p2 * x)
        return (
            x * shift + square * (self._p2 + s1 + s2 * square),
            y * shift + square * (self._p1 + s3 + s4 * square),
        )

    def _at(self, x: np.ndarray, y: np.ndarray) -> _Image:
        p1, p2 = self._p1, self._p2
        s1, s2, s3, s4 = self._prism
        square = x * x + y * y
        gain = self._curve.gain(square)
        gain_slope = 2.0 * self._curve.gain_slope(square)
        along_x, along_y = 2.0 * s1 + 4.0 * s2 * square, 2.0 * s3 + 4.0 * s4 * square
        mixed = gain_slope * x * y + 2.0 * (p1 * x + p2 * y)
        return _Image(
            *self._place(x, y, square, gain),
            gain + gain_slope * x * x + 2.0 * p1 * y + 6.0 * p2 * x + along_x * x,
            mixed + along_x * y,
            mixed + along_y * x,
            gain + gain_slope * y * y + 6.0 * p1 * y + 2.0 * p2 * x + along_y * y,
        )

    def _is_valid(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        image = self._at(x, y)
        third = self._tilt[2, 0] * image.x + self._tilt[2, 1] * image.y + self._tilt[2, 2]
        return np.asarray((image.determinant > 0.0) & ~self._curve.has_pole_before(x * x + y * y) & (third > 0.0))

    def _find_limits(self) -> np.ndarray:
        """Return the (directions,) distance from the centre up to which each direction is valid."""
        angles = np.arange(_DIRECTIONS) * (2.0 * math.pi / _DIRECTIONS)
        cosine, sine = np.cos(angles), np.sin(angles)
        distances = np.unique(np.append(_DISTANCES, self._curve.limit))
        is_valid = self._is_valid(np.outer(distances, cosine), np.outer(distances, sine))
        first = np.where(is_valid.all(axis=0), len(distances), np.argmin(is_valid, axis=0))
        low = np.append(0.0, distances)[first]
        high = np.append(distances, distances[-1])[first]
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            is_inside = self._is_valid(middle * cosine, middle * sine)
            low, high = np.where(is_inside, middle, low), np.where(is_inside, high, middle)
        return low

    def _limit_towards(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the limit in the direction of each point: the smaller one of the two neighbouring directions."""
        angle = np.nan_to_num(np.arctan2(y, x)) * (_DIRECTIONS / (2.0 * math.pi))
        before = np.floor(angle).astype(np.int64) % _DIRECTIONS
        smaller = np.minimum(self._limits, np.roll(self._limits, -1))
        return np.asarray(smaller[before])

    def _pull_inside(self, flat: np.ndarray) -> np.ndarray:
        distance = np.hypot(flat[:, 0], flat[:, 1])
        limit = self._limit_towards(flat[:, 0], flat[:, 1])
        scale = np.divide(limit, distance, out=np.ones_like(distance), where=distance > limit)
        return np.asarray(flat * (scale * np.where(distance > limit, 1.0 - 1e-12, 1.0))[:, None])

    def _find_border(self) -> np.ndarray:
        """Return the (directions,) largest distance of the valid image from the centre, with a margin."""
        angles = np.arange(_DIRECTIONS) * (2.0 * math.pi / _DIRECTIONS)
        image = self._at(self._limits * np.cos(angles), self._limits * np.sin(angles))
        distance = np.nan_to_num(np.hypot(image.x, image.y), nan=np.inf) * _MARGIN + 1e-9
        turns = np.unwrap(np.arctan2(image.y, image.x))
        if not (np.diff(turns) > 0.0).all() or abs(turns[-1] - turns[0]) > 2.0 * math.pi:
            return np.full(_DIRECTIONS, distance.max())
        at = np.searchsorted(turns - turns[0], (angles - turns[0]) % (2.0 * math.pi), side="right") - 1
        wide = np.max([np.roll(distance, shift) for shift in (-2, -1, 0, 1)], axis=0)
        return np.asarray(wide[at])

    def _may_have_ray(self, image: np.ndarray) -> np.ndarray:
        angle = np.nan_to_num(np.arctan2(image[:, 1], image[:, 0])) * (_DIRECTIONS / (2.0 * math.pi))
        before = np.floor(angle).astype(np.int64) % _DIRECTIONS
        border = np.maximum(self._border, np.roll(self._border, -1))
        return np.asarray(np.hypot(image[:, 0], image[:, 1]) <= border[before])


def _tilt_matrix(tau_x: float, tau_y: float) -> np.ndarray:
    """Return the (3, 3) projective map from an upright to a tilted sensor, as in OpenCV's ``projectPoints``."""
    about_x = np.array(
        [[1.0, 0.0, 0.0], [0.0, math.cos(tau_x), math.sin(tau_x)], [0.0, -math.sin(tau_x), math.cos(tau_x)]]
    )
    about_y = np.array(
        [[math.cos(tau_y), 0.0, -math.sin(tau_y)], [0.0, 1.0, 0.0], [math.sin(tau_y), 0.0, math.cos(tau_y)]]
    )
    turn = about_y @ about_x
    to_plane = np.array([[turn[2, 2], 0.0, -turn[0, 2]], [0.0, turn[2, 2], -turn[1, 2]], [0.0, 0.0, 1.0]])
    return np.asarray(to_plane @ turn)


def _map(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (N, 2) points under a projective map; NaN where it maps to infinity or beyond."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved[:, :2] / np.where(moved[:, 2:] > 0.0, moved[:, 2:], np.nan))
