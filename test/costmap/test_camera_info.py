"""CameraInfo as drivers send it: names and lengths, rectified images, crops, and anything at all."""

import math
import warnings

import numpy as np
import pytest

from espnet_ros.costmap.camera import camera_from_info, camera_info_fields
from espnet_ros.costmap.rectification import is_rectified
from espnet_ros.errors import CameraError
from espnet_ros.types import ImageSize

SIZE = (48, 64)
K = [60.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1]
P = [40.0, 0, 30.0, 0, 0, 40.0, 22.0, 0, 0, 0, 1, 0]
FISHEYE = [-0.02, 0.004, 0.001, -0.0005]
RADIAL = [-0.3, 0.1, 0.001, -0.002, 0.01]
RATIONAL = [0.5, 0.1, 0.001, 0.001, 0.01, 0.8, 0.2, 0.02]
PRISM = [*RATIONAL, 0.001, 0.0, -0.001, 0.0]
TILTED = [*PRISM, 0.01, -0.02]


def _model(name, d, **fields):
    camera = camera_from_info(SIZE, K, d, name, **fields)
    return camera.distortion_model, list(camera.distortion)


@pytest.mark.parametrize(
    ("name", "d", "meant"),
    [
        ("equidistant", [*FISHEYE, 0.0], ("equidistant", FISHEYE)),
        ("equidistant", [*FISHEYE, 0.0, 0.0, 0.0, 0.0], ("equidistant", FISHEYE)),
        ("fisheye", FISHEYE, ("equidistant", FISHEYE)),
        ("Fisheye", [*FISHEYE, 0.0], ("equidistant", FISHEYE)),
        ("kannala_brandt", FISHEYE, ("equidistant", FISHEYE)),
        ("Kannala-Brandt4", FISHEYE, ("equidistant", FISHEYE)),
        ("equidistant", [0.0] * 4, ("equidistant", [])),
        ("fisheye", [], ("equidistant", [])),
        ("none", [], ("plumb_bob", [])),
        ("None", [0.0] * 5, ("plumb_bob", [])),
        ("", [], ("plumb_bob", [])),
        ("", [0.0] * 5, ("plumb_bob", [])),
        ("", RADIAL, ("plumb_bob", RADIAL)),
        ("", RATIONAL, ("rational_polynomial", RATIONAL)),
        ("pinhole", [0.0] * 5, ("plumb_bob", [])),
        ("inverse_brown_conrady", [0.0] * 5, ("plumb_bob", [])),
        ("PLUMB_BOB", RADIAL, ("plumb_bob", RADIAL)),
        ("plumb bob", RADIAL[:4], ("plumb_bob", RADIAL[:4])),
        ("radtan", RADIAL[:4], ("plumb_bob", RADIAL[:4])),
        ("plumb_bob", [*RADIAL, 0.0, 0.0, 0.0], ("plumb_bob", RADIAL)),
        ("plumb_bob", [*RADIAL[:2], *[0.0] * 6], ("plumb_bob", [*RADIAL[:2], 0.0, 0.0])),
        ("plumb_bob", [*RADIAL, *[0.0] * 9], ("plumb_bob", RADIAL)),
        ("plumb_bob", RATIONAL, ("rational_polynomial", RATIONAL)),
        ("rational_polynomial", RADIAL[:4], ("rational_polynomial", RADIAL[:4])),
        ("rational_polynomial", RADIAL, ("rational_polynomial", RADIAL)),
        ("rational_polynomial", RATIONAL, ("rational_polynomial", RATIONAL)),
        ("rational_polynomial", PRISM, ("rational_polynomial", PRISM)),
        ("Rational_Polynomial", TILTED, ("rational_polynomial", TILTED)),
        ("rational_polynomial", [*RATIONAL, 0.0], ("rational_polynomial", RATIONAL)),
    ],
)
def test_names_and_lengths_of_drivers_mean_what_they_mean(name, d, meant):
    assert _model(name, d) == meant


