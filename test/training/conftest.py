"""A data set of a few coloured scenes that a network learns in seconds, and a config for it."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from espnet_ros.classes import load_class_table
from espnet_ros.training.config_file import parse_config

SKY, ROAD, CAR, VOID = 0, 3, 8, 11
CONFIG = {
    "name": "tiny",
    "classes": "camvid",
    "alpha": 3,
    "input_size": [48, 64],
    "seed": 5,
    "sources": {
        "train": [{"folder": "train"}],
        "validation": [{"folder": "val"}],
    },
    "stages": [{"steps": 30, "batch_size": 4, "learning_rate": 5e-3, "warmup_steps": 3}],
    "augmentation": {
        "scale": [0.8, 1.25],
        "brightness": 0.1,
        "contrast": 0.1,
        "saturation": 0.1,
        "hue": 0.05,
        "gray": 0.1,
        "blur": 0.3,
        "noise": 2.0,
    },
    "ema_decay": 0.8,
    "validate_every": 5,
    "threads": 1,
}


def _scene(seed: int):
    """Sky over road with a car on it, in the table's colours and some noise."""
    generator = np.random.default_rng(seed)
    labels = np.full((48, 64), SKY, np.uint8)
    horizon, left = generator.integers(16, 28), generator.integers(4, 36)
    labels[horizon:] = ROAD
    labels[horizon - 4 : horizon + 10, left : left + 20] = CAR
    labels[:, :2] = VOID
    image = load_class_table("camvid").palette[labels][..., ::-1].astype(int)
    return np.clip(image + generator.integers(-20, 20, image.shape), 0, 255).astype(np.uint8), labels


@pytest.fixture
def scenes(tmp_path) -> Path:
    """Folder with ``train`` (two drives of 6 and 2 images) and ``val`` (3 images)."""
    names = {"train": [f"a_{i}" for i in range(6)] + ["b_0", "b_1"], "val": ["c_0", "c_1", "c_2"]}
    for split, stems in names.items():
        for kind in ("images", "labels"):
            (tmp_path / split / kind).mkdir(parents=True)
        for index, stem in enumerate(stems):
            image, labels = _scene(index + 100 * len(stems))
            assert cv2.imwrite(str(tmp_path / split / "images" / f"{stem}.png"), image)
            assert cv2.imwrite(str(tmp_path / split / "labels" / f"{stem}.png"), labels)
    return tmp_path


@pytest.fixture
def document():
    """The tiny config as YAML would give it, to be changed at will."""
    return copy.deepcopy(CONFIG)


@pytest.fixture
def make_config(scenes, document):
    """Builds the tiny config with other keys."""

    def make(**changes):
        return parse_config({**document, **changes}, scenes)

    return make


@pytest.fixture
def config_file(scenes, document):
    """The tiny config as a file beside its images."""
    path = scenes / "tiny.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path
