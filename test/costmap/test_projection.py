import math

import numpy as np
import pytest
from published_cameras import random_lens
from scene import mount

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.projection import GroundProjector, build_view
from espnet_ros.errors import CameraError
from espnet_ros.types import ImageSize

CAMERA = CameraModel(ImageSize(120, 160), 100.0, 100.0, 79.5, 59.5)
DISTORTED = CameraModel(ImageSize(120, 160), 100.0, 100.0, 79.5, 59.5, "plumb_bob", (-0.25, 0.06, 0.001, 0.001, 0.0))
FISHEYE = CameraModel(ImageSize(120, 160), 60.0, 60.0, 79.5, 59.5, "equidistant", (0.01, -0.003, 0.0, 0.0))


def _view(camera=CAMERA, pose=None, resolution=0.1, near=0.5, far=10.0):
    return build_view(camera, mount() if pose is None else pose, resolution, near, far)


def test_the_row_below_the_horizon_lies_where_trigonometry_puts_it():
    view = _view(pose=mount(height=1.0, pitch=30.0))
    middle = view.pixel.shape[1] // 2
    # row 59.5 looks 30 degrees down, and meets the ground 1 / tan(30) = 1.732 m ahead
    row = view.pixel[:, middle] // 160
    at = np.interp(59.5, row[~view.hidden[:, middle]][::-1], view.ranges[~view.hidden[:, middle]][::-1])
    assert at == pytest.approx(1 / math.tan(math.radians(30)), abs=0.03)


FOLDING = CameraModel(ImageSize(120, 160), 40.0, 40.0, 79.5, 59.5, "equidistant", (-1 / 12, 0.0, 0.0, 0.0))


def test_a_pixel_beyond_the_lens_does_not_land_on_ground_behind_the_camera():
    view = _view(FOLDING)
    shown = ~view.hidden
    # theta - theta^3 / 12 stops growing at theta = 2 rad, with a radius of 4 / 3: 53 pixels
    row, column = np.divmod(view.pixel[shown], 160)
    assert np.hypot(column - 79.5, row - 59.5).max() < 54
    direction = np.arctan2(np.hypot(view.y[shown], 1.4), view.x[shown])
    assert direction.max() < 2.05
    assert view.x[shown].min() < -0.2  # a lens of more than 180 degrees does see ground behind the image plane


