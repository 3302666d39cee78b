"""A radius on the image as a function of a radius or angle in front of the lens, up to where it stops growing."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np
from numpy.polynomial import polynomial

_SMALLEST = 1e-6
_SAMPLES = 20_000
_STEPS = 60
_ENOUGH = 1e-13
"""Relative error at which the inverse stops."""


class RadialCurve:
    """The first branch of ``f(x) = x N(x^2) / D(x^2)``: from 0 to where f stops growing or has a pole.

    Args:
        numerator, denominator: coefficients of N and D, lowest power first. The first ones are 1.
        stop: end of the branch if f grows that far.

    Attributes:
        limit: end of the branch. f grows from 0 to here.
        image_limit: f at the limit.
    """

    def __init__(self, numerator: Sequence[float], denominator: Sequence[float], stop: float) -> None:
        self._numerator, self._denominator = np.array(numerator, float), np.array(denominator, float)
        twice = [0.0, 2.0]
        # The derivative of f is S / D^2 with S = (N + 2 s N') D - 2 s N D', where s = x^2.
        self._slope = polynomial.polysub(
            polynomial.polymul(
                polynomial.polyadd(self._numerator, polynomial.polymul(twice, _derivative(self._numerator))),
                self._denominator,
            ),
            polynomial.polymul(twice, polynomial.polymul(self._numerator, _derivative(self._denominator))),
        )
        with np.errstate(all="ignore"):
            self._xs = self._first_branch(stop)
            self._values = np.maximum.accumulate(self.at(self._xs))
        self.limit, self.image_limit = float(self._xs[-1]), float(self._values[-1])

    def at(self, x: np.ndarray) -> np.ndarray:
        """Return f, also beyond the limit."""
        square = x * x
        return np.asarray(x * self.gain(square))

    def gain(self, square: np.ndarray) -> np.ndarray:
        """Return f(x) / x for the squares of x, also beyond the limit."""
        value = _evaluate(self._numerator, square)
        return value if len(self._denominator) == 1 else value / _evaluate(self._denominator, square)

    def gain_slope(self, square: np.ndarray) -> np.ndarray:
        """Return the derivative of `gain` with respect to the square of x."""
        numerator, denominator = self._numerator, self._denominator
        if len(denominator) == 1:
            return _evaluate(_derivative(numerator), square)
        below = _evaluate(denominator, square)
        above = _evaluate(_derivative(numerator), square) * below
        above -= _evaluate(numerator, square) * _evaluate(_derivative(denominator), square)
        return np.asarray(above / (below * below))

    def has_pole_before(self, square: np.ndarray) -> np.ndarray:
        """Return whether the denominator is not positive at the squares of x."""
        return np.asarray(~(_evaluate(self._denominator, square) > 0.0))

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """Return the x of the first branch with ``f(x) = value`` for (N,) values of at least 0; NaN if there is none.

        Newton's method, from the tabulated neighbours of each value.
        """
        result = np.full(values.shape, np.nan)
        todo = np.flatnonzero(values <= self.image_limit)
        target = values[todo]
        after = np.searchsorted(self._values, target).clip(1, len(self._xs) - 1)
        low, high = self._xs[after - 1], self._xs[after]
        rise = self._values[after] - self._values[after - 1]
        part = np.divide(target - self._values[after - 1], rise, out=np.zeros_like(target), where=rise > 0.0)
        x = low + part * (high - low)
        for _ in range(_STEPS):
            square = x * x
            below = 1.0 if len(self._denominator) == 1 else _evaluate(self._denominator, square)
            error = x * (_evaluate(self._numerator, square) / below) - target
            slope = _evaluate(self._slope, square) / (below * below)
            step = np.divide(error, slope, out=np.zeros_like(x), where=slope > 0.0)
            moved = np.clip(x - step, low, high)
            going = np.abs(moved - x) > _ENOUGH * high
            result[todo] = moved
            if not going.any():
                break
            todo, x, target, low, high = todo[going], moved[going], target[going], low[going], high[going]
        return result

    def _first_branch(self, stop: float) -> np.ndarray:
        """Return increasing values of x from 0 to the end of the first branch.

        The slope is examined at close samples and at the extrema of the polynomials, so that no short dip is missed.
        """
        extrema = np.concatenate([_positive_roots(_derivative(part)) for part in (self._slope, self._denominator)])
        samples = np.geomspace(_SMALLEST, stop, _SAMPLES)
        extrema = np.sqrt(extrema)
        xs = np.unique(np.concatenate([[0.0], samples, extrema[extrema < stop]]))
        broken = np.flatnonzero(~self._grows(xs))
        if not broken.size:
            return xs
        low, high = float(xs[broken[0] - 1]), float(xs[broken[0]])
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if self._grows(np.array([middle]))[0]:
                low = middle
            else:
                high = middle
        return np.append(xs[: broken[0]], low) if low > xs[broken[0] - 1] else xs[: broken[0]]

    def _grows(self, x: np.ndarray) -> np.ndarray:
        square = x * x
        return np.asarray((_evaluate(self._slope, square) > 0.0) & (_evaluate(self._denominator, square) > 0.0))


def _evaluate(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return a polynomial's value by Horner's rule, faster than numpy's own for few coefficients."""
    value = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value *= x
        value += coefficient
    return value


def _derivative(coefficients: np.ndarray) -> np.ndarray:
    return np.asarray(polynomial.polyder(coefficients))


def _positive_roots(coefficients: np.ndarray) -> np.ndarray:
    """Return the positive real parts of a polynomial's roots, without those that are too far away to compute."""
    size = float(np.abs(coefficients).max())
    if size == 0.0 or not math.isfinite(size):
        return np.empty(0)
    kept: Any = np.flatnonzero(np.abs(coefficients) > 1e-14 * size)[-1]
    if kept == 0:
        return np.empty(0)
    roots = polynomial.polyroots(coefficients[: kept + 1] / size).real
    return np.asarray(roots[roots > 0.0])
