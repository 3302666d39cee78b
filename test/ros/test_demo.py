"""The whole demo: the real node in its own process, images over DDS, the page."""

import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("espnet_ros.msg", reason="needs the built messages (make setup)")

from waiting import TIMEOUT, wait_until

from espnet_ros import cli
from espnet_ros.config import NodeConfig
from espnet_ros.errors import NodeError
from espnet_ros.ros.node_process import run_node

FAKE = ["--backend", "fake", "--weights", "camvid"]


@pytest.fixture
def drive(tmp_path):
    """20 images of (24, 40), each of one brightness, and the labels that the fake engine gives them."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(20):
        brightness = 12 * index
        image, label = np.full((24, 40, 3), brightness, np.uint8), brightness * 12 // 256
        assert cv2.imwrite(str(tmp_path / "images" / f"{index:02d}.png"), image)
        assert cv2.imwrite(str(tmp_path / "labels" / f"{index:02d}.png"), np.full((24, 40), label, np.uint8))
    return tmp_path


def _play(drive, *more):
    return cli.main(["demo", "--images", str(drive / "images"), *FAKE, "--out", str(drive / "out"), *more])


def _nodes_of(drive):
    """Processes whose parameters lie in the test's own temporary folder."""
    found = subprocess.run(["pgrep", "-f", str(drive)], capture_output=True, text=True, check=False).stdout.split()
    return [int(pid) for pid in found if int(pid) != os.getpid()]


def test_the_demo_answers_every_image_with_its_own_labels(drive, capsys):
    assert _play(drive, "--rate", "5") == 0
    numbers = json.loads((drive / "out" / "report.json").read_text())
    assert numbers["frames_sent"] == numbers["frames_answered"] == 20
    assert numbers["frame_rate"] > 0
    assert numbers["latency_p50"] > 0
    # an answer matched with another image's labels would be wrong
    assert numbers["mean_iou"] == 1.0
    out = capsys.readouterr().out
    assert "dropped frames  0 of 20" in out
    assert "mean IoU        1.0000" in out
    assert str(drive / "out" / "index.html") in out
    text = (drive / "out" / "index.html").read_text()
    assert "espnet_alpha8_camvid" in text
    assert "fake, fp32, on none" in text


def test_the_demo_counts_dropped_frames_and_stops_at_the_limit(drive, monkeypatch):
    monkeypatch.setenv("ESPNET_FAKE_LATENCY", "0.2")
    assert _play(drive, "--rate", "40", "--limit", "12") == 0
    numbers = json.loads((drive / "out" / "report.json").read_text())
    assert numbers["frames_sent"] == 12
    assert numbers["frames_dropped"] == 12 - numbers["frames_answered"]
    # 12 images in 0.3 s, 0.2 s each, and the newest one after the last
    assert 2 <= numbers["frames_answered"] <= 4


@pytest.fixture(scope="module")
def street_drive(tmp_path_factory):
    """Folder of a page about 12 frames of a synthetic street, and the numbers."""
    folder = tmp_path_factory.mktemp("street")
    size = ["--input-height", "96", "--input-width", "128"]
    arguments = ["demo", *FAKE, *size, "--seed", "3", "--limit", "12", "--out", str(folder)]
    assert cli.main([*arguments, "--picture", str(folder / "picture.png")]) == 0
    return folder, json.loads((folder / "report.json").read_text())


def test_without_an_input_the_demo_drives_through_the_street(street_drive):
    _, numbers = street_drive
    assert numbers["source"] == "synthetic street 3"
    assert numbers["frames_sent"] == 12
    assert numbers["config"]["sent"].startswith("12 images at 10 Hz")


def test_the_street_gets_costmaps_that_are_compared_with_the_truth(street_drive):
    _, numbers = street_drive
    costmaps = numbers["costmaps"]
    assert costmaps["sent"] == 12
    assert costmaps["answered"] >= 10
    assert set(costmaps["layer_iou"]) == {"road", "pavement"}
    assert all(0 <= value <= 1 for value in costmaps["layer_iou"].values())


def test_the_page_shows_costmaps_and_the_route(street_drive):
    folder, numbers = street_drive
    samples = min(numbers["frames_answered"], 24)
    assert len(list(folder.glob("frames/*_true_costmap.png"))) == samples
    assert len(list(folder.glob("frames/0??_costmap.png"))) == samples
    route, truth = (cv2.imread(str(folder / "frames" / name)) for name in ("route.png", "true_route.png"))
    assert route.shape == truth.shape
    assert len(np.unique(route.reshape(-1, 3), axis=0)) > 3
    text = (folder / "index.html").read_text()
    assert "Map of the route" in text
    assert "No costmap" not in text


def test_one_frame_is_written_as_a_picture(street_drive):
    picture = cv2.imread(str(street_drive[0] / "picture.png"))
    # three of 480x360 in 1200 pixels: 396 each with 6 between them, a rest of nothing
    assert picture.shape == (297, 1200, 3)


def test_image_folders_say_why_there_are_no_costmaps(drive):
    assert _play(drive, "--rate", "40", "--limit", "3") == 0
    assert (
        "No costmaps: this input has neither odometry nor a camera calibration"
        in (drive / "out" / "index.html").read_text()
    )
    assert "costmaps" not in json.loads((drive / "out" / "report.json").read_text())


def test_a_node_that_cannot_start_is_an_error_with_its_own_words(drive, capsys):
    assert cli.main(
        ["demo", "--images", str(drive / "images"), *FAKE, "--classes", "cityscapes", "--out", str(drive / "out")]
    ) == 1  # fmt: skip
    assert "class table 'cityscapes' has 20 classes" in capsys.readouterr().err


def test_a_node_that_ended_is_noticed(tmp_path):
    with run_node(NodeConfig(), 1, tmp_path / "log") as node:
        node.stop()
        with pytest.raises(NodeError, match="the node exited unexpectedly with code"):
            node.require_running()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_demo_leaves_no_node_behind(drive, number, code):
    command = [sys.executable, "-m", "espnet_ros.cli", "demo", "--images", str(drive / "images"), *FAKE]
    temporary = drive / "temporary"
    temporary.mkdir()
    demo = subprocess.Popen(
        [*command, "--rate", "1", "--out", str(drive / "out")],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: "engine:" in _log_of(drive), "the node has its engine")
        assert len(_nodes_of(temporary)) == 1
        demo.send_signal(number)
        _, err = demo.communicate(timeout=TIMEOUT)
    finally:
        demo.kill()
    assert demo.returncode == code
    assert "Traceback" not in err
    if number == signal.SIGKILL:  # the node ends by itself
        wait_until(lambda: _nodes_of(temporary) == [], "the node has ended")
    assert _nodes_of(temporary) == []


def _log_of(drive):
    path = drive / "out" / "node.log"
    return path.read_text() if path.is_file() else ""