@pytest.mark.parametrize(
    ("name", "d", "reason"),
    [
        ("equidistant", [*FISHEYE, 0.1], "'equidistant' must have 4 coefficients, has 5"),
        ("fisheye", FISHEYE[:3], "'fisheye' must have 4 coefficients, has 3"),
        ("none", RADIAL, "'none' must come with coefficients of 0, has"),
        ("inverse_brown_conrady", RADIAL, "'inverse_brown_conrady' must come with coefficients of 0"),
        ("plumb_bob", [0.1] * 6, "'plumb_bob' must have 4 or 5 or 8 or 12 or 14 coefficients, has 6"),
        ("rational_polynomial", [0.1] * 15, "must have 4 or 5 or 8 or 12 or 14 coefficients, has 15"),
        ("mei", [0.1] * 5, "must be one of plumb_bob, rational_polynomial, equidistant, is 'mei'"),
        ("omnidirectional", [], "is 'omnidirectional'"),
        ("thin_prism_fisheye", PRISM, "a thin prism is a rational_polynomial with 12 coefficients"),
        ("equidistant", [math.nan] * 4, "must be finite numbers"),
        ("none", [math.nan], "must be finite numbers"),
        ("plumb_bob", [1e30, 0, 0, 0, 0], r"must be at most 1e\+12 in size"),
        ("rational_polynomial", [*PRISM, 1.57, 0.0], "must have a tilt of at most 1.5 rad, has 1.57"),
    ],
)
def test_distortion_that_means_nothing_is_refused_by_name(name, d, reason):
    with pytest.raises(CameraError, match=reason):
        _model(name, d)


@pytest.mark.parametrize("name", ["equidistant", "fisheye", "kannala_brandt"])
def test_a_fisheye_with_coefficients_of_zero_is_not_a_pinhole(name):
    camera = camera_from_info(SIZE, K, [0.0] * 4, name)
    # half a radian to the right
    assert camera.project([[math.sin(0.5), 0.0, math.cos(0.5)]])[0] == pytest.approx([31.5 + 0.5 * 60.0, 23.5])


@pytest.mark.parametrize(
    ("k", "reason"),
    [
        ([0.0] * 9, r"camera fx must be above 0 pixel, is 0.0 \(an uncalibrated camera\?\)"),
        ([60.0, 5.0, 31.5, 0, 50.0, 23.5, 0, 0, 1], r"camera matrix K must be \[fx 0 cx; 0 fy cy; 0 0 1\]"),
        ([60.0, 0, 31.5, 3.0, 50.0, 23.5, 0, 0, 1], "camera matrix K must be"),
        ([60.0, 0, 0, 0, 50.0, 0, 31.5, 23.5, 1], "camera matrix K must be"),
        ([60.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 2], "camera matrix K must be"),
        ([60.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, math.nan], "camera matrix K must be"),
        ([1e300, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1], r"camera fx must be from 0.01 to 1e\+07 pixels, is 1e\+300"),
        ([60.0, 0, -1e9, 0, 50.0, 23.5, 0, 0, 1], "camera cx must be at most"),
    ],
)
def test_a_matrix_that_is_none_of_a_camera_is_refused(k, reason):
    with pytest.raises(CameraError, match=reason):
        camera_from_info(SIZE, k, [], "plumb_bob")


