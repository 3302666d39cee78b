"""Rays against bisection on the first branch, and projections against OpenCV."""

import cv2
import numpy as np
import pytest
from published_cameras import (
    PUBLISHED,
    first_branch_angle,
    first_branch_tangent,
    opencv_image,
    published,
    random_lens,
    reached_from_centre,
)

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.types import ImageSize

SIZE = ImageSize(48, 64)
PINHOLES = [("plumb_bob", 4), ("plumb_bob", 5), *(("rational_polynomial", count) for count in (8, 12, 14))]
STRENGTHS = (0.5, 2.0)
FISHEYES = [name for name, row in PUBLISHED.items() if row[6] == "equidistant"]


def _angles(camera):
    """Angle between each pixel's ray and the optical axis."""
    rays = camera.rays().astype(float)
    return np.arctan2(np.hypot(rays[..., 0], rays[..., 1]), rays[..., 2])


def _radii(camera):
    """Distance of each pixel from the principal point, at focal length 1."""
    rows, columns = np.mgrid[: camera.size.height, : camera.size.width]
    return np.hypot((columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy)


def _random_camera(rng, model, count, strength):
    focal = rng.uniform(10, 90)
    centre = 31.5 + rng.normal(), 23.5 + rng.normal()
    return CameraModel(
        SIZE, focal, focal * rng.uniform(0.9, 1.1), *centre, model, random_lens(rng, model, count, strength)
    )


def _assert_is_inverse(camera, tolerance=0.01):
    rays = camera.rays().reshape(-1, 3)
    seen = np.flatnonzero(np.isfinite(rays[:, 2]))
    rows, columns = np.divmod(seen, camera.size.width)
    error = np.abs(camera.project(rays[seen] * 3.0) - np.column_stack([columns, rows]))
    assert error.max(initial=0.0) < tolerance
    return len(seen) / len(rays)


def _assert_first_branch(found, wanted, radii, limit, pixel):
    """Compare away from the limit by half a pixel: there, the inverse has no slope."""
    inside, outside = radii < limit - pixel / 2, radii > limit + pixel / 2
    assert np.isfinite(found[inside]).all()
    assert np.isnan(found[outside]).all()
    assert np.abs(found - wanted)[inside].max(initial=0.0) < 1e-4


@pytest.mark.parametrize("name", PUBLISHED)
def test_rays_of_published_cameras_project_back_onto_their_pixels(name):
    # The polynomial of one of them stops growing at 65 degrees, far inside the image.
    # Another has a pole inside the image, around which numbers are too coarse for the rays.
    share = _assert_is_inverse(published(name), 0.5 if name == "Rational" else 0.01)
    assert share >= {"Vilota": 0.28, "Rational": 0.99}.get(name, 1.0)


def test_the_ray_before_a_pole_is_not_that_beyond_it():
    camera = published("Rational")
    radii = _radii(camera)[::5, ::5]
    wanted, _ = first_branch_tangent((*camera.distortion[:2], 0.0, 0.0, *camera.distortion[4:]), radii.reshape(-1))
    found = _angles(camera)[::5, ::5].reshape(-1)
    both = np.isfinite(found) & np.isfinite(wanted)
    assert both.mean() > 0.85  # the oracle samples too coarsely to follow the image up to the pole
    # The tangential terms, which the oracle leaves out, are worth a tenth of a degree.
    assert np.degrees(np.abs(found - np.arctan(wanted))[both]).max() < 0.2


@pytest.mark.parametrize("name", FISHEYES)
def test_rays_of_published_fisheyes_are_on_the_first_branch(name):
    camera = published(name)
    radii = _radii(camera)[::5, ::5]
    wanted, limit = first_branch_angle(camera.distortion, radii)
    _assert_first_branch(_angles(camera)[::5, ::5], wanted, radii, limit, 1 / camera.fx)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_rays_of_random_fisheyes_are_on_the_first_branch(strength):
    rng = np.random.default_rng(15)
    folded = 0
    for _ in range(20):
        camera = _random_camera(rng, "equidistant", 4, strength)
        radii = _radii(camera)
        wanted, limit = first_branch_angle(camera.distortion, radii)
        _assert_first_branch(_angles(camera), wanted, radii, limit, 1 / camera.fx)
        _assert_is_inverse(camera)
        folded += bool((radii > limit).any())
    assert folded > 0


@pytest.mark.parametrize(("model", "count"), PINHOLES[1:3])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_rays_of_random_radial_lenses_are_on_the_first_branch(model, count, strength):
    rng = np.random.default_rng(16)
    folded = 0
    for _ in range(10):
        drawn = _random_camera(rng, model, count, strength)
        d = (*drawn.distortion[:2], 0.0, 0.0, *drawn.distortion[4:])
        camera = CameraModel(SIZE, drawn.fx, drawn.fy, drawn.cx, drawn.cy, model, d)
        radii = _radii(camera).reshape(-1)[::5]
        wanted, limit = first_branch_tangent(d, radii)
        wanted = np.arctan(wanted)
        _assert_first_branch(_angles(camera).reshape(-1)[::5], wanted, radii, limit, 1 / camera.fx)
        folded += bool((radii > limit).any())
    assert folded > 0 or strength < 1


@pytest.mark.parametrize(("model", "count"), PINHOLES)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_rays_of_random_lenses_are_reached_from_the_centre_and_none_is_missing(model, count, strength):
    rng = np.random.default_rng(17)
    for _ in range(3):
        camera = _random_camera(rng, model, count, strength)
        _assert_is_inverse(camera)
        rays = camera.rays()
        has_ray = np.isfinite(rays[..., 2])
        chosen = rays[has_ray][::97].astype(float)
        tangents = chosen[:, :2] / chosen[:, 2:]
        assert reached_from_centre(camera.distortion, tangents * (1 - 1e-4)).all()
        # Points that are reached from the centre lie on a pixel with a ray, or next to one where the image ends.
        angle = rng.uniform(-np.pi, np.pi, 80)
        points = np.tan(rng.uniform(0, 1.5, 80))[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        points = points[reached_from_centre(camera.distortion, points * 1.02)]
        image = opencv_image(camera.distortion, np.column_stack([points, np.ones(len(points))]))
        column, row = np.rint(image * (camera.fx, camera.fy) + (camera.cx, camera.cy)).T
        inside = (column >= 0) & (column < SIZE.width) & (row >= 0) & (row < SIZE.height)
        nearby = cv2.dilate(has_ray.astype(np.uint8), np.ones((3, 3), np.uint8))
        assert nearby[row[inside].astype(int), column[inside].astype(int)].all()


@pytest.mark.parametrize(("model", "count"), PINHOLES)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_pinhole_projection_is_that_of_opencv_up_to_the_fold(model, count, strength):
    rng = np.random.default_rng(18)
    for _ in range(3):
        camera = _random_camera(rng, model, count, strength)
        points = rng.normal((0, 0, 1), 1, (80, 3))
        found = camera.project(points)
        seen = np.isfinite(found[:, 0])
        assert not seen[points[:, 2] <= 0].any()
        image = opencv_image(camera.distortion, points[seen])
        np.testing.assert_allclose(found[seen], image * (camera.fx, camera.fy) + (camera.cx, camera.cy), atol=1e-6)
        front = points[points[:, 2] > 0]
        reached, well_reached = (
            reached_from_centre(camera.distortion, front[:, :2] / front[:, 2:] * scale) for scale in (0.99, 1.01)
        )
        shown = np.isfinite(camera.project(front)[:, 0])
        assert not shown[~reached].any()
        assert shown[well_reached].all()


def test_fisheye_projection_is_that_of_opencv_in_front():
    rng = np.random.default_rng(19)
    for name in FISHEYES:
        camera = published(name)
        points = rng.normal((0, 0, 0.5), (1, 1, 0), (500, 3))
        image, _ = cv2.fisheye.projectPoints(
            points[:, None], np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion)
        )
        found = camera.project(points)
        seen = np.isfinite(found[:, 0])
        assert seen.all() or name == "Vilota"  # whose image stops growing at 65 degrees
        assert seen.any()
        np.testing.assert_allclose(found[seen], image[seen, 0], atol=1e-6)


def test_a_fisheye_shows_points_behind_the_image_plane_up_to_its_limit():
    camera = CameraModel(ImageSize(201, 201), 30.0, 30.0, 100.0, 100.0, "equidistant", (0.0, 0.0, 0.0, 0.0))
    # 120 degrees from the axis, to the right: 30 * 2 pi / 3 pixels
    behind = [math_sin(120), 0.0, math_cos(120)]
    assert camera.project([behind])[0] == pytest.approx([100 + 30 * 2 * np.pi / 3, 100.0])
    # theta - theta^3 / 12 stops growing at theta = 2, which is 114.6 degrees, with a radius of 4 / 3
    folding = CameraModel(ImageSize(201, 201), 60.0, 60.0, 100.0, 100.0, "equidistant", (-1 / 12, 0.0, 0.0, 0.0))
    assert np.isnan(folding.project([behind])).all()
    assert folding.project([[math_sin(114), 0.0, math_cos(114)]])[0, 0] == pytest.approx(180.0, abs=0.01)
    assert np.isfinite(folding.rays()[100, 179]).all()
    assert np.isnan(folding.rays()[100, 181]).all()


def test_nothing_is_seen_beyond_half_a_turn():
    camera = CameraModel(ImageSize(3, 401), 50.0, 50.0, 200.0, 1.0, "equidistant", ())
    # 50 pi = 157 pixels
    assert np.isfinite(camera.rays()[1, 200 + 157]).all()
    assert np.isnan(camera.rays()[1, 200 + 158 :]).all()
    assert camera.blind_share() == pytest.approx(1 - 315 / 401, abs=0.002)


def test_the_ray_of_a_folding_lens_ends_where_calculus_says():
    # r (1 - r^2 / 3) stops growing at r = 1, with a radius of 2 / 3: 66.7 pixels
    camera = CameraModel(ImageSize(3, 201), 100.0, 100.0, 100.0, 1.0, "plumb_bob", (-1 / 3, 0.0, 0.0, 0.0, 0.0))
    rays = camera.rays()[1]
    assert np.isfinite(rays[100 - 66 : 100 + 67]).all()
    assert np.isnan(rays[: 100 - 66]).all()
    assert np.isnan(rays[100 + 67 :]).all()
    assert np.isnan(camera.project([[1.1, 0.0, 1.0]])).all()
    # r = 0.5 has a radius of 0.5 - 0.125 / 3
    assert camera.project([[0.5, 0.0, 1.0]])[0] == pytest.approx([100 + 100 * (0.5 - 0.125 / 3), 1.0])


def test_rays_end_before_the_pole_of_a_rational_lens():
    # r / (1 - r^2) reaches every radius before its pole at r = 1: no ray is steeper than 45 degrees
    d = (0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0)
    camera = CameraModel(ImageSize(3, 201), 1.0, 1.0, 100.0, 1.0, "rational_polynomial", d)
    angle = _angles(camera)[1]
    assert np.isfinite(angle).all()
    assert angle[200] == pytest.approx(np.pi / 4, abs=0.003)
    assert angle.max() < np.pi / 4
    assert np.isnan(camera.project([[1.2, 0.0, 1.0]])).all()


def math_sin(degrees):
    return float(np.sin(np.radians(degrees)))


def math_cos(degrees):
    return float(np.cos(np.radians(degrees)))
