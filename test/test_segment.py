"""The command ``espnet_ros segment``."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from espnet_ros import cli
from espnet_ros.commands import segment, segment_files

pytestmark = pytest.mark.slow

FAKE = ["--backend", "fake", "--weights", "camvid"]


def _grey(path, height, width, brightness=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), brightness, np.uint8))
    return path


def _segment(source, out, *options):
    return cli.main(["segment", str(source), "--out", str(out), *FAKE, *options])


def _read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def _names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_one_image_gives_its_label_image_and_its_overlay(tmp_path, capsys):
    source = _grey(tmp_path / "street.png", 30, 50)
    assert _segment(source, tmp_path / "out") == 0
    assert _names(tmp_path / "out") == ["labels/street.png", "overlays/street.jpg"]
    labels = _read(tmp_path / "out" / "labels" / "street.png")
    assert labels.shape == (30, 50) and labels.dtype == np.uint8
    assert (labels == 11).all()  # white is the last of 12 classes
    assert _read(tmp_path / "out" / "overlays" / "street.jpg").shape == (30, 50, 3)
    assert "wrote 1 images" in capsys.readouterr().out


def test_a_folder_gives_both_for_each_image_and_leaves_other_files_alone(tmp_path):
    for name, brightness in (("a.png", 0), ("b.jpg", 255)):
        _grey(tmp_path / "in" / name, 30, 50, brightness)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    _grey(tmp_path / "out" / "labels" / "a.png", 5, 6)
    _grey(tmp_path / "out" / "labels" / "old.png", 5, 6)
    assert _segment(tmp_path / "in", tmp_path / "out") == 0
    assert _names(tmp_path / "out") == [
        "labels/a.png", "labels/b.png", "labels/old.png", "overlays/a.jpg", "overlays/b.jpg",
    ]  # fmt: skip
    assert (_read(tmp_path / "out" / "labels" / "a.png") == 0).all()


def test_the_overlay_has_the_class_colour_at_full_opacity_and_the_image_at_none(tmp_path):
    source = _grey(tmp_path / "street.png", 32, 48, 0)
    for opacity, expected in (("1", [128, 128, 128]), ("0", [0, 0, 0])):  # black is class 0, sky
        assert _segment(source, tmp_path / "out", "--opacity", opacity) == 0
        found = _read(tmp_path / "out" / "overlays" / "street.jpg").reshape(-1, 3)
        assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("options", [[], ["--frame-labels"]])
def test_a_video_gives_an_overlay_video_and_on_request_the_labels(tmp_path, options):
    writer = cv2.VideoWriter(str(tmp_path / "drive.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (64, 48))
    for brightness in (0, 128, 255):
        writer.write(np.full((48, 64, 3), brightness, np.uint8))
    writer.release()
    assert _segment(tmp_path / "drive.avi", tmp_path / "out", *options) == 0
    labels = [f"labels/drive/frame_{index:06d}.png" for index in range(3)] if options else []
    assert _names(tmp_path / "out") == [*labels, "overlays/drive.mp4"]
    video = cv2.VideoCapture(str(tmp_path / "out" / "overlays" / "drive.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    frames = [video.read() for _ in range(4)]
    assert [is_frame for is_frame, _ in frames] == [True] * 3 + [False]
    assert frames[0][1].shape == (48, 64, 3)


def test_a_very_large_image_is_tiled_by_itself_and_its_overlay_is_an_overview(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(segment, "AUTO_TILED_PIXELS", 100 * 200)
    monkeypatch.setattr(segment_files, "OVERVIEW_SIDE", 102)
    image = np.random.default_rng(0).integers(0, 256, (101, 204, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "slide.png"), image)
    tile = ["--input-height", "48", "--input-width", "64", "--overlap", "16"]
    assert _segment(tmp_path / "slide.png", tmp_path / "out", *tile) == 0
    expected = image.astype(np.uint16).sum(axis=2) // 3 * 12 // 256  # pixel by pixel: nothing was resized
    assert np.array_equal(_read(tmp_path / "out" / "labels" / "slide.png"), expected)
    assert _read(tmp_path / "out" / "overlays" / "slide.jpg").shape == (50, 102, 3)
    assert "at 48x64 on fake" in capsys.readouterr().out


@pytest.mark.parametrize(("tiled", "is_exact"), [("always", True), ("never", False), ("auto", False)])
def test_tiling_can_be_forced_and_forbidden(tmp_path, tiled, is_exact):
    image = np.random.default_rng(0).integers(0, 256, (40, 100, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "noise.png"), image)
    assert _segment(tmp_path / "noise.png", tmp_path / "out", "--tiled", tiled) == 0
    expected = image.astype(np.uint16).sum(axis=2) // 3 * 12 // 256
    assert np.array_equal(_read(tmp_path / "out" / "labels" / "noise.png"), expected) == is_exact


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("missing.png", [], "missing.png: no such file or folder"),
        ("broken.png", [], "broken.png: not an image that OpenCV can read"),
        ("notes.txt", [], "notes.txt: OpenCV cannot read it as a video"),
        ("empty", [], "empty: must contain at least one image (.png"),
        ("twins", [], "a.jpg and a.png have the same stem"),
        ("good.png", ["--weights", "mars"], "weights 'mars': neither a file"),
        ("good.png", ["--opacity", "2"], "overlay_opacity must be at most 1"),
        ("good.png", ["--overlap", "-8"], "--overlap must be at least 0 pixels, is -8"),
        ("good.png", ["--tiled", "always", "--input-height", "16", "--overlap", "16"], "overlap must be at most 8"),
        ("good.png", ["--out", "notes.txt"], "cannot be created: "),
        ("out/labels", [], "must not contain the input"),
        ("out/overlays/b.png", [], "must not contain the input"),
    ],
)
def test_what_cannot_be_segmented_is_one_line(tmp_path, monkeypatch, capsys, source, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "empty").mkdir()
    for name in ("good.png", "twins/a.png", "twins/a.jpg", "out/labels/b.png", "out/overlays/b.png"):
        _grey(tmp_path / name, 40, 60)
    assert _segment(source, "out", *options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("espnet_ros: error: ") and message in error


def test_an_image_beyond_opencvs_limit_is_named_with_it(tmp_path):
    _grey(tmp_path / "large.png", 40, 60)
    command = [sys.executable, "-m", "espnet_ros.cli", "segment", str(tmp_path / "large.png"), "--out", str(tmp_path)]
    environment = {**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": "1000"}
    done = subprocess.run([*command, *FAKE], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "large.png: must have at most 2^30 pixels" in done.stderr
    assert "OPENCV_IO_MAX_IMAGE_PIXELS" in done.stderr


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, capsys):
    source = _grey(tmp_path / "street.png", 30, 50)
    (tmp_path / "out" / "labels" / "street.png").mkdir(parents=True)
    assert _segment(source, tmp_path / "out") == 1
    assert "street.png: cannot be written" in capsys.readouterr().err


def test_memory_grows_by_little_more_than_the_image_and_its_labels(tmp_path):
    """4 bytes a pixel stay (image and labels); decoding, encoding and an overlay of bounded size come and go."""
    peaks = {}
    for height, width in ((1500, 2000), (4500, 6000)):
        path = tmp_path / f"{height}.png"
        assert cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
        peaks[height] = _peak_of_segmenting(path, tmp_path / "out")
    pixels = 4500 * 6000 - 1500 * 2000
    overlay = 6 * 3 * 4096 * 3072  # at most six images of the overview's size at once
    assert peaks[4500] - peaks[1500] < 8 * pixels + overlay


def _peak_of_segmenting(path, out):
    """Peak resident memory in bytes of a process that segments in tiles."""
    arguments = ["segment", str(path), "--out", str(out), "--tiled", "always", *FAKE]
    tile = ["--input-height", "512", "--input-width", "768", "--overlap", "64"]
    program = (
        "import resource, sys; from espnet_ros import cli; code = cli.main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, *tile], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) * 1024
