import math

import numpy as np
import pytest

from espnet_ros.costmap.camera import CameraModel, camera_from_info, camera_info_fields
from espnet_ros.errors import CameraError
from espnet_ros.types import ImageSize

SIZE = ImageSize(48, 64)
PLAIN = CameraModel(SIZE, 60.0, 50.0, 31.5, 23.5)
DISTORTED = [
    CameraModel(SIZE, 60.0, 50.0, 31.0, 24.0, "plumb_bob", (-0.3, 0.1, 0.001, -0.002, 0.01)),
    CameraModel(SIZE, 60.0, 50.0, 31.0, 24.0, "rational_polynomial", (0.5, 0.1, 0.001, 0.001, 0.01, 0.8, 0.2, 0.02)),
    CameraModel(SIZE, 25.0, 25.0, 31.0, 24.0, "equidistant", (-0.02, 0.004, 0.001, -0.0005)),
]
K = [60.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1]


def test_the_principal_point_looks_forward():
    camera = CameraModel(SIZE, 60.0, 50.0, 31.0, 23.0)
    assert camera.rays()[23, 31].tolist() == [0.0, 0.0, 1.0]


def test_a_ray_is_the_pixels_offset_over_the_focal_length():
    ray = PLAIN.rays()[0, 63]
    assert ray[0] / ray[2] == pytest.approx((63 - 31.5) / 60)
    assert ray[1] / ray[2] == pytest.approx((0 - 23.5) / 50)
    assert np.linalg.norm(ray) == pytest.approx(1.0)


@pytest.mark.parametrize("camera", [PLAIN, *DISTORTED], ids=lambda camera: camera.distortion_model)
def test_projection_inverts_the_rays(camera):
    rays = camera.rays().reshape(-1, 3)
    seen = np.isfinite(rays[:, 2]) & (rays[:, 2] > 0.05)
    rows, columns = np.divmod(np.arange(48 * 64), 64)
    pixels = camera.project(rays[seen] * 7.0)
    assert seen.mean() > 0.9
    assert np.abs(pixels - np.stack([columns, rows], 1)[seen]).max() < 0.02


@pytest.mark.parametrize(("model", "count"), [("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4)])
def test_an_undistorted_camera_has_zeros_for_coefficients(model, count):
    camera = CameraModel(SIZE, 60.0, 50.0, 31.5, 23.5, model)
    assert camera_info_fields(camera)["d"] == [0.0] * count
    zeros = CameraModel(SIZE, 60.0, 50.0, 31.5, 23.5, model, (0.0,) * count)
    point = [[0.3, -0.2, 1.5]]
    np.testing.assert_allclose(camera.project(point), zeros.project(point), rtol=1e-12)
    if model == "rational_polynomial":
        assert np.array_equal(camera.rays(), PLAIN.rays())
        assert np.array_equal(camera.project(point), PLAIN.project(point))


def test_a_fisheye_pixel_at_a_quarter_turn_looks_sideways():
    camera = CameraModel(ImageSize(9, 201), 50.0, 50.0, 100.0, 4.0, "equidistant", (0.0, 0.0, 0.0, 0.0))
    column = 100 + 50 * math.pi / 2
    ray = camera.rays()[4, 179]
    assert column == pytest.approx(178.54, abs=0.01)
    assert ray[2] == pytest.approx(math.cos(79 / 50), abs=1e-6)
    assert ray[2] < 0


def test_half_the_image_looks_the_same_way():
    half = PLAIN.resized(ImageSize(24, 32))
    whole = PLAIN.rays()[10:12, 20:22].mean(axis=(0, 1))
    whole /= np.linalg.norm(whole)
    assert half.rays()[5, 10] == pytest.approx(whole, abs=1e-4)


def test_a_point_behind_the_camera_has_no_pixel():
    assert np.isnan(PLAIN.project([[0.0, 0.0, -1.0]])).all()


def test_binning_and_roi_describe_the_published_image():
    camera = camera_from_info((48, 64), K, [], "", binning=(2, 2), roi=(16, 8, 32, 40))
    assert camera.size == (16, 20)
    assert (camera.fx, camera.fy) == (30.0, 25.0)
    assert (camera.cx, camera.cy) == (
        pytest.approx((31.5 - 16 + 0.5) / 2 - 0.5),
        pytest.approx((23.5 - 8 + 0.5) / 2 - 0.5),
    )


def test_distortion_of_zeros_is_no_distortion():
    assert camera_from_info((48, 64), K, [0.0] * 5, "plumb_bob").distortion == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"k": [0.0] * 9}, "camera fx must be above 0 pixel, is 0.0"),
        ({"k": [math.nan] * 9}, "camera fx must be a finite number, is nan"),
        ({"k": [1.0] * 8}, "camera matrix K must have 9 numbers, has 8"),
        ({"size": (0, 64)}, "camera image must not be empty, is 0x64"),
        ({"distortion_model": "thin_prism"}, "distortion_model must be one of .*, is 'thin_prism'"),
        ({"d": [0.1] * 3}, "must have 4 or 5 coefficients, has 3"),
        ({"d": [math.inf] * 5}, "camera distortion must be finite numbers"),
        ({"roi": (40, 0, 48, 64)}, r"camera roi must lie inside 48x64, is 48x64\+40\+0"),
    ],
)
def test_what_no_camera_can_be_is_refused(changes, reason):
    fields = {"size": (48, 64), "k": K, "d": [], "distortion_model": "plumb_bob", **changes}
    with pytest.raises(CameraError, match=reason):
        camera_from_info(**fields)


@pytest.mark.parametrize("camera", [PLAIN, *DISTORTED])
def test_a_camera_survives_the_fields_of_its_camera_info(camera):
    fields = camera_info_fields(camera)
    size = fields["height"], fields["width"]
    assert camera_from_info(size, fields["k"], fields["d"], fields["distortion_model"]) == camera


def test_a_camera_without_distortion_has_zeros_in_its_camera_info():
    fields = camera_info_fields(PLAIN)
    assert fields["d"] == [0.0] * 5
    assert fields["k"].tolist() == K
    assert fields["r"].tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert fields["p"].tolist() == [60.0, 0, 31.5, 0, 0, 50.0, 23.5, 0, 0, 0, 1, 0]
