"""Whether an image is rectified, and the intrinsics of rectified images."""

from __future__ import annotations

import re
from typing import Sequence, Tuple

import numpy as np

from espnet_ros.errors import CameraError

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_RECTIFIED = re.compile(r"rect(ified)?\d*")
_ROTATION_TOLERANCE = 1e-3


def is_rectified(setting: str, topic: str) -> bool:
    """Return whether the images of a topic are rectified.

    Args:
        setting: the parameter ``image_is_rectified``. ``auto`` looks for the word ``rect`` in the topic's name, as in
            ``image_rect_color``.
        topic: full name of the topic, after remapping.
    """
    if setting != "auto":
        return setting == "true"
    return any(_RECTIFIED.fullmatch(word.lower()) for word in _WORDS.findall(topic))


def rectified_matrix(p: Sequence[float], k: Sequence[float], is_undistorted: bool) -> Tuple[float, ...]:
    """Return the nine numbers of the camera matrix of the rectified image, in row-major order.

    Args:
        p: projection matrix P, twelve numbers. Its fourth column, the baseline of a stereo pair, is not used.
        k: camera matrix K of the raw image, nine numbers.
        is_undistorted: the raw image has no distortion, so that K is as good as P if P is not filled in.

    Raises:
        CameraError: P has another length or is all 0.
    """
    if len(p) not in (0, 12):
        raise CameraError(f"camera projection matrix P must have 12 numbers, has {len(p)}")
    if not any(value != 0.0 for value in p):
        if is_undistorted:
            return tuple(map(float, k))
        raise CameraError(
            "camera projection matrix P must be given for a rectified image, is all 0: calibrate the camera anew, or "
            "set image_is_rectified to false if the image is not rectified"
        )
    return tuple(float(p[index]) for index in (0, 1, 2, 4, 5, 6, 8, 9, 10))


def rectifying_rotation(r: Sequence[float]) -> Tuple[float, ...]:
    """Return the rotation from the camera's frame to that of the rectified image; empty for none.

    Args:
        r: rectification matrix R, nine numbers in row-major order; all 0 means that there is none.

    Raises:
        CameraError: R is not a rotation.
    """
    if len(r) not in (0, 9):
        raise CameraError(f"camera rectification matrix R must have 9 numbers, has {len(r)}")
    if not any(value != 0.0 for value in r):
        return ()
    matrix = np.array(r, np.float64).reshape(3, 3)
    if not is_rotation(matrix):
        raise CameraError(f"camera rectification matrix R must be a rotation, is {[float(value) for value in r]}")
    return () if np.array_equal(matrix, np.eye(3)) else tuple(map(float, r))


def is_rotation(matrix: np.ndarray) -> bool:
    """Return whether a (3, 3) matrix is a rotation, to three digits."""
    if not (np.abs(matrix) < 2.0).all():  # also refuses NaN, and numbers too large to multiply
        return False
    is_orthogonal = np.abs(matrix @ matrix.T - np.eye(3)).max() <= _ROTATION_TOLERANCE
    return bool(is_orthogonal and np.linalg.det(matrix) > 0.0)
