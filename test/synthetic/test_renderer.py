import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.errors import CameraError, ParameterError
from espnet_ros.synthetic import (
    Mount,
    StreetRenderer,
    StreetWorld,
    SyntheticStreet,
    default_camera,
    drive,
    visible_contacts,
)
from espnet_ros.synthetic.classes import FLAT_CLASSES, PAVEMENT, ROAD, SIGN, SKY, VOID
from espnet_ros.synthetic.light import draw_light
from espnet_ros.synthetic.parts_table import PartsTable
from espnet_ros.synthetic.solids import Part, Shape, StandingObject
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.slow

SIZE = ImageSize(120, 160)
LENSES = {
    "ideal": default_camera(SIZE),
    "plumb_bob": replace(default_camera(SIZE), distortion=(-0.28, 0.09, 0.001, -0.0006, 0.0)),
    "rational": replace(
        default_camera(SIZE),
        distortion_model="rational_polynomial",
        distortion=(0.3, 0.05, 0.0, 0.0, 0.01, 0.6, 0.1, 0.02),
    ),
    "fisheye": CameraModel(SIZE, 62.0, 62.0, 79.0, 60.5, "equidistant", (0.02, -0.01, 0.002, 0.0)),
}
MOUNTS = {
    "level": Mount(),
    "down": Mount(height=2.5, pitch=math.radians(10.0)),
    "up": Mount(height=0.3, pitch=math.radians(-10.0)),
    "leaning": Mount(roll=math.radians(5.0), x=0.4, y=0.1),
}


def _ground_points(frame):
    """(H, W, 2) odom positions where rays meet z = 0, NaN above the horizon; computed apart from the renderer."""
    rays = frame.camera.rays().astype(np.float64) @ frame.odom_from_camera[:3, :3].T
    eye = frame.odom_from_camera[:3, 3]
    with np.errstate(all="ignore"):
        reach = np.where(rays[..., 2] < 0, -eye[2] / rays[..., 2], np.nan)
    return eye[:2] + rays[..., :2] * reach[..., None]


@pytest.mark.parametrize("mount", MOUNTS.values(), ids=MOUNTS.keys())
@pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
def test_ground_pixels_lie_on_ground_of_their_class(world, camera, mount):
    frame = next(drive(world, camera, mount=mount))
    points = _ground_points(frame)
    flat = np.isin(frame.labels, FLAT_CLASSES) & (frame.ranges < 60.0)
    assert flat.mean() > 0.05
    _, d = world.course.locate(*points[flat].astype(np.float32).T)
    expected = np.where((d < world.section.left) & (d > world.section.right), ROAD, PAVEMENT)
    edge = np.minimum(np.abs(d - world.section.left), np.abs(d - world.section.right)) < 1e-3
    assert (expected == frame.labels[flat])[~edge].all()
    np.testing.assert_array_equal(
        world.ground_class_grid((4.0, 1.0), 0.01, 1, 1), world.ground_classes([[4.005]], [[1.005]])
    )
    np.testing.assert_allclose(
        np.linalg.norm(points[flat] - frame.odom_from_camera[:2, 3], axis=1),
        np.sqrt(np.maximum(frame.ranges[flat].astype(float) ** 2 - mount.height**2, 0)),
        rtol=1e-3,
        atol=2e-3,
    )


@pytest.mark.parametrize("mount", MOUNTS.values(), ids=MOUNTS.keys())
@pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
def test_no_part_is_seen_outside_its_window(world, camera, mount, monkeypatch):
    frame = next(drive(world, camera, mount=mount))
    renderer = StreetRenderer(world, camera)
    find_windows, found = PartsTable.windows, []
    monkeypatch.setattr(PartsTable, "windows", lambda *arguments: found.extend(find_windows(*arguments)) or found)
    renderer.render(frame.odom_from_camera)
    windows = {window.part: window for window in found}
    whole = [window._replace(top=0, left=0, bottom=SIZE.height, right=SIZE.width) for window in windows.values()]
    near = [window for window in whole if window.distance < 40.0]
    monkeypatch.setattr(PartsTable, "windows", lambda *_: near)
    everywhere = renderer.render(frame.odom_from_camera)
    monkeypatch.setattr(PartsTable, "windows", lambda *_: [windows[window.part] for window in near])
    np.testing.assert_array_equal(everywhere.instances, renderer.render(frame.odom_from_camera).instances)


def test_labels_agree_with_the_instances(world, frames):
    classes = np.zeros(len(world.objects) + 1, np.uint8)
    for standing in world.objects:
        classes[standing.id] = standing.class_id
    for frame in frames:
        stands = frame.instances > 0
        np.testing.assert_array_equal(frame.labels[stands], classes[frame.instances[stands]])
        assert np.isin(frame.labels[~stands], (*FLAT_CLASSES, SKY)).all()


