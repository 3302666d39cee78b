import dataclasses

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

from espnet_ros.classes import load_class_table
from espnet_ros.errors import DatasetError
from espnet_ros.training.config import Source, Sources, SyntheticSource
from espnet_ros.training.images import LabelledImages, load_images
from espnet_ros.training.statistics import class_frequencies, normalisation
from espnet_ros.training.streets import draw_streets
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.slow

SIZE = ImageSize(48, 64)
STREETS = SyntheticSource(first_seed=3, seeds=2, frames=2, spacing=4.0, camera_height=(1.2, 1.6))


def _load(scenes, size=SIZE, **keys):
    sources = Sources(train=(Source(folder=str(scenes / "train")),), **keys)
    return load_images(sources, load_class_table("camvid"), size)


def test_a_missing_label_is_named(scenes):
    (scenes / "train" / "labels" / "a_3.png").unlink()
    with pytest.raises(DatasetError, match=r"image a_3.png: every image needs a label image of the same stem"):
        _load(scenes)


def test_labels_of_another_size_are_named(scenes):
    cv2.imwrite(str(scenes / "train" / "labels" / "a_2.png"), np.zeros((48, 60), np.uint8))
    with pytest.raises(DatasetError, match=r"labels/a_2.png: must have its image's size, 48x64, has 48x60"):
        _load(scenes)


def test_an_id_outside_the_table_is_named(scenes):
    cv2.imwrite(str(scenes / "train" / "labels" / "b_1.png"), np.full((48, 64), 12, np.uint8))
    with pytest.raises(DatasetError, match=r"train/labels/b_1: ids must be 0..11 of class table 'camvid'.* but 12"):
        _load(scenes)


def test_a_broken_image_and_a_missing_folder_are_named(scenes):
    with pytest.raises(DatasetError, match=r"image folder .*nowhere/images: cannot be listed"):
        _load(scenes, validation=(Source(folder=str(scenes / "nowhere")),))
    (scenes / "train" / "images" / "a_1.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"images/a_1.png: OpenCV cannot read it"):
        _load(scenes)


def test_labels_without_any_class_are_refused(scenes):
    for path in (scenes / "train" / "labels").iterdir():
        cv2.imwrite(str(path), np.full((48, 64), 255, np.uint8))
    with pytest.raises(DatasetError, match="labels of train: must have at least one labelled pixel"):
        _load(scenes)


def test_a_held_out_drive_is_measured_and_not_learnt_from(scenes):
    images = _load(scenes, hold_out=("b_",), validation=(Source(folder=str(scenes / "val")),))
    assert [len(source) for source in images.train] == [6]
    assert [(source.name, len(source)) for source in images.validation] == [("val", 3), ("hold_out", 2)]
    everything = _load(scenes).train[0]
    assert torch.equal(images.validation[1].images, everything.images[6:])
    assert torch.equal(images.train[0].labels, everything.labels[:6])


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [(("z_",), "must be the prefix of a training image, matches none"), (("a_", "b_"), "leaves no training image")],
)
def test_a_hold_out_that_makes_no_sense_is_refused(scenes, prefixes, message):
    with pytest.raises(DatasetError, match=message):
        _load(scenes, hold_out=prefixes)


def test_images_of_another_size_are_resized_with_their_labels(scenes):
    images = _load(scenes, ImageSize(24, 32)).train[0]
    assert images.images.shape == (8, 24, 32, 3)
    full = _load(scenes).train[0]
    assert torch.equal(images.labels, full.labels[:, ::2, ::2])


def test_two_validation_sources_need_two_names(scenes):
    source = Source(folder=str(scenes / "val"))
    with pytest.raises(DatasetError, match="two are named 'x'"):
        _load(scenes, validation=(Source("x", str(scenes / "val")), Source("x", source.folder, share=1.0)))


def test_streets_are_drawn_once_and_kept(tmp_path, monkeypatch):
    drawn = draw_streets(STREETS, SIZE, str(tmp_path), show_progress=False)
    assert [street.images.shape for street in drawn] == [(2, 48, 64, 3)] * 2
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("espnet_ros.training.streets.SyntheticStreet", None)
    again = draw_streets(STREETS, SIZE, str(tmp_path), show_progress=False)
    assert all(np.array_equal(a.images, b.images) for a, b in zip(drawn, again))


def test_streets_need_their_own_classes():
    sources = Sources(train=(Source(synthetic=STREETS),))
    with pytest.raises(DatasetError, match="synthetic streets have the classes of table 'camvid'"):
        load_images(sources, load_class_table("cityscapes"), SIZE)


def test_statistics_follow_the_shares():
    def flat(value, label, count, share):
        images = torch.full((count, 8, 8, 3), value, dtype=torch.uint8)
        images[..., 2] = 7
        return LabelledImages(str(value), images, torch.full((count, 8, 8), label, dtype=torch.uint8), share)

    train = [flat(100, 0, 1, 3.0), flat(200, 3, 9, 1.0)]
    mean, std = normalisation(train)
    # 3/4 of 100 and 1/4 of 200: mean 125, variance 3/4 * 625 + 1/4 * 5625 = 1875; a constant channel gets 1
    assert mean == (125.0, 125.0, 7.0)
    assert std == (pytest.approx(43.3013), pytest.approx(43.3013), 1.0)
    assert class_frequencies(train, 12)[[0, 3]].tolist() == [0.75, 0.25]


def test_streets_drawn_by_several_processes_are_those_drawn_by_one():
    several = draw_streets(dataclasses.replace(STREETS, seeds=4), SIZE, "", show_progress=False)
    one = draw_streets(STREETS, SIZE, "", show_progress=False)
    assert len(several) == 4
    assert all(np.array_equal(a.images, b.images) and np.array_equal(a.labels, b.labels) for a, b in zip(one, several))