def test_a_rectified_image_has_the_intrinsics_p_and_no_distortion():
    camera = camera_from_info(SIZE, K, RADIAL, "plumb_bob", p=P, image_is_rectified=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (40.0, 40.0, 30.0, 22.0)
    assert not camera.is_distorted
    raw = camera_from_info(SIZE, K, RADIAL, "plumb_bob", p=P)
    assert (raw.fx, list(raw.distortion)) == (60.0, RADIAL)


def test_a_rectified_fisheye_is_a_pinhole():
    camera = camera_from_info(SIZE, K, FISHEYE, "equidistant", p=P, image_is_rectified=True)
    assert camera.project([[1.0, 0.5, 2.0]])[0] == pytest.approx([30.0 + 20.0, 22.0 + 10.0])


def test_rows_of_a_rectified_image_hit_the_ground_where_p_says():
    # calibration of an image_rect whose camera_info keeps the raw image's D
    k, d = [604.9, 0, 636.9, 0, 604.9, 367.5, 0, 0, 1], [-0.32, 0.12, 0, 0, -0.02]
    p = [500.0, 0, 640.0, 0, 0, 500.0, 360.0, 0, 0, 0, 1, 0]
    ray = camera_from_info((720, 1280), k, d, "plumb_bob", p=p, image_is_rectified=True).rays()[700, 640]
    # 340 pixels below the centre at a focal length of 500, from a height of 1.2 m
    assert 1.2 * ray[2] / ray[1] == pytest.approx(1.2 * 500 / 340, abs=1e-4)


@pytest.mark.parametrize(("p", "model", "d"), [([0.0] * 12, "plumb_bob", RADIAL), ([], "equidistant", [0.0] * 4)])
def test_a_rectified_image_without_p_is_refused_unless_it_has_no_distortion(p, model, d):
    with pytest.raises(CameraError, match="projection matrix P must be given for a rectified image, is all 0"):
        camera_from_info(SIZE, K, d, model, p=p, image_is_rectified=True)
    camera = camera_from_info(SIZE, K, [0.0] * 5, "plumb_bob", p=p, image_is_rectified=True)
    assert camera == camera_from_info(SIZE, K, [], "plumb_bob")


def test_the_rays_of_a_rectified_image_are_in_the_frame_of_the_camera():
    # the rectified frame is the camera's, turned by 10 degrees about y: what lies ahead appears to the side
    angle = math.radians(10)
    r = [math.cos(angle), 0, math.sin(angle), 0, 1, 0, -math.sin(angle), 0, math.cos(angle)]
    camera = camera_from_info(SIZE, K, RADIAL, "plumb_bob", p=P, r=r, image_is_rectified=True)
    assert camera.project([[0.0, 0.0, 1.0]])[0] == pytest.approx([30.0 + 40.0 * math.tan(angle), 22.0])
    # the rectified image's centre looks to the other side
    assert camera.rays()[22, 30] == pytest.approx([-math.sin(angle), 0.0, math.cos(angle)], abs=1e-6)
    fields = camera_info_fields(camera)
    assert fields["r"].tolist() == r
    again = camera_from_info(
        SIZE,
        fields["k"],
        fields["d"],
        fields["distortion_model"],
        p=fields["p"],
        r=fields["r"],
        image_is_rectified=True,
    )
    assert again == camera


@pytest.mark.parametrize("r", [[1.0] * 9, [math.nan] * 9, [1, 0, 0, 0, 1, 0, 0, 0, -1], [1e200] * 9])
def test_a_rectification_that_is_no_rotation_is_refused(r):
    with pytest.raises(CameraError, match="camera rectification matrix R must be a rotation"):
        camera_from_info(SIZE, K, RADIAL, "plumb_bob", p=P, r=r, image_is_rectified=True)
    assert camera_from_info(SIZE, K, RADIAL, "plumb_bob", p=P, r=r).fx == 60.0


def test_a_rectification_of_zeros_is_none():
    with_zeros = camera_from_info(SIZE, K, RADIAL, "plumb_bob", p=P, r=[0.0] * 9, image_is_rectified=True)
    assert with_zeros == camera_from_info(SIZE, K, RADIAL, "plumb_bob", p=P, image_is_rectified=True)


@pytest.mark.parametrize(
    "topic",
    [
        "/camera/image_rect",
        "/image_rect_color",
        "/left/image_rect/compressed",
        "/rect/image",
        "/infra1/image_rect_raw",
        "/camera/imageRect",
        "/camera/image_rectified",
        "/camera/IMAGE_RECT",
    ],
)
def test_a_topic_with_the_word_rect_is_rectified(topic):
    assert is_rectified("auto", topic)
    assert not is_rectified("false", topic)


@pytest.mark.parametrize(
    "topic",
    ["/camera/image_raw", "/direct/image", "/image_correct", "/rectangle/image", "/unrectified", "/erect/image"],
)
def test_a_topic_without_the_word_rect_is_not(topic):
    assert not is_rectified("auto", topic)
    assert is_rectified("true", topic)


@pytest.mark.parametrize(
    ("calibrated", "image"),
    [((480, 640), (720, 1280)), ((1024, 1280), (720, 1280)), ((1080, 1920), (480, 640)), ((48, 64), (64, 48))],
)
def test_another_aspect_ratio_is_refused_with_both_sizes(calibrated, image):
    height, width = calibrated
    camera = camera_from_info(calibrated, [500.0, 0, width / 2, 0, 500.0, height / 2, 0, 0, 1], [], "plumb_bob")
    with pytest.raises(CameraError, match=f"{height}x{width}, is {image[0]}x{image[1]}"):
        camera.resized(ImageSize(*image))


@pytest.mark.parametrize(
    ("calibrated", "image"),
    [((480, 640), (240, 320)), ((480, 640), (960, 1280)), ((370, 1226), (155, 512)), ((1080, 1920), (338, 600))],
)
def test_the_same_aspect_ratio_up_to_rounding_is_a_resize(calibrated, image):
    height, width = calibrated
    camera = camera_from_info(calibrated, [500.0, 0, width / 2, 0, 500.0, height / 2, 0, 0, 1], [], "plumb_bob")
    resized = camera.resized(ImageSize(*image))
    assert resized.size == image
    assert resized.fx / resized.fy == pytest.approx(1.0, abs=0.01)


def test_a_region_of_interest_explains_another_aspect_ratio():
    k = [800.0, 0, 639.5, 0, 800.0, 511.5, 0, 0, 1]
    camera = camera_from_info((1024, 1280), k, [], "plumb_bob", roi=(0, 152, 720, 1280)).resized(ImageSize(720, 1280))
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (800.0, 800.0, 639.5, 511.5 - 152)


def test_unequal_binning_explains_another_aspect_ratio():
    camera = camera_from_info((480, 640), [500.0, 0, 319.5, 0, 500.0, 239.5, 0, 0, 1], [], "plumb_bob", binning=(1, 2))
    assert camera.resized(ImageSize(240, 640)) is camera
    assert (camera.fx, camera.fy) == (500.0, 250.0)


def test_a_region_of_interest_moves_the_centre_of_a_rectified_image():
    camera = camera_from_info(SIZE, K, RADIAL, "plumb_bob", roi=(8, 4, 24, 32), p=P, image_is_rectified=True)
    assert (camera.size, camera.cx, camera.cy) == ((24, 32), 22.0, 18.0)


def test_a_region_of_the_whole_sensor_changes_nothing():
    assert camera_from_info(SIZE, K, [], "", roi=(0, 0, 48, 64)) == camera_from_info(SIZE, K, [], "")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"roi": (70, 0, 0, 0)}, r"camera roi must lie inside 48x64, is 0x0\+70\+0"),
        ({"roi": (0, 48, 0, 0)}, r"is 0x0\+0\+48"),
        ({"roi": (0, 0, 49, 0)}, r"is 49x0\+0\+0"),
        ({"binning": (65, 1)}, "camera binning must be at most the image, 48x64, is 1x65"),
        ({"size": (4_000_000_000, 64)}, "must have at most 65535 pixels a side"),
        ({"size": (60_000, 60_000)}, "must have at most 67108864 pixels, is 60000x60000"),
    ],
)
def test_crops_that_leave_no_image_are_refused(fields, reason):
    with pytest.raises(CameraError, match=reason):
        camera_from_info(**{"size": SIZE, "k": K, "d": [], "distortion_model": "", **fields})


