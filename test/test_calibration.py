import os
import pickle

import cv2
import numpy as np
import pytest

from espnet_ros.calibration import calibration_images
from espnet_ros.config import NodeConfig
from espnet_ros.engines.base import NoCalibrationImages
from espnet_ros.errors import DatasetError, EngineError
from espnet_ros.evaluation.bag import create_bag
from espnet_ros.evaluation.frames import Frame
from espnet_ros.loading import resolve_spec
from espnet_ros.types import ImageSize

SIZE = ImageSize(48, 64)


@pytest.fixture
def folder(tmp_path):
    """Ten images of 24x32, each of one value: 0, 10, ... 90."""
    for index in range(10):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((24, 32, 3), 10 * index, np.uint8))
    return tmp_path


def _values(images):
    return [int(image[0, 0, 0]) for image in images]


@pytest.mark.parametrize(
    ("count", "values"),
    [
        (1, [0]),
        (3, [0, 30, 60]),
        (5, [0, 20, 40, 60, 80]),
        (7, [0, 10, 20, 30, 40, 50, 60]),
        (99, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]),
    ],
)
def test_images_of_a_folder_are_spread_over_it(folder, count, values):
    assert _values(calibration_images(str(folder)).images(SIZE, count)) == values


def test_images_have_the_size_and_type_that_the_engine_takes(folder):
    for image in calibration_images(str(folder)).images(SIZE, 2):
        assert image.shape == (48, 64, 3) and image.dtype == np.uint8 and image.flags.c_contiguous


def test_an_image_that_is_larger_is_made_smaller_and_not_cut(tmp_path):
    image = np.zeros((96, 128, 3), np.uint8)
    image[:, 64:] = 200
    cv2.imwrite(str(tmp_path / "one.png"), image)
    (found,) = calibration_images(str(tmp_path)).images(SIZE, 4)
    assert (found[:, :31] == 0).all() and (found[:, 33:] == 200).all()


def test_a_bag_gives_images_too(tmp_path):
    frames = [Frame(str(index), (index + 1) * 10**8, np.full((24, 32, 3), 10 * index, np.uint8)) for index in range(6)]
    create_bag(frames, tmp_path / "bag")
    assert _values(calibration_images(str(tmp_path / "bag")).images(SIZE, 3)) == [0, 20, 40]


def test_without_a_source_the_synthetic_street_is_drawn_the_same_each_time():
    first, second = (calibration_images("").images(SIZE, 3) for _ in range(2))
    assert [image.shape for image in first] == [(48, 64, 3)] * 3
    assert all(np.array_equal(one, other) for one, other in zip(first, second))
    assert not np.array_equal(first[0], first[2])
    assert min(len(np.unique(image)) for image in first) > 50


@pytest.mark.parametrize("name", ["nowhere", "nowhere.bag"])
def test_a_source_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(DatasetError, match=name):
        calibration_images(str(tmp_path / name)).images(SIZE, 2)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="must contain at least one image"):
        calibration_images(str(tmp_path)).images(SIZE, 2)


def test_the_description_changes_with_the_files_of_a_folder(folder):
    first = calibration_images(str(folder)).description
    assert calibration_images(str(folder)).description == first
    cv2.imwrite(str(folder / "10.png"), np.zeros((24, 32, 3), np.uint8))
    second = calibration_images(str(folder)).description
    os.utime(folder / "3.png", (1, 1))
    assert len({first, second, calibration_images(str(folder)).description, calibration_images("").description}) == 4


def test_a_folder_that_is_not_there_has_a_description_too(tmp_path):
    assert str(tmp_path / "nowhere") in calibration_images(str(tmp_path / "nowhere")).description


@pytest.mark.parametrize("source", ["", "some/folder"])
def test_images_reach_a_child_process_by_pickle(source):
    images = calibration_images(source)
    assert pickle.loads(pickle.dumps(images)) == images


def test_a_spec_without_images_refuses_to_give_some():
    with pytest.raises(EngineError, match="needs calibration images of 48x64, but its spec has none"):
        NoCalibrationImages().images(SIZE, 2)


def test_a_source_that_does_not_exist_is_refused_before_anything_is_built(tmp_path):
    missing = tmp_path / "nope"
    with pytest.raises(DatasetError, match=r"calibration '.*nope': there is no such folder or bag"):
        resolve_spec(NodeConfig(backend="fake", calibration=str(missing)))
