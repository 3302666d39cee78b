"""The costmap and the odometry while stamps jitter, repeat, jump and start again."""

import numpy as np
import pytest
from scene import TABLE, Box, mount, render

from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.costmap import Costmap, CostmapSettings
from espnet_ros.costmap.grid import FusionRules
from espnet_ros.costmap.layers import layers_from_table
from espnet_ros.costmap.pose import OdometryBuffer
from espnet_ros.errors import PoseError
from espnet_ros.types import ImageSize

CAMERA = CameraModel(ImageSize(60, 80), 50.0, 50.0, 39.5, 29.5)
MOUNT = mount(1.4, 10.0)
EMPTY, WITH_BOX = render(CAMERA, MOUNT), render(CAMERA, MOUNT, [Box(6.0, 8.0, -1.0, 1.0, 1.5)])
START = 1_700_000_000_000
STRAIGHT = (0.0, 0.0, 0.0, 1.0)
SKY_ONLY = np.full_like(EMPTY, 4)


class Drive:
    """A costmap that has seen a box at START, without decay unless asked for."""

    def __init__(self, decay=0.0):
        self.costmap = Costmap(layers_from_table(TABLE), CostmapSettings(rules=FusionRules(decay=decay)))
        self.see(0, WITH_BOX)
        self.evidence = self.box()
        assert self.evidence > 0

    def see(self, ms, labels=SKY_ONLY):
        """Add an image, by default one without evidence."""
        self.costmap.update(labels, None, CAMERA, MOUNT, np.eye(4), (START + ms) * 1_000_000)

    def box(self):
        """Largest evidence of the box's layer."""
        return float(self.costmap.grid.log_odds[[layer.name for layer in self.costmap.layers].index("box")].max())


@pytest.mark.parametrize("stamps", [(33, 30, 66), (0, 0, 0), (100, -899), (33, 66, 50, 49, 48, 99), (500, 1, 1, 2)])
def test_jitter_and_repeated_stamps_keep_the_map(stamps):
    drive = Drive()
    for stamp in stamps:
        drive.see(stamp)
        assert drive.box() == drive.evidence


@pytest.mark.parametrize("back", [-1000, -5000, -60_000, -START + 1])
def test_a_restart_of_time_clears_the_map_once(back):
    drive = Drive()
    drive.see(back)
    assert drive.box() <= 0
    drive.see(back + 33, WITH_BOX)
    drive.see(back + 66)
    assert drive.box() == drive.evidence


def test_a_late_image_is_used():
    drive = Drive()
    before = np.count_nonzero(drive.costmap.grid.log_odds)
    drive.costmap.clear()
    drive.see(100)
    drive.see(70, WITH_BOX)
    assert np.count_nonzero(drive.costmap.grid.log_odds) == before


def test_one_image_from_the_future_costs_one_clearing():
    drive = Drive()
    drive.see(3_600_000)
    drive.see(33, WITH_BOX)
    for stamp in (66, 60, 99, 132):
        drive.see(stamp)
        assert drive.box() == drive.evidence


@pytest.mark.parametrize("seed", range(12))
def test_the_map_is_cleared_exactly_when_a_stamp_is_a_second_older_than_the_newest(seed):
    random = np.random.default_rng(seed)
    drive, newest = Drive(), 0
    for _ in range(40):
        scale = random.choice([1, 30, 900, 1100, 100_000])
        stamp = newest + int(random.integers(-scale, scale + 1))
        drive.see(stamp)
        is_cleared = newest - stamp >= 1000
        assert drive.box() == (0 if is_cleared else drive.evidence), (newest, stamp)
        newest = stamp if is_cleared else max(newest, stamp)
        if is_cleared:
            drive.see(stamp, WITH_BOX)


def test_late_images_do_not_make_evidence_fade_twice():
    steady, jittering = Drive(decay=1.0), Drive(decay=1.0)
    for stamp in (500, 1000):
        steady.see(stamp)
    for stamp in (500, 250, 500, 800, 700, 1000):
        jittering.see(stamp)
    assert jittering.box() == pytest.approx(steady.box(), rel=1e-5)
    assert steady.box() == pytest.approx(drive_faded(1.0), rel=1e-5)


def drive_faded(seconds):
    return Drive().evidence * np.exp(-seconds)


