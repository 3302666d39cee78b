"""Label files of a training set: what is taken, and what is said before the first step."""

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch
import yaml
from PIL import Image

from espnet_ros.classes import load_class_table
from espnet_ros.cli import main
from espnet_ros.errors import DatasetError
from espnet_ros.training.config import Source, Sources
from espnet_ros.training.images import load_images
from espnet_ros.training.statistics import missing_classes
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.slow

VOID, BICYCLIST = 11, 10


def load(scenes):
    return load_images(Sources(train=(Source(folder=str(scenes / "train")),)), load_class_table("camvid"), SIZE)


SIZE = ImageSize(48, 64)


def relabel(scenes, change, split="train"):
    for path in (scenes / split / "labels").iterdir():
        labels = change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        if isinstance(labels, Image.Image):
            labels.save(path)
        else:
            cv2.imwrite(str(path), labels)


def test_palettes_train_like_grey_files(scenes):
    expected = load(scenes).train[0].labels

    def with_palette(labels):
        image = Image.fromarray(labels)
        image.putpalette([value % 256 for value in range(3, 771)])
        return image

    relabel(scenes, with_palette)
    assert torch.equal(load(scenes).train[0].labels, expected)


def test_masks_of_0_and_255_are_refused_with_their_folder(scenes):
    relabel(scenes, lambda labels: np.where(labels == 3, 255, 0).astype(np.uint8))
    with pytest.raises(DatasetError, match=r"labels of train \(.*train\): .* only 0 and 255 occur, as in masks"):
        load(scenes)


def test_a_set_of_ignored_pixels_alone_is_refused(scenes):
    relabel(scenes, lambda labels: np.where(labels == 3, 255, VOID).astype(np.uint8))
    with pytest.raises(DatasetError, match=r"labels of train: .* have only ignored classes \('void'\)"):
        load(scenes)


def test_classes_that_count_and_never_occur_are_listed():
    table = load_class_table("camvid")
    frequencies = torch.full((12,), 0.1)
    frequencies[[BICYCLIST, VOID]] = 0.0
    assert missing_classes(frequencies, table) == ["bicyclist"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda labels: Image.fromarray(labels > 3), "mask of 1 bit"),
        (lambda labels: np.where(labels > 3, 255, 0).astype(np.uint8), "only 0 and 255 occur"),
        (lambda labels: np.dstack([labels, labels * 9, labels]), "RGB colours"),
        (lambda labels: labels.astype(np.uint16) * 300, "save the ids with 8 bits"),
    ],
)
def test_the_command_ends_with_one_line(config_file, scenes, tmp_path, capsys, change, reason):
    relabel(scenes, change, "val")
    assert main(["train", str(config_file), "--out", str(tmp_path / "run")]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "image/s" not in line and line]
    assert reason in line
    assert "val" in line
    assert not (tmp_path / "run").exists()


def test_the_command_warns_once_of_classes_that_never_occur(config_file, document, tmp_path, capsys):
    document["stages"][0]["steps"] = 1
    config_file.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert main(["train", str(config_file), "--out", str(tmp_path / "run")]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        "warning: never in the training labels, so not learnt: 'building', 'pole', 'pavement', 'tree', "
        "'sign symbol', 'fence', 'pedestrian', 'bicyclist'"
    ]