def test_void_is_only_where_the_lens_does_not_reach(world):
    camera = replace(default_camera(SIZE), fx=70.0, fy=70.0, distortion=(-0.5, 0.05, 0.0, 0.0, 0.0))
    frame = next(drive(world, camera))
    outside = np.isnan(camera.rays()).any(axis=2)
    assert 0.05 < outside.mean() < 0.8
    np.testing.assert_array_equal(frame.labels == VOID, outside)
    assert not frame.image[outside].any()
    assert not np.isfinite(frame.ranges[outside]).any()


class _Stage:
    """A street with nothing in it but what a test puts there, and its camera at the origin, 1.5 m up."""

    def __init__(self, *objects):
        world = StreetWorld(seed=0, length=20.0, turns=False)
        world.objects = list(objects)
        self.camera = CameraModel(ImageSize(200, 300), 200.0, 200.0, 150.0, 100.0)
        pose = np.eye(4)
        pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
        pose[2, 3] = 1.5
        self.view = StreetRenderer(world, self.camera).render(pose)


def _box(number, x, y, half_x, half_y, height, yaw=0.0, **more):
    part = Part(Shape.BOX, x, y, yaw, half_x, half_y, 0.0, height, **more)
    return StandingObject(number, 8, x, y, yaw, half_x, half_y, False, height, (part,))


def test_a_box_appears_where_its_corners_project():
    # Its front face is at x = 10, from y = -1 to 1, 1 m high: columns 150 -+ 20, rows 100 + 200 * (0.5 .. 1.5) / 10.
    view = _Stage(_box(1, 11.0, 0.0, 1.0, 1.0, 1.0)).view
    rows, columns = np.nonzero(view.instances == 1)
    assert (columns.min(), columns.max()) == (130, 170)
    assert rows.max() in (129, 130)  # the contact falls on the middle of row 130
    assert rows.min() == 109  # the far upper edge: 100 + 200 * 0.5 / 12 = 108.3
    face = view.instances[110:130, 131:170]
    assert (face == 1).all()
    np.testing.assert_allclose(view.ranges[120, 150], math.hypot(10.0, 10.0 * 20 / 200), rtol=1e-5)


def test_a_turned_box_shows_its_corner():
    # Turned by 45 degrees, its near corner is sqrt(2) before its middle.
    view = _Stage(_box(1, 10.0, 0.0, 1.0, 1.0, 1.0, yaw=math.pi / 4)).view
    lowest = np.nonzero(view.instances == 1)[0].max()
    assert lowest == math.floor(100 + 200 * 1.5 / (10.0 - math.sqrt(2.0)))


def test_a_nearer_object_hides_a_farther_one_wherever_it_comes_in_the_list():
    near, far = _box(1, 8.0, 0.0, 0.5, 0.5, 1.0), _box(2, 16.0, 0.0, 0.5, 3.0, 4.0)
    for objects in ((near, far), (far, near)):
        instances = _Stage(*objects).view.instances
        assert instances[115, 150] == 1
        assert instances[80, 150] == 2
        assert instances[115, 170] == 2


def test_a_tapered_box_is_narrower_at_the_top():
    view = _Stage(_box(1, 10.0, 0.0, 1.0, 1.0, 2.0, taper_y=0.25)).view
    widths = (view.instances == 1).sum(axis=1)
    assert widths[132] > widths[95] > 0
    # Half-way up, 1 m above the ground and 0.5 below the camera, it is 1.5 m wide; the face is 9 m away.
    assert abs(int(widths[111]) - 200 * 1.5 / 9.0) <= 1


def test_a_cylinder_is_seen_from_its_near_side():
    part = Part(Shape.CYLINDER, 6.0, 0.0, 0.0, 0.5, 0.5, 0.0, 5.0)
    view = _Stage(StandingObject(1, 2, 6.0, 0.0, 0.0, 0.5, 0.5, True, 5.0, (part,))).view
    assert view.ranges[100, 150] == pytest.approx(5.5, rel=1e-5)
    columns = np.nonzero(view.instances[100] == 1)[0]
    half = 200 * 0.5 / math.sqrt(6.0**2 - 0.5**2)
    assert (columns.min(), columns.max()) == (math.ceil(150 - half), math.floor(150 + half))


@pytest.mark.parametrize("seed", range(3))
def test_every_column_of_a_figure_reaches_the_ground(seed):
    world = StreetWorld(seed, 20.0)
    figures = [s for s in world.objects if s.class_id in (9, 10)]
    for standing in figures[:12]:
        part = standing.parts[0]
        u, v = np.meshgrid(
            (np.arange(128, dtype=np.float32) + 0.5) / 128, (np.arange(128, dtype=np.float32) + 0.5) / 128
        )
        opaque = world.atlas.is_opaque(part.front, 0, u, v)
        assert (opaque[-1] >= opaque.any(axis=0)).all()
        assert abs(np.flatnonzero(opaque[-1]) + 0.5 - 64).max() / 64 * part.half_x <= standing.half_x + 0.03


