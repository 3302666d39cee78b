"""The programs in examples/ and docs/library.md, as a user runs them."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import espnet_ros

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "examples"
REFERENCE = REPOSITORY / "docs/library.md"


@pytest.fixture(scope="module")
def user_cache(tmp_path_factory):
    """Stands for ``~/.cache``, where engines are kept."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def run(monkeypatch):
    """Runs an example in this process."""

    def run_example(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")

    return run_example


def test_one_image_becomes_labels_and_an_overlay(run, tmp_path, color_image, capsys):
    cv2.imwrite(str(tmp_path / "image.png"), color_image)
    run("label_image", tmp_path / "image.png", "--out", tmp_path / "out", "--backend", "fake")
    labels = cv2.imread(str(tmp_path / "out/labels.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (48, 64) and labels.dtype == np.uint8 and len(np.unique(labels)) > 3
    assert cv2.imread(str(tmp_path / "out/overlay.png")).shape == (48, 64, 3)
    assert "wrote labels.png and overlay.png" in capsys.readouterr().out


def test_a_file_that_is_no_image_is_refused(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("label_image", tmp_path / "nowhere.png")
    assert "nowhere.png is not an image" in capsys.readouterr().err


def test_a_folder_becomes_a_costmap(run, tmp_path):
    run("folder_to_costmap", "--out", tmp_path, "--backend", "fake")
    costmap = np.load(str(tmp_path / "costmap.npz"))
    assert costmap["cost"].shape == (240, 240) and costmap["layers"].shape[1:] == (240, 240)
    assert (costmap["layers"] >= 0).any()
    assert cv2.imread(str(tmp_path / "costmap.png")).shape == (240, 240, 3)
    # the recording that the example made is a folder of the user's own kind
    run("folder_to_costmap", tmp_path / "street", "--out", tmp_path / "again", "--backend", "fake")
    again = np.load(str(tmp_path / "again/costmap.npz"))
    assert np.array_equal(costmap["cost"], again["cost"])


def test_an_evaluation_loop_prints_the_iou_of_classes_and_bands(run, capsys):
    run("evaluation_loop", "--frames", 2, "--backend", "fake")
    output = capsys.readouterr().out
    assert "sky  IoU" in output and "band 4 of 4: mean IoU" in output and "2 images: mean IoU" in output


@pytest.mark.process
def test_the_examples_run_from_any_folder_without_data(tmp_path, user_cache):
    environment = {**os.environ, "XDG_CACHE_HOME": user_cache}
    for example in sorted(EXAMPLES.glob("*.py")):
        result = subprocess.run(
            [sys.executable, str(example)], cwd=str(tmp_path), env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "example_output").iterdir()) == [
        "costmap.npz", "costmap.png", "labels.png", "overlay.png", "street",
    ]  # fmt: skip
    cost = np.load(str(tmp_path / "example_output/costmap.npz"))["cost"]
    assert 50 < np.count_nonzero(cost == 100) < 2000


@pytest.mark.process
def test_the_programs_in_the_reference_run(tmp_path, user_cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", user_cache)
    cv2.imwrite("street.jpg", next(iter(espnet_ros.SyntheticStreet(3, 1))).image)
    blocks = re.findall(r"^```python\n(.*?)^```$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks:  # with the engine that the examples have built already
        exec(compile(block.replace("alpha=8", "alpha=3"), str(REFERENCE), "exec"), names)
    names["segmenter"].close()
    assert cv2.imread("overlay.png").shape == (360, 480, 3)
    assert names["report"].mean_iou > 0.6
    assert (names["cost"] == 100).any()
