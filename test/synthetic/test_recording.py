import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from espnet_ros.cli import main
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag import STORE, BagFrames
from espnet_ros.evaluation.images import ImageFolder
from espnet_ros.synthetic import Mount, SyntheticStreet, default_camera
from espnet_ros.synthetic.recording import record_drive
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.slow

MOUNT = Mount(height=1.2, pitch=0.1, roll=-0.05, x=0.3)


@pytest.fixture(scope="module")
def street():
    camera = default_camera(ImageSize(24, 40))
    return SyntheticStreet(seed=2, num_frames=3, rate=2.0, speed=8.0, camera=camera, mount=MOUNT)


def _read(path):
    with AnyReader([path], default_typestore=STORE) as reader:
        messages = {}
        for connection, _, raw in reader.messages():
            messages.setdefault(connection.topic, []).append(reader.deserialize(raw, connection.msgtype))
        latched = {entry.topic for entry in reader.connections if entry.ext.offered_qos_profiles}
        return messages, latched


def _matrix(translation, rotation):
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = translation.x, translation.y, translation.z
    return pose


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_recorded_drive_holds_images_and_poses(street, tmp_path, storage):
    path = tmp_path / "drive"
    assert record_drive(street.frames(), street.mount, path, storage) == 3
    frames = list(street.frames())
    for read, frame in zip(BagFrames(path), frames):
        assert read.stamp_ns == frame.stamp_ns
        np.testing.assert_array_equal(read.image, frame.image)
        np.testing.assert_array_equal(read.labels, frame.labels)
    messages, latched = _read(path)
    assert latched == {"/tf_static"}
    assert {topic: len(found) for topic, found in messages.items()} == {
        "/camera/image_raw": 3,
        "/camera/label_image": 3,
        "/camera/camera_info": 3,
        "/odom": 3,
        "/tf": 3,
        "/tf_static": 1,
    }
    fixed = messages["/tf_static"][0].transforms[0]
    assert (fixed.header.frame_id, fixed.child_frame_id) == ("base_link", "camera_optical_frame")
    mounted = _matrix(fixed.transform.translation, fixed.transform.rotation)
    for frame, odometry, moving in zip(frames, messages["/odom"], messages["/tf"]):
        moved = moving.transforms[0]
        assert (moved.header.frame_id, moved.child_frame_id) == ("odom", "base_link")
        assert (odometry.header.frame_id, odometry.child_frame_id) == ("odom", "base_link")
        based = _matrix(moved.transform.translation, moved.transform.rotation)
        np.testing.assert_allclose(based @ mounted, frame.odom_from_camera, atol=1e-9)
        pose = odometry.pose.pose
        np.testing.assert_allclose(_matrix(pose.position, pose.orientation), frame.odom_from_base, atol=1e-9)
        assert odometry.twist.twist.linear.x == frame.speed
        assert odometry.twist.twist.angular.z == frame.yaw_rate
    found = messages["/camera/camera_info"][0]
    assert (found.height, found.width) == (24, 40)
    np.testing.assert_array_equal(found.k.reshape(3, 3), street.camera.matrix)


def test_the_command_writes_a_bag(tmp_path, capsys):
    arguments = ["--out", str(tmp_path / "bag"), "--frames", "2", "--height", "24", "--width", "40", "--seed", "1"]
    assert main(["synthetic", *arguments]) == 0
    assert "2 images with labels, 0.2 s at 10 Hz" in capsys.readouterr().out
    assert len(BagFrames(tmp_path / "bag")) == 2
    assert main(["synthetic", *arguments]) == 1


def test_the_command_writes_folders_that_evaluate_reads(tmp_path):
    arguments = ["--folder", str(tmp_path), "--frames", "2", "--height", "24", "--width", "40", "--seed", "4"]
    assert main(["synthetic", *arguments]) == 0
    frames = list(ImageFolder(tmp_path / "images", tmp_path / "labels"))
    assert [frame.labels.shape for frame in frames] == [(24, 40)] * 2
    assert cv2.imread(str(tmp_path / "images" / "4_000001.png")).shape == (24, 40, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "synthetic needs either --out (a bag) or --folder"),
        (["--out", "x", "--height", "2"], "--height must be 8 to 8192 pixels, is 2"),
        (["--out", "x", "--frames", "0"], "num_frames must be at least 1, is 0"),
        (["--out", "x", "--rate", "0"], "rate of the drive must be above 0 Hz, is 0"),
        (["--out", "x", "--camera-height", "0"], "--camera-height must be above 0"),
        (["--out", "x", "--camera-pitch", "90"], "--camera-pitch must be -80 to 80 degrees, is 90"),
        (["--out", "x", "--seed", "-3"], "seed must be at least 0, is -3"),
    ],
)
def test_a_bad_option_is_refused(arguments, message, capsys):
    assert main(["synthetic", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_in_the_way_is_named(street, tmp_path):
    with pytest.raises(DatasetError, match=str(tmp_path)):
        record_drive(street.frames(), street.mount, tmp_path)
