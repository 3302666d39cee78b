"""The node changes its alpha during a drive: the real node in its own process, asked through its parameters."""

import json
import re

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("espnet_ros.msg", reason="needs the built messages (make setup)")

from espnet_ros import cli
from espnet_ros.ros.player import Player

FAKE = ["--backend", "fake", "--weights", "cityscapes", "--input-height", "24", "--input-width", "40"]
FRAMES = 24


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of (24, 40), each of one brightness, beside the labels that the fake engine gives them."""
    folder = tmp_path_factory.mktemp("drive")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for index in range(FRAMES):
        brightness = 10 * index
        image, label = np.full((24, 40, 3), brightness, np.uint8), brightness * 20 // 256
        assert cv2.imwrite(str(folder / "images" / f"{index:02d}.png"), image)
        assert cv2.imwrite(str(folder / "labels" / f"{index:02d}.png"), np.full((24, 40), label, np.uint8))
    return folder / "images"


def _play(images, out, *more):
    code = cli.main(["demo", "--images", str(images), *FAKE, "--rate", "4", "--out", str(out), *more])
    return code, json.loads((out / "report.json").read_text())


def test_the_node_changes_its_alpha_while_it_answers_every_image(images, tmp_path, capsys):
    code, numbers = _play(images, tmp_path, "--alphas", "8,5,3")
    assert code == 0
    assert numbers["frames_answered"] == numbers["frames_sent"] == FRAMES
    # what the node said of its engines
    assert numbers["config"]["network"] == "espnet, alpha 8, 5, 3"
    assert numbers["config"]["weights"] == ", ".join(f"espnet_alpha{alpha}_cityscapes" for alpha in (8, 5, 3))
    log = (tmp_path / "node.log").read_text()
    assert re.findall(r"engine: espnet_alpha(\d)_cityscapes", log) == ["8", "5", "3"]
    out = capsys.readouterr().out
    assert re.search(r"\n +alpha +answered +mean IoU +latency p50", out)
    for entry in numbers["by_alpha"]:
        assert re.search(rf"\n +{entry['alpha']} +{entry['frames_answered']} of {entry['frames_sent']} +1\.0000 ", out)
    assert "switch to alpha 3: in use" in out


def test_each_alpha_has_the_images_that_it_alone_can_have_answered(images, tmp_path):
    code, numbers = _play(images, tmp_path, "--alphas", "3,8,3")
    assert code == 0
    alphas, switches = numbers["by_alpha"], numbers["switches"]
    assert [entry["alpha"] for entry in alphas] == [3, 8]
    assert [switch["alpha"] for switch in switches] == [8, 3]
    assert all(entry["frames_answered"] > 0 and entry["mean_iou"] == 1.0 for entry in alphas)
    assert all(entry["latency_p50"] > 0 for entry in alphas)
    # the image that goes out when an alpha is asked for is always one of its switch
    assert all(switch["frames_sent"] > 0 and switch["failure"] == "" for switch in switches)
    for key in ("frames_sent", "frames_answered"):
        assert sum(entry[key] for entry in [*alphas, *switches]) == numbers[key]
    # 8 images at 4 Hz before each; late ones only make it later
    assert switches[0]["asked"] > 1.5
    assert switches[1]["asked"] > switches[0]["asked"] + 1.5


def test_a_long_street_shows_every_alpha_of_its_weights(tmp_path):
    size = ["--input-height", "96", "--input-width", "128"]
    assert cli.main(["demo", *FAKE, *size, "--seed", "3", "--limit", "60", "--out", str(tmp_path)]) == 0
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert [entry["alpha"] for entry in numbers["by_alpha"]] == [8, 5, 3]
    assert numbers["config"]["network"] == "espnet, alpha 8, 5, 3"
    assert numbers["costmaps"]["sent"] == 60
    text = (tmp_path / "index.html").read_text()
    assert "<h2>By alpha</h2>" in text
    assert text.count('id="event-') == 3


def test_without_alphas_the_node_keeps_the_one_it_has(images, tmp_path, capsys):
    code, numbers = _play(images, tmp_path, "--weights", "espnet_alpha3_cityscapes", "--limit", "3")
    assert code == 0
    assert [entry["alpha"] for entry in numbers["by_alpha"]] == [3]
    assert numbers["switches"] == []
    assert numbers["config"]["network"] == "espnet, alpha 3"
    assert "engine's own time" in numbers["config"]
    assert "By alpha" not in (tmp_path / "index.html").read_text()
    assert "switch to" not in capsys.readouterr().out


def test_an_alpha_that_the_node_refuses_is_an_error_after_the_numbers(images, tmp_path, capsys, monkeypatch):
    request_alpha = Player.request_alpha
    monkeypatch.setattr(
        Player, "request_alpha", lambda self, alpha, on_refusal: request_alpha(self, alpha - 1, on_refusal)
    )
    code, numbers = _play(images, tmp_path, "--alphas", "8,5,3")
    assert code == 1
    reason = "the node refused alpha 5: alpha must be one of 3, 5, 8, is 4"
    captured = capsys.readouterr()
    assert f"espnet_ros: error: no image was answered with alpha 5, 3: {reason}" in captured.err
    assert f"switch to alpha 5 failed: {reason}" in captured.out
    assert str(tmp_path / "index.html") in captured.out
    # the drive went on, with what was in use
    assert numbers["frames_answered"] == FRAMES
    (eight,), (switch,) = numbers["by_alpha"], numbers["switches"]
    assert switch["failure"] == reason
    assert eight["frames_answered"] + switch["frames_answered"] == FRAMES
    assert eight["frames_answered"] > FRAMES // 3
    assert numbers["config"]["network"] == "espnet, alpha 8"
