import cv2
import numpy as np
import pytest

from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag import BagFrames, create_bag
from espnet_ros.evaluation.frames import Frame
from espnet_ros.evaluation.images import ImageFolder, VideoFile
from espnet_ros.evaluation.sources import open_frames

IMAGE = np.zeros((6, 10, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Folder ``images`` with one image, and one with the image's labels."""
    for name, pixels in (("images", IMAGE), ("labels", IMAGE[..., 0]), ("other", IMAGE[..., 0] + 3)):
        (tmp_path / name).mkdir()
        assert cv2.imwrite(str(tmp_path / name / "a.png"), pixels)
    return tmp_path


def test_a_folder_comes_with_the_labels_next_to_it(folder):
    source = open_frames(folder / "images")
    assert isinstance(source, ImageFolder)
    assert [frame.labels.max() for frame in source] == [0]


def test_labels_can_be_in_another_folder(folder):
    (frame,) = open_frames(str(folder / "images"), labels=folder / "other")
    assert frame.labels.min() == 3


def test_a_folder_without_labels_has_none(folder):
    assert not open_frames(folder / "labels").has_labels


def test_a_bag_is_opened_as_a_bag(tmp_path):
    create_bag([Frame("a", 1, IMAGE, IMAGE[..., 0])], tmp_path / "bag")
    source = open_frames(tmp_path / "bag")
    assert isinstance(source, BagFrames) and source.has_labels


def test_a_file_is_opened_as_a_video(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 15.0, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    assert isinstance(open_frames(tmp_path / "a.mp4"), VideoFile)


def test_labels_are_refused_for_anything_but_a_folder_of_images(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DatasetError, match="labels labels: only a folder of images takes a folder of labels"):
        open_frames(tmp_path / "a.mp4", labels="labels")


@pytest.mark.parametrize("labels", [None, "labels"])
@pytest.mark.parametrize("name", ["imgaes", "drive.bag", "drive.mp4"])
def test_a_missing_source_is_named_as_missing(tmp_path, name, labels):
    path = tmp_path / name
    with pytest.raises(DatasetError, match=f"^images {path}: no such file or folder$"):
        open_frames(path, labels)