@pytest.mark.parametrize(("model", "count"), [("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4)])
def test_no_pixel_that_sees_nothing_or_the_sky_shows_ground(model, count):
    """Lenses of which many fold inside the image, from any side and pitch."""
    rng = np.random.default_rng(21)
    blind_shares = []
    for _ in range(8):
        size, focal = ImageSize(30, 40), rng.uniform(8, 40)
        camera = CameraModel(size, focal, focal, *rng.uniform(5, 25, 2), model, random_lens(rng, model, count, 3.0))
        pose = mount(rng.uniform(0.3, 2.0), rng.uniform(-10, 90), rng.uniform(-20, 20), rng.uniform(-180, 180))
        upwards = (camera.rays() @ pose[:3, :3].T)[..., 2]
        view = _view(camera, pose, resolution=0.2)
        assert (upwards.reshape(-1)[view.pixel[~view.hidden]] < 0.02).all()  # NaN is not
        blind_shares.append(camera.blind_share())
    assert max(blind_shares) > 0.0


@pytest.mark.parametrize("camera", [CAMERA, DISTORTED, FISHEYE], ids=lambda camera: camera.distortion_model)
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (10, 0), (-10, 0), (5, 5), (20, -5)])
def test_each_sample_reads_the_pixel_that_looks_at_it(camera, pitch, roll):
    pose = mount(height=1.2, pitch=pitch, roll=roll)
    view = _view(camera, pose)
    shown = ~view.hidden
    points = np.stack([view.x[shown], view.y[shown], np.zeros(shown.sum())], axis=1)
    seen = (points - pose[:3, 3]) @ pose[:3, :3]
    rays = camera.rays().reshape(-1, 3)[view.pixel[shown]]
    cosine = np.einsum("ij,ij->i", seen / np.linalg.norm(seen, axis=1, keepdims=True), rays)
    assert shown.sum() > 1000
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < np.degrees(1.5 / min(camera.fx, camera.fy))


def test_every_ground_pixel_within_range_is_near_a_sample():
    pose = mount(height=1.2, pitch=10)
    view = _view(pose=pose)
    directions = CAMERA.rays().reshape(-1, 3).astype(np.float64) @ pose[:3, :3].T
    down = directions[:, 2] < -0.13
    ground = directions[down] * (-1.2 / directions[down, 2])[:, None]
    reached = np.hypot(ground[:, 0], ground[:, 1])
    inside = (reached > 0.6) & (reached < 9.9)
    shown = ~view.hidden
    samples = np.stack([view.x[shown], view.y[shown]], axis=1)
    chosen = ground[inside][::97, :2]
    nearest = [np.hypot(*(samples - point).T).min() for point in chosen]
    assert max(nearest) < 0.1


def test_samples_are_closer_than_cells_so_that_none_is_skipped():
    view = _view(resolution=0.2, far=8.0)
    shown = ~view.hidden & (np.arange(len(view.ranges)) < view.range_count)[:, None]
    cells = set(zip(np.floor(view.x[shown] / 0.2).astype(int), np.floor(view.y[shown] / 0.2).astype(int)))
    corners = np.array([(x, y) for x in range(15, 38) for y in range(-8, 8)])
    inside = [tuple(cell) for cell in corners if np.hypot(*(cell * 0.2)) < 7.5]
    assert [cell for cell in inside if cell not in cells] == []


def test_a_sample_knows_how_many_pixels_it_stands_for():
    view = _view(pose=mount(height=1.2, pitch=20))
    directions = CAMERA.rays().reshape(-1, 3).astype(np.float64) @ mount(height=1.2, pitch=20)[:3, :3].T
    with np.errstate(divide="ignore"):
        reached = np.hypot(directions[:, 0], directions[:, 1]) * 1.2 / -directions[:, 2]
    in_band = (directions[:, 2] < 0) & (reached > 3.0) & (reached < 6.0)
    rows = (view.ranges > 3.0) & (view.ranges < 6.0)
    assert view.pixel_area[rows].sum() == pytest.approx(in_band.sum(), rel=0.03)


def test_ground_above_the_horizon_and_out_of_range_is_left_out():
    view = _view(near=1.0, far=6.0)
    reached = np.hypot(view.x, view.y)
    assert reached.min() >= 1.0
    assert reached[: view.range_count].max() <= 6.0


def test_a_camera_that_looks_at_the_sky_sees_no_ground():
    assert _view(pose=mount(pitch=-60)).is_empty
    assert not _view().is_empty


def test_a_camera_that_looks_backwards_sees_the_ground_behind():
    view = _view(pose=mount(pitch=20, yaw=180))
    shown = ~view.hidden
    assert view.x[shown].max() < 0
    assert view.y[shown].min() < -1 < 1 < view.y[shown].max()


def test_the_view_is_made_again_only_when_camera_or_mount_changes():
    projector = GroundProjector(0.1, 0.5, 10.0)
    first = projector.view(CAMERA, mount())
    assert projector.view(CAMERA, mount()) is first
    assert projector.view(CAMERA, mount(pitch=1.0)) is not first
    projector.view(DISTORTED, mount(pitch=1.0))
    assert projector.rebuilds == 3


@pytest.mark.parametrize(
    ("pose", "reason"),
    [
        (mount(height=0.0), "must be at least 0.05 m above the ground, is at 0.000 m"),
        (mount(height=-1.0), "is at -1.000 m"),
        (np.full((4, 4), np.nan), "must be a finite 4x4 matrix"),
        (np.eye(3), "must be a finite 4x4 matrix"),
        (np.diag([2.0, 2.0, 2.0, 1.0]), "must have a rotation"),
    ],
)
def test_a_pose_that_no_camera_has_is_refused(pose, reason):
    with pytest.raises(CameraError, match=reason):
        GroundProjector(0.1, 0.5, 10.0).view(CAMERA, pose)
