"""Intrinsics that are not fx, fy, cx and cy of K: skew, and a P without K."""

import cv2
import numpy as np
import pytest

from espnet_ros.costmap.camera import camera_from_info, camera_info_fields
from espnet_ros.errors import CameraError
from espnet_ros.types import ImageSize

SIZE = (48, 64)
K = [60.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1]
P = [40.0, 0, 30.0, 0, 0, 40.0, 22.0, 0, 0, 0, 1, 0]
FISHEYE = [-0.02, 0.004, 0.001, -0.0005]
RADIAL = [-0.3, 0.1, 0.001, -0.002, 0.01]
SKEWED = [60.0, -3.0, 31.5, 0, 50.0, 23.5, 0, 0, 1]


def test_the_skew_of_a_fisheye_is_that_of_opencv():
    """OpenCV's fisheye calibration, and so that of ROS, estimates a skew unless it is told not to."""
    camera = camera_from_info(SIZE, SKEWED, FISHEYE, "equidistant")
    points = np.random.default_rng(3).normal((0, 0, 1), (0.5, 0.4, 0.1), (200, 3))
    expected, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), np.array(K).reshape(3, 3), np.array(FISHEYE), alpha=-3.0 / 60.0
    )
    np.testing.assert_allclose(camera.project(points), expected[:, 0], atol=1e-9)
    rows, columns = np.mgrid[:48, :64].reshape(2, -1)
    back = camera.project(camera.rays().reshape(-1, 3))
    np.testing.assert_allclose(back, np.column_stack([columns, rows]), atol=1e-3)
    half = camera.resized(ImageSize(24, 32))
    np.testing.assert_allclose(half.project(points), (expected[:, 0] + 0.5) / 2 - 0.5, atol=1e-9)
    assert list(camera_info_fields(camera)["k"]) == SKEWED


def test_the_skew_of_p_counts_and_too_much_of_it_is_refused():
    p = [*P[:1], 2.0, *P[2:]]
    camera = camera_from_info(SIZE, SKEWED, FISHEYE, "equidistant", p=p, image_is_rectified=True)
    assert camera.project([[1.0, 0.5, 2.0]])[0] == pytest.approx([30.0 + 20.0 + 0.5, 22.0 + 10.0])
    ray = camera.rays()[32, 50]
    assert ray / ray[2] == pytest.approx([0.5 - 0.05 * 0.25, 0.25, 1.0], abs=1e-6)
    with pytest.raises(CameraError, match="camera skew must be at most fx, 60.0, is 70.0"):
        camera_from_info(SIZE, [60.0, 70.0, *K[2:]], FISHEYE, "equidistant")


def test_p_takes_the_place_of_a_missing_k():
    camera = camera_from_info(SIZE, [0.0] * 9, [0.0] * 8, "rational_polynomial", p=P)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (40.0, 40.0, 30.0, 22.0)
    for model, d in (("plumb_bob", RADIAL), ("equidistant", [0.0] * 4)):
        with pytest.raises(CameraError, match="camera fx must be above 0"):
            camera_from_info(SIZE, [0.0] * 9, d, model, p=P)
