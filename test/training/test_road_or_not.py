"""Road or not: a table of two classes, from training to a costmap."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import yaml

from espnet_ros import cli

pytestmark = pytest.mark.slow
ROAD, VOID = 3, 11  # in the tiny scenes


@pytest.fixture
def make_binary(scenes, document):
    """Maps the labels of the tiny scenes to fewer classes, and writes a config with their table."""

    def make(names, to_ids):
        lookup = np.full(256, to_ids["other"], np.uint8)
        lookup[[ROAD, VOID]] = to_ids["road"], 255
        for path in scenes.glob("*/labels/*.png"):
            cv2.imwrite(str(path), lookup[cv2.imread(str(path), cv2.IMREAD_UNCHANGED)])
        rows = [{"id": index, "name": name, "color": [0, 60 * index, 0]} for index, name in enumerate(names)]
        rows[-1].update(ground="flat", cost=5)
        (scenes / "road.yaml").write_text(yaml.safe_dump({"name": "road", "classes": rows}))
        stages = [{"steps": 12, "batch_size": 4, "learning_rate": 0.01, "warmup_steps": 1}]
        config = {**document, "classes": "road.yaml", "stages": [{**stages[0], "network": "espnet_c"}, *stages]}
        (scenes / "config.yaml").write_text(yaml.safe_dump(config))
        return scenes

    return make


@pytest.mark.parametrize(
    ("names", "to_ids"),
    [
        (["not road", "road"], {"other": 0, "road": 1}),
        (["road"], {"other": 255, "road": 0}),
        (["sky", "cars", "others", "road"], {"other": 2, "road": 3}),
    ],
    ids=["two classes", "one class", "four classes"],
)
def test_a_table_of_few_classes_works_from_training_to_labels(make_binary, tmp_path, capsys, names, to_ids):
    folder = make_binary(names, to_ids)
    out = tmp_path / "out"
    assert cli.main(["train", str(folder / "config.yaml"), "--out", str(out), "--device", "cpu"]) == 0
    capsys.readouterr()
    engine = ["--weights", str(out / "weights.safetensors"), "--backend", "torch"]
    validation = folder / "val" / "images"
    assert cli.main(["evaluate", "--images", str(validation), *engine, "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["class_iou"]["road"] > 0.5
    assert cli.main(["segment", str(validation), "--out", str(tmp_path / "labels"), *engine]) == 0
    labels = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "labels/labels").glob("*.png")]
    assert len(labels) == 3
    assert max(image.max() for image in labels) < len(names)
