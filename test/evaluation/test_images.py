import os
import re

import cv2
import numpy as np
import pytest

from espnet_ros.classes import load_class_table
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import check_label_ids
from espnet_ros.evaluation.images import ImageFolder, VideoFile, sibling_labels

SIZE = (6, 10)


@pytest.fixture
def drive(tmp_path):
    """Folder with two images of (6, 10) and their labels."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index, name in enumerate(("b", "a")):
        _write(tmp_path / "images" / f"{name}.png", np.full((*SIZE, 3), 50 + index, np.uint8))
        _write(tmp_path / "labels" / f"{name}.png", np.full(SIZE, index, np.uint8))
    return tmp_path


def _write(path, pixels):
    assert cv2.imwrite(str(path), pixels)


def _read_all(folder, **options):
    return list(ImageFolder(folder / "images", folder / "labels", **options))


def test_frames_come_in_the_order_of_names_with_labels_of_the_same_stem(drive):
    frames = _read_all(drive)
    assert [frame.name for frame in frames] == ["a", "b"]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [51, 50]
    assert [int(frame.labels[0, 0]) for frame in frames] == [1, 0]


def test_stamps_are_a_period_apart_and_never_zero(drive):
    first, second = _read_all(drive, rate=10.0)
    assert first.stamp_ns > 0
    assert second.stamp_ns - first.stamp_ns == 100_000_000


def test_a_folder_can_be_read_twice_and_knows_its_length(drive):
    source = ImageFolder(drive / "images")
    assert len(source) == 2
    assert [frame.name for frame in source] == [frame.name for frame in source]


def test_images_without_labels_have_none(drive):
    source = ImageFolder(drive / "images")
    assert not source.has_labels
    assert all(frame.labels is None for frame in source)


@pytest.mark.parametrize("suffix", [".webp", ".jpg", ".bmp", ".PNG"])
def test_images_of_other_kinds_are_read(tmp_path, suffix):
    (tmp_path / "images").mkdir()
    _write(tmp_path / "images" / f"a{suffix}", np.full((*SIZE, 3), 77, np.uint8))
    (frame,) = ImageFolder(tmp_path / "images")
    assert frame.image.shape == (*SIZE, 3)


def test_grey_images_become_bgr(tmp_path):
    (tmp_path / "images").mkdir()
    _write(tmp_path / "images" / "a.png", np.full(SIZE, 9, np.uint8))
    (frame,) = ImageFolder(tmp_path / "images")
    assert frame.image[0, 0].tolist() == [9, 9, 9]


def test_other_files_and_hidden_files_are_passed_over(drive):
    (drive / "images" / "notes.txt").write_text("x")
    (drive / "images" / "._a.png").write_bytes(b"x")
    assert len(ImageFolder(drive / "images")) == 2


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match="image folder .*nowhere: cannot be listed: No such file"):
        ImageFolder(tmp_path / "nowhere")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=f"image folder {re.escape(str(tmp_path))}: must contain at least one image"):
        ImageFolder(tmp_path)


def test_an_image_without_label_image_is_named(drive):
    (drive / "labels" / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"image a\.png: every image needs a label image of the same stem"):
        ImageFolder(drive / "images", drive / "labels")


def test_two_images_of_one_stem_are_refused(drive):
    _write(drive / "images" / "a.jpg", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"stems must differ.*a\.jpg.*a\.png"):
        ImageFolder(drive / "images")


def test_labels_of_another_size_are_refused(drive):
    _write(drive / "labels" / "a.png", np.zeros((10, 6), np.uint8))
    with pytest.raises(DatasetError, match=r"label image .*a\.png: must have its image's size, 6x10, has 10x6"):
        _read_all(drive)


def test_labels_in_colour_are_refused(drive):
    _write(drive / "labels" / "a.png", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"a\.png: must have one 8-bit channel of class ids, has 3 of uint8"):
        _read_all(drive)


def test_labels_of_16_bit_are_refused(drive):
    _write(drive / "labels" / "a.png", np.zeros(SIZE, np.uint16))
    with pytest.raises(DatasetError, match="has 1 of uint16"):
        _read_all(drive)


@pytest.mark.parametrize("content", [b"", b"no image at all"])
def test_an_unreadable_image_is_named(drive, content):
    (drive / "images" / "a.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"image .*a\.png: OpenCV cannot read it as an image"):
        _read_all(drive)


def test_label_ids_outside_the_table_are_refused_with_the_table_and_the_ids():
    labels = np.array([[0, 11, 255], [12, 200, 3]], np.uint8)
    with pytest.raises(DatasetError, match=r"labels of x: ids must be 0\.\.11 .*'camvid' or 255 .* 12, 200 occur"):
        check_label_ids(labels, load_class_table("camvid"), "x")


def test_labels_beside_the_images_are_found(drive):
    assert sibling_labels(drive / "images") == drive / "labels"
    assert sibling_labels(drive) is None


def test_a_video_gives_its_frames_at_its_own_rate(tmp_path):
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (64, 48))
    for value in (10, 100, 200):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    source = VideoFile(path)
    frames = list(source)
    assert len(source) == len(frames) == 3
    assert [frame.stamp_ns - frames[0].stamp_ns for frame in frames] == [0, 200_000_000, 400_000_000]
    assert frames[0].image.shape == (48, 64, 3)
    assert [round(float(frame.image.mean()), -1) for frame in frames] == [10, 100, 200]


def test_a_file_that_is_no_video_is_refused(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(DatasetError, match=r"video .*x\.mp4: OpenCV cannot read it as a video"):
        VideoFile(tmp_path / "x.mp4")
    with pytest.raises(DatasetError, match="no such file"):
        VideoFile(tmp_path / "y.mp4")


def test_a_named_pipe_among_the_images_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"image folder .*: a\.png must be a file, is a folder, device, pipe"):
        ImageFolder(tmp_path)