def test_visible_contacts_are_where_the_lowest_pixels_meet_the_ground(world, frames):
    checked = 0
    for frame in frames:
        points = _ground_points(frame)
        contacts = visible_contacts(world, frame, 12.0)
        by_id = {standing.id: standing for standing in world.objects}
        for number, places in contacts.items():
            assert np.hypot(*(places - frame.odom_from_camera[:2, 3]).T).max() <= 12.0
            assert by_id[number].class_id != SIGN
            rows, columns = np.nonzero(frame.instances == number)
            touches = []
            for column in np.unique(columns):
                row = rows[columns == column].max()
                below = row + 1 < frame.labels.shape[0] and np.isin(frame.labels[row + 1, column], FLAT_CLASSES)
                away = math.hypot(*(points[row, column] - frame.odom_from_camera[:2, 3]))
                if below and away < 11.5:
                    touches.append(points[row : row + 2, column].mean(axis=0))
            if len(touches) < 3:
                continue
            gaps = np.linalg.norm(np.array(touches)[:, None] - places[None], axis=2).min(axis=1)
            checked += 1
            assert np.median(gaps) < 0.2, by_id[number]
    assert checked > 5


def test_the_same_seed_gives_the_same_images(world, frames):
    again = StreetRenderer(StreetWorld(world.seed, world.length), frames[1].camera)
    view = again.render(frames[1].odom_from_camera, 1)
    np.testing.assert_array_equal(view.image, frames[1].image)
    np.testing.assert_array_equal(view.labels, frames[1].labels)


def test_images_have_texture_and_noise_everywhere(frames):
    for frame in frames:
        assert frame.image.shape == (240, 320, 3)
        assert frame.image.dtype == frame.labels.dtype == np.uint8
        assert 25 < frame.image.mean() < 225
        residue = frame.image.astype(float) - cv2.GaussianBlur(frame.image, (5, 5), 0)
        assert residue[frame.labels == ROAD].std() > 0.4


def test_frames_come_at_the_rate_along_the_lane(world):
    frames = list(drive(world, default_camera(ImageSize(8, 12)), rate=4.0, speed=10.0, mount=Mount(height=1.1, x=0.5)))
    assert len(frames) == 25
    assert frames[2].stamp_ns - frames[0].stamp_ns == 500_000_000
    for before, after in zip(frames, frames[1:]):
        step = np.linalg.inv(before.odom_from_base) @ after.odom_from_base
        assert math.hypot(*step[:2, 3]) == pytest.approx(before.speed / 4, abs=0.12)
        assert math.atan2(step[1, 0], step[0, 0]) == pytest.approx((before.yaw_rate + after.yaw_rate) / 8, abs=0.02)
    mounted = np.linalg.inv(frames[3].odom_from_base) @ frames[3].odom_from_camera
    np.testing.assert_allclose(mounted[:3, 3], [0.5, 0.0, 1.1], atol=1e-12)
    np.testing.assert_allclose(mounted[:3, 2], [1.0, 0.0, 0.0], atol=1e-12)


def test_a_pitch_above_zero_looks_down_and_a_roll_leans_right():
    assert Mount(pitch=0.1).base_from_camera[2, 2] == pytest.approx(-math.sin(0.1))
    # Leaning right, the image's right side points below the horizon.
    assert Mount(roll=0.1).base_from_camera[2, 0] == pytest.approx(-math.sin(0.1))


def test_a_street_as_a_source_of_frames():
    street = SyntheticStreet(seed=1, num_frames=3, camera=default_camera(ImageSize(24, 40)))
    frames = list(street)
    assert len(street) == len(frames) == 3
    assert [frame.name for frame in frames] == ["000000", "000001", "000002"]
    assert frames[0].labels.shape == (24, 40)
    assert [frame.stamp_ns for frame in street] == [frame.stamp_ns for frame in frames]


def test_a_pose_below_the_ground_is_refused(renderer):
    with pytest.raises(CameraError, match="must be above the ground, is at -1 m"):
        renderer.render(np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, -1.0], [0, 0, 0, 1.0]]))
    with pytest.raises(CameraError, match="finite"):
        renderer.render(np.full((4, 4), np.nan))


def test_a_drive_without_a_rate_or_speed_is_refused(world):
    with pytest.raises(ParameterError, match="rate of the drive must be above 0 Hz, is 0"):
        drive(world, default_camera(), rate=0.0)


def test_parts_know_which_faces_the_sun_lights():
    light = replace(draw_light(np.random.default_rng(0)), sun=0.5, sun_azimuth=0.0, sun_elevation=0.5)
    shades = PartsTable([_box(1, 0.0, 0.0, 1.0, 1.0, 1.0)], light).shades[0]
    assert shades[0] > shades[2] > shades[1]