def test_any_camera_info_gives_a_camera_or_one_error():
    rng = np.random.default_rng(21)
    odd = [0.0, -0.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-308, 1e12, -1e12, 1.0, -1.0, 1e6, 0.5]
    names = ["plumb_bob", "rational_polynomial", "equidistant", "fisheye", "none", "", "mei", "\0", "ÿ" * 300, "RADTAN"]
    sides = [0, 1, 2, 3, 30, 48, 64, 100, 65_535, 65_536, 2**32 - 1]

    def numbers(count, usual, share):
        drawn = np.array(usual[:count] + [0.0] * (count - len(usual)))
        spoiled = rng.random(count) < share
        drawn[spoiled] = rng.choice(odd, spoiled.sum())
        return drawn.tolist()

    cameras, errors = 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(300):
            share = rng.choice([0.0, 0.1, 0.5])
            d = numbers(
                int(rng.choice([0, 1, 4, 5, 6, 8, 12, 14, 15], p=[0.05, 0.05, 0.3, 0.1, 0.05, 0.2, 0.1, 0.1, 0.05])),
                rng.normal(0, 1, 14).tolist(),
                share,
            )
            try:
                camera = camera_from_info(
                    tuple(int(rng.choice(sides)) for _ in range(2)) if share and rng.random() < 0.3 else SIZE,
                    numbers(9, K, share * 0.3),
                    d,
                    names[rng.choice(len(names), p=[0.2, 0.3, 0.2, 0.1, *[0.2 / 6] * 6])],
                    tuple(int(rng.choice([0, 1, 2, 100, 2**32 - 1], p=[0.7, 0.1, 0.16, 0.02, 0.02])) for _ in range(2)),
                    tuple(int(rng.choice(sides)) for _ in range(4)) if rng.random() < share else (0, 0, 0, 0),
                    numbers(12, P, share * 0.3),
                    numbers(9, [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0], share * 0.3),
                    bool(rng.random() < 0.3),
                )
            except CameraError:
                errors += 1
                continue
            cameras += 1
            if camera.size.height * camera.size.width < 10_000:
                rays = camera.rays().reshape(-1, 3)
                seen = np.isfinite(rays).all(axis=1)
                assert np.isnan(rays[~seen]).all()
                np.testing.assert_allclose(np.linalg.norm(rays[seen], axis=1), 1.0, atol=1e-5)
                assert camera.project(rng.normal(0, 1, (20, 3))).shape == (20, 2)
    assert min(cameras, errors) > 50
