"""Distortion models and coefficients as camera drivers name and pad them."""

from __future__ import annotations

import math
import re
from typing import Sequence, Tuple

from espnet_ros.errors import CameraError

COEFFICIENT_COUNTS = {"plumb_bob": (4, 5), "rational_polynomial": (4, 5, 8, 12, 14), "equidistant": (4,)}
"""Numbers of coefficients by distortion model. OpenCV's order is the same for the first two."""
LARGEST_COEFFICIENT = 1e12
_LARGEST_TILT = 1.5  # rad
_PINHOLE_COUNTS = COEFFICIENT_COUNTS["rational_polynomial"]
_SAME_AS = {
    "radtan": "plumb_bob",
    "radial_tangential": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "rational": "rational_polynomial",
    "fisheye": "equidistant",
    "equi": "equidistant",
    "kannala_brandt": "equidistant",
    "kannala_brandt4": "equidistant",
    "kannala_brandt8": "equidistant",
    "kb4": "equidistant",
}
_UNDISTORTED = ("none", "pinhole", "perspective", "rectilinear", "modified_brown_conrady", "inverse_brown_conrady")
"""Names that mean no distortion if all coefficients are 0. Other coefficients contradict them, or are not supported."""


def read_distortion(name: str, coefficients: Sequence[float]) -> Tuple[str, Tuple[float, ...]]:
    """Return the distortion model and coefficients that a CameraInfo means.

    Zeros at the end are dropped if there are too many coefficients. A ``plumb_bob`` with more than 5 coefficients is a
    ``rational_polynomial``, as in image_geometry and OpenCV, which only look at their number. "" stands for either.

    Args:
        name: in any case; hyphens and spaces count as underscores.
        coefficients: all 0 means no distortion, except for a fisheye.

    Returns:
        A name and a number of coefficients in `COEFFICIENT_COUNTS`; no coefficients if all are 0.

    Raises:
        CameraError: the model is unknown, or its coefficients are not finite or not as many as the model has.
    """
    values = tuple(float(value) for value in coefficients)
    check_finite(values)
    plain = re.sub(r"[\s-]+", "_", name.strip().lower().strip("\0"))
    model = _SAME_AS.get(plain, plain) or "plumb_bob"
    used = next((len(values) - i for i, value in enumerate(reversed(values)) if value != 0.0), 0)
    if model in _UNDISTORTED:
        if used:
            raise CameraError(
                f"camera distortion_model '{name}' must come with coefficients of 0, has {list(values)}: "
                f"name the model that they belong to, one of {', '.join(COEFFICIENT_COUNTS)}"
            )
        return "plumb_bob", ()
    if model not in COEFFICIENT_COUNTS:
        raise CameraError(_unknown(name))
    if not used:
        return model, ()
    if model == "plumb_bob" and used > 5:
        model = "rational_polynomial"
    counts = COEFFICIENT_COUNTS[model]
    if len(values) in counts:
        return model, values
    fitting = [count for count in counts if used <= count < len(values)]
    if not fitting:
        allowed = counts if model == "equidistant" or used <= 5 else _PINHOLE_COUNTS
        raise CameraError(wrong_count(name or model, allowed, len(values)))
    return model, values[: fitting[0]]


def check_distortion(model: str, values: Sequence[float]) -> None:
    """Check the name, number and size of a lens's coefficients.

    Raises:
        CameraError: the model is unknown, or the coefficients are too many, too few, too large or not finite.
    """
    if model not in COEFFICIENT_COUNTS:
        raise CameraError(_unknown(model))
    counts = COEFFICIENT_COUNTS[model]
    if values and len(values) not in counts:
        raise CameraError(wrong_count(model, counts, len(values)))
    check_finite(values)
    if any(abs(value) > LARGEST_COEFFICIENT for value in values):
        raise CameraError(
            f"camera distortion coefficients must be at most {LARGEST_COEFFICIENT:g} in size, are {list(values)}"
        )
    if len(values) == 14 and max(abs(values[12]), abs(values[13])) > _LARGEST_TILT:
        raise CameraError(
            f"camera distortion must have a tilt of at most {_LARGEST_TILT} rad, has {values[12]} and {values[13]}"
        )


def check_finite(values: Sequence[float]) -> None:
    """Check that all coefficients are finite.

    Raises:
        CameraError: one is not.
    """
    if not all(math.isfinite(value) for value in values):
        raise CameraError(f"camera distortion must be finite numbers, is {list(values)}")


def wrong_count(model: str, counts: Sequence[int], count: int) -> str:
    """Return the message about a wrong number of coefficients."""
    allowed = " or ".join(map(str, counts))
    return f"camera distortion '{model}' must have {allowed} coefficients, has {count}"


def _unknown(name: str) -> str:
    hint = "; a thin prism is a rational_polynomial with 12 coefficients" if "prism" in name.lower() else ""
    return f"camera distortion_model must be one of {', '.join(COEFFICIENT_COUNTS)}, is '{name[:80]}'{hint}"
