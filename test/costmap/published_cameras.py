"""Published calibrations of real cameras, and an independent inverse of their lenses by bisection."""

import cv2
import numpy as np

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.types import ImageSize

PUBLISHED = {
    # stella-cv/stella_vslam_ros, issue 7
    "T265 a": (
        800,
        848,
        286.1572,
        286.0080,
        423.5339,
        401.7678,
        "equidistant",
        (-0.0092746, 0.0461914, -0.043395, 0.0080225),
    ),
    # realsenseai/realsense-ros, issue 679
    "T265 b": (
        800,
        848,
        285.6467,
        286.6850,
        424.5740,
        408.1993,
        "equidistant",
        (-0.0021745, 0.0376055, -0.0364043, 0.0059369),
    ),
    # realsenseai/librealsense, issue 3621
    "T265 c": (
        800,
        848,
        286.2216,
        287.4801,
        419.4670,
        386.9751,
        "equidistant",
        (-0.0043482, 0.0371257, -0.0355394, 0.005773),
    ),
    # rennybird/Vilota-Internship, Analytical/README.md, at half its size
    "Vilota": (640, 960, 311.0, 311.0, 482.5, 315.5, "equidistant", (-0.256, -0.0015, 0.0007, -0.0002)),
    # opencv/opencv, issue 10947: the camera of OpenCV's own tests
    "OpenCV": (
        800,
        1280,
        558.4781,
        560.5068,
        620.4585,
        381.9394,
        "equidistant",
        (-0.0014613, -0.0032986, 0.0060576, -0.0037421),
    ),
    # opencv/opencv, issue 20736, at an eighth of its size
    "Rational": (
        *(270, 480, 302.724, 302.724, 239.5141, 135.8558, "rational_polynomial"),
        (2.99721646, -6.09288263, 0.000574625, -4.857e-05, -1.26187623, 3.53409386, -4.27079391, -5.302351952),
    ),
    # TUM visual-inertial dataset, 512_16, cam0
    "TUM-VI": (
        512,
        512,
        190.9785,
        190.9733,
        254.9317,
        256.8974,
        "equidistant",
        (0.0034824, 0.000715, -0.0020532, 0.0002029),
    ),
    # EuRoC MAV dataset, cam0
    "EuRoC": (
        480,
        752,
        458.654,
        457.296,
        367.215,
        248.375,
        "plumb_bob",
        (-0.28340811, 0.07395907, 0.00019359, 1.76187e-05),
    ),
    # ahoarau/mekabot, m3qa/ros_config/cameras/pg2_800x600_calib.yml.iss
    "PointGrey": (
        600,
        800,
        538.63,
        539.723,
        457.698,
        297.003,
        "plumb_bob",
        (-0.30678, 0.0825017, 0.0028784, -0.00015829, 0.0),
    ),
    # etiennedub/pyk4a, issue 35: an Azure Kinect's colour camera, at an eighth of its size
    "Azure Kinect colour": (
        *(384, 512, 245.181, 245.168, 253.786, 194.770, "rational_polynomial"),
        (0.3267463, -2.3125675, 0.000783831, -0.00038163, 1.3249307, 0.2121517, -2.1464963, 1.2583736),
    ),
    # microsoft/Azure-Kinect-Sensor-SDK, issue 1488: its depth camera, at half its size
    "Azure Kinect depth": (
        *(512, 512, 251.924, 251.869, 256.256, 253.989, "rational_polynomial"),
        (4.7247367, 3.2092228, 5.8798e-06, 0.00012382, 0.1705965, 5.0558596, 4.7757802, 0.8864942),
    ),
}


def published(name):
    height, width, *rest = PUBLISHED[name]
    return CameraModel(ImageSize(height, width), *rest)


def random_lens(rng, model, count, strength=1.0):
    """Random coefficients; with a strength of 3, most lenses fold inside the image."""
    if model == "equidistant":
        return tuple(rng.normal(0, strength, 4) * (0.1, 0.05, 0.03, 0.01))
    scale = (0.4, 0.3, 0.01, 0.01, 0.2, 0.5, 0.3, 0.1, 0.01, 0.01, 0.01, 0.01, 0.03, 0.03)[:count]
    return tuple(rng.normal(0, strength, count) * scale)


def first_branch_angle(k, radius):
    """Bisect for the smallest angle with this image radius at focal length 1: (N,) radii to angles, NaN for none.

    Also returns the radius at which the image stops growing.
    """
    angles = np.linspace(0, np.pi, 40_001)
    curve = _fisheye_radius(k, angles)
    falls = np.flatnonzero(np.diff(curve) <= 0)
    end = falls[0] if len(falls) else len(curve) - 1
    return _bisect(lambda angle: _fisheye_radius(k, angle), radius, angles[end], curve[end]), curve[end]


def first_branch_tangent(d, radius):
    """The same for the tangent of the angle in a pinhole lens that only has radial terms; OpenCV projects."""

    def image(tangents):
        points = np.stack([tangents, np.zeros_like(tangents), np.ones_like(tangents)], axis=1)
        return opencv_image(d, points)[:, 0]

    k4, k5, k6 = (*d, 0.0, 0.0, 0.0, 0.0)[5:8]
    tangents = np.append(np.linspace(0, 20, 80_000, endpoint=False), np.geomspace(20, 1e4, 10_000))
    square = tangents**2
    curve = image(tangents)
    ends = np.flatnonzero((np.diff(curve) <= 0) | (1 + square * (k4 + square * (k5 + square * k6)) <= 0)[1:])
    end = ends[0] if len(ends) else len(curve) - 1
    return _bisect(image, radius, tangents[end], curve[end]), curve[end]


def opencv_image(d, points):
    """Image of (N, 3) points at focal length 1, by OpenCV."""
    found, _ = cv2.projectPoints(
        np.ascontiguousarray(points)[:, None], np.zeros(3), np.zeros(3), np.eye(3), np.array(d)
    )
    return found[:, 0]


def reached_from_centre(d, points):
    """Whether the image of a pinhole lens neither folds nor has a pole on the way to each of (N, 2) points.

    The determinant is that of central differences of OpenCV's projection.
    """
    steps = np.geomspace(1e-3, 1, 250)[:, None, None]
    way = (steps * points).reshape(-1, 2)
    width = 1e-6 * np.maximum(np.linalg.norm(way, axis=1), 1e-2)
    image = [
        opencv_image(d, np.column_stack([way + width[:, None] * side, np.ones(len(way))]))
        for side in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    along_x, along_y = image[0] - image[1], image[2] - image[3]
    grows = along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0] > 0
    k4, k5, k6 = (*d, *[0.0] * 4)[5:8]
    square = (way**2).sum(axis=1)
    has_no_pole = 1 + square * (k4 + square * (k5 + square * k6)) > 0
    return (grows & has_no_pole).reshape(len(steps), -1).all(axis=0)


def _fisheye_radius(k, angle):
    return angle + k[0] * angle**3 + k[1] * angle**5 + k[2] * angle**7 + k[3] * angle**9


def _bisect(function, wanted, end, largest):
    low, high = np.zeros_like(wanted), np.full_like(wanted, end)
    for _ in range(50):
        middle = (low + high) / 2
        is_below = function(middle) < wanted
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return np.where(wanted <= largest, (low + high) / 2, np.nan)