def test_after_a_step_forwards_the_map_has_faded_by_the_step():
    drive = Drive(decay=1.0)
    drive.see(2000)
    assert drive.box() == pytest.approx(drive_faded(2.0), rel=1e-5)


def _odometry(*stamps_ms):
    """Odometry of a robot that drives 1 m/s in real time, 20 messages a second, whatever its stamps say."""
    buffer = OdometryBuffer()
    for index, stamp in enumerate(stamps_ms):
        buffer.add((START + stamp) * 1_000_000, (0.05 * index, 0.0, 0.0), STRAIGHT)
    return buffer


@pytest.mark.parametrize(
    ("stamps", "jumps"),
    [
        ((0, 50, 45, 100, 150), 0),
        ((0, 50, 50, 50, 100), 0),
        ((0, 50, -900, 100, 150), 0),
        ((0, 50, 3_600_050, 100, 150, 200), 1),
        ((0, 50, -60_000, -59_950, -59_900), 1),
        ((0, 50, -1000, -950, -900), 1),
        ((0, 50, 5050, 5100, 5150), 0),
    ],
    ids=["jitter", "repeated", "late", "one from the future", "loop", "step back", "step forwards"],
)
def test_odometry_jumps_only_when_its_time_starts_again(stamps, jumps):
    buffer = _odometry(*stamps)
    assert buffer.jumps == jumps
    assert np.isfinite(buffer.at((START + stamps[-1]) * 1_000_000)).all()


def test_odometry_that_jitters_at_random_never_jumps():
    random = np.random.default_rng(3)
    stamps = np.arange(0, 20_000, 50) + random.integers(-400, 400, 400)
    assert _odometry(*stamps.tolist()).jumps == 0


@pytest.mark.parametrize(("speed", "jitter"), [(1.0, 10), (1.0, 19), (5.0, 19), (2.0, 30)])
def test_jitter_moves_the_robot_no_further_than_it_drives_meanwhile(speed, jitter):
    """Odometry at 50 Hz and images at 30 Hz, up to 60 ms after the newest odometry."""
    random = np.random.default_rng(5)
    buffer = OdometryBuffer()
    for tick in range(3000):
        late = random.uniform(-jitter, jitter)
        buffer.add(round((START + 20 * tick + late) * 1e6), (speed * 0.02 * tick, 0.0, 0.0), STRAIGHT)
        if tick < 10:
            continue
        found = buffer.at(round((START + 20 * tick + random.uniform(-30, 60)) * 1e6))[0, 3]
        assert abs(found - speed * 0.02 * tick) < speed * 0.2
    assert buffer.jumps == 0


@pytest.mark.parametrize("back", [400, 950])
@pytest.mark.parametrize("speed", [1.0, 5.0])
def test_a_robot_that_drives_while_its_clock_catches_up_has_not_jumped(speed, back):
    buffer = OdometryBuffer()
    for tick in range(200):
        stamp = 20 * tick - (back if tick > 50 else 0)
        buffer.add((START + stamp) * 1_000_000, (speed * 0.02 * tick, 0.0, 0.0), STRAIGHT)
    assert buffer.jumps == 0
    assert buffer.at((START + stamp) * 1_000_000)[0, 3] == pytest.approx(speed * 0.02 * 199)
    buffer.add((START + stamp + 20) * 1_000_000, (speed * 4 + 50, 0.0, 0.0), STRAIGHT)
    assert buffer.jumps == 1


@pytest.mark.parametrize("stamp", [0, -1, -5_000_000_000])
def test_odometry_that_nobody_stamped_is_refused_and_changes_nothing(stamp):
    buffer = _odometry(0, 50)
    with pytest.raises(PoseError, match="stamp must be above 0, is"):
        buffer.add(stamp, (0.0, 0.0, 0.0), STRAIGHT)
    assert buffer.jumps == 0
    assert buffer.at((START + 50) * 1_000_000)[0, 3] == pytest.approx(0.05)


def test_odometry_of_another_clock_gives_no_pose_and_no_jump():
    buffer = OdometryBuffer()
    for index in range(50):
        buffer.add((60 + index) * 50_000_000, (0.0, 0.0, 0.0), STRAIGHT)  # seconds since the board was switched on
        with pytest.raises(PoseError, match=r"odometry must be at most 0.1 s older than the image, is \d+"):
            buffer.at((START + index * 50) * 1_000_000)
    assert buffer.jumps == 0
