"""The public API: what ``import espnet_ros`` offers, and its reference."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import espnet_ros
from espnet_ros.config import NodeConfig
from espnet_ros.evaluation.frames import Frame

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCE = REPOSITORY / "docs/library.md"
HEAVY = {
    "numpy", "cv2", "yaml", "torch", "rclpy", "onnxruntime", "openvino", "tensorrt", "llvmlite", "rosbags", "tqdm",
    "matplotlib", "jinja2",
}  # fmt: skip


def _python_blocks(path):
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.process
def test_importing_the_package_imports_nothing_heavy():
    code = "import espnet_ros, json, sys; dir(espnet_ros); print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code]
    modules = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=str(REPOSITORY)).stdout)
    assert not HEAVY.intersection(name.partition(".")[0] for name in modules)
    assert [name for name in modules if name.startswith("espnet_ros.")] == []


@pytest.mark.parametrize("name", espnet_ros.__all__)
def test_every_public_name_can_be_had_and_is_in_the_reference(name):
    assert getattr(espnet_ros, name) is not None
    assert name in dir(espnet_ros)
    assert f"`{name}" in REFERENCE.read_text(encoding="utf-8")


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="module 'espnet_ros' has no attribute 'load_segmentor'"):
        espnet_ros.load_segmentor
    assert not hasattr(espnet_ros, "NodeConfig")


def test_the_defaults_of_load_segmenter_are_those_of_the_node():
    defaults = {name: entry.default for name, entry in inspect.signature(espnet_ros.load_segmenter).parameters.items()}
    assert defaults.pop("show_progress") is False
    assert defaults == {name: getattr(NodeConfig(), name) for name in defaults}


def test_a_segmenter_labels_and_is_closed_at_the_end_of_the_block(color_image):
    with espnet_ros.load_segmenter(3, backend="fake", input_height=24, input_width=32) as segmenter:
        segmentation = segmenter.segment(color_image, with_confidence=True)
        closed = []
        segmenter.engine.close = lambda: closed.append(1)
    segmenter.close()
    assert closed == [1]
    assert segmentation.labels.shape == segmentation.confidence.shape == (48, 64)
    assert segmentation.class_table == segmenter.class_table
    assert segmenter.engine.spec.input_size == (24, 32)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"alpha": 4}, espnet_ros.ParameterError, "alpha must be one of 3, 5, 8, is 4"),
        ({"weights": "mars"}, espnet_ros.WeightsError, "weights 'mars'"),
        ({"classes": "mars"}, espnet_ros.ClassTableError, "class table 'mars'"),
    ],
)
def test_what_cannot_be_loaded_is_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        espnet_ros.load_segmenter(**parameters, backend="fake")


def test_weights_are_listed_with_the_shipped_ones_first():
    checkpoints = espnet_ros.list_weights()
    assert [entry.alpha for entry in checkpoints if entry.family == "street"] == [3, 5, 8]
    assert checkpoints[0].family == "street" and checkpoints[0].path.is_file()


def test_a_folder_is_evaluated_with_the_labels_next_to_it(tmp_path):
    for name, value in (("images", 0), ("labels", 0)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), np.full((48, 64), value, np.uint8))
    with espnet_ros.load_segmenter(backend="fake", weights="camvid") as segmenter:
        report = espnet_ros.evaluate(segmenter, tmp_path / "images")
    assert (report.images, report.mean_iou, report.class_iou["sky"]) == (1, 1.0, 1.0)


def test_frames_of_a_users_own_class_are_evaluated(color_image):
    class Own:
        name, has_labels = "own", True

        def __len__(self):
            return 1

        def __iter__(self):
            yield Frame("a", 1, color_image, color_image[..., 0] // 24)

    with espnet_ros.load_segmenter(backend="fake", weights="camvid") as segmenter:
        assert espnet_ros.evaluate(segmenter, Own()).images == 1


def test_an_overlay_shows_the_class_colours_and_leaves_unlabelled_pixels(color_image):
    with espnet_ros.load_segmenter(backend="fake", weights="camvid", min_confidence=0.5) as segmenter:
        segmentation = segmenter.segment(color_image)
    overlay = espnet_ros.draw_overlay(color_image, segmentation, opacity=1.0)
    unlabelled = segmentation.labels == espnet_ros.UNLABELLED
    assert unlabelled.any() and not unlabelled.all()
    assert np.array_equal(overlay[unlabelled], color_image[unlabelled])
    colours = segmentation.class_table.palette[segmentation.labels][..., ::-1]
    assert np.array_equal(overlay[~unlabelled], colours[~unlabelled])


def test_the_reference_begins_with_the_five_lines_of_the_readme():
    lines = _python_blocks(REFERENCE)[0]
    assert len(lines.splitlines()) == 5
    in_readme = _python_blocks(REPOSITORY / "README.md")
    assert in_readme in ([], [lines])
