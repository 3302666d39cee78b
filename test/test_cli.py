import json
import re
import signal

import cv2
import numpy as np
import pytest

from espnet_ros import __version__, cli
from espnet_ros.commands import evaluate
from espnet_ros.model.checkpoint import list_registry

KEYS = {
    "mean_iou",
    "class_iou",
    "pixel_accuracy",
    "images",
    "frames_per_second",
    "config",
    "weights_sha256",
    "engine",
    "version",
}
FAKE = ["--backend", "fake", "--weights", "camvid"]


@pytest.fixture
def drive(tmp_path):
    """Three images of (24, 40), black, white and grey, with the labels that the fake engine gives, but one row."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index, (brightness, label) in enumerate(((0, 0), (255, 11), (64, 3))):
        truth = np.full((24, 40), label, np.uint8)
        truth[0] = 5
        assert cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), np.full((24, 40, 3), brightness, np.uint8))
        assert cv2.imwrite(str(tmp_path / "labels" / f"{index}.png"), truth)
    return tmp_path


def _evaluate(drive, *more):
    code = cli.main(["evaluate", "--images", str(drive / "images"), *FAKE, "--json", str(drive / "out.json"), *more])
    assert code == 0
    return json.loads((drive / "out.json").read_text())


def test_no_command_is_wrong_usage(capsys):
    assert cli.main([]) == 2
    assert "usage: espnet_ros" in capsys.readouterr().err


def test_an_unknown_choice_is_wrong_usage(capsys):
    assert cli.main(["evaluate", "--backend", "abacus"]) == 2
    assert "invalid choice: 'abacus'" in capsys.readouterr().err


def test_help_and_version_succeed(capsys):
    assert cli.main(["--help"]) == 0
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.endswith(f"espnet_ros {__version__}\n")


@pytest.mark.parametrize(
    "command", [["evaluate"], ["demo"], ["bag", "create"], ["weights", "list"], ["weights", "fetch"]]
)
def test_every_command_has_help_with_an_example(command, capsys):
    assert cli.main([*command, "--help"]) == 0
    assert re.search(rf"example:\n  .*espnet_ros {' '.join(command)}", capsys.readouterr().out)


def test_an_error_is_one_line_without_traceback(capsys):
    assert cli.main(["evaluate", "--images", "/nowhere"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "espnet_ros: error: image folder /nowhere: cannot be listed: No such file or directory\n"
    assert captured.out == ""


def test_ctrl_c_is_quiet(monkeypatch, capsys, drive):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "build_segmenter", interrupt)
    assert cli.main(["evaluate", "--images", str(drive / "images")]) == 130
    assert capsys.readouterr().err == ""


def test_sigterm_unwinds_and_the_old_handler_comes_back(monkeypatch, drive):
    monkeypatch.setattr(evaluate, "build_segmenter", lambda *_args, **_options: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["evaluate", "--images", str(drive / "images")]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_evaluate_writes_exactly_the_keys_of_a_report(drive):
    assert set(_evaluate(drive)) == KEYS


def test_evaluate_counts_every_pixel(drive, capsys):
    report = _evaluate(drive)
    # Black is class 0, grey 64 is class 64 * 12 // 256 = 3, white is 255 * 12 // 256 = 11, which is void.
    # Each image has one row of 24 that is truly a tree: it adds 1/24 to the union of what was predicted there.
    assert report["class_iou"]["sky"] == pytest.approx(23 / 24)
    assert report["class_iou"]["road"] == pytest.approx(23 / 24)
    assert report["class_iou"]["tree"] == 0.0
    assert report["class_iou"]["car"] is None
    assert "void" not in report["class_iou"]
    assert report["mean_iou"] == pytest.approx(2 * 23 / 24 / 3)
    # truth that is not void: two images of 23 right rows, three wrong rows
    assert report["pixel_accuracy"] == pytest.approx(46 / 49)
    assert report["images"] == 3
    assert report["frames_per_second"] > 0
    out = capsys.readouterr().out
    assert re.search(r"sky +95\.83", out)
    assert re.search(r"car +-", out)
    assert "mean IoU 0.6389, pixel accuracy 0.9388, 3 images" in out


def test_evaluate_says_what_ran_with_nothing_left_automatic(drive):
    report = _evaluate(drive, "--input-height", "48", "--input-width", "64")
    assert report["config"] == {
        "network": "espnet",
        "alpha": 8,
        "weights": "espnet_alpha8_camvid",
        "classes": "camvid",
        "backend": "fake",
        "precision": "fp32",
        "input_height": 48,
        "input_width": 64,
        "threads": 0,
    }
    assert report["engine"]["backend"] == "fake"
    assert report["weights_sha256"].startswith("7d354a25")
    assert report["version"] == __version__


def test_evaluate_reads_a_bag(drive):
    expected = _evaluate(drive)
    assert cli.main(["bag", "create", "--images", str(drive / "images"), "--out", str(drive / "bag")]) == 0
    assert cli.main(["evaluate", "--bag", str(drive / "bag"), *FAKE, "--json", str(drive / "bag.json")]) == 0
    report = json.loads((drive / "bag.json").read_text())
    for key in KEYS - {"frames_per_second"}:
        assert report[key] == expected[key]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "evaluate needs --images (with --labels) or --bag"),
        (["--labels", "x"], "--labels needs --images"),
        (["--images", "{drive}/labels/../images", "--weights", "mars"], "weights 'mars'"),
        (["--images", "{drive}/images", "--classes", "cityscapes"], "class table 'cityscapes' has 20 classes"),
        (["--images", "{drive}/images", "--input-height", "9"], "input_height must be a multiple of 8"),
        (["--bag", "{drive}"], "cannot be read"),
    ],
)
def test_evaluate_refuses_what_it_cannot_use(drive, capsys, options, message):
    options = [option.format(drive=drive) for option in options]
    assert cli.main(["evaluate", *FAKE, *options]) == 1
    assert message in capsys.readouterr().err


def test_evaluate_needs_labels(drive, capsys, tmp_path):
    (drive / "labels").rename(drive / "truth")
    assert cli.main(["evaluate", "--images", str(drive / "images"), *FAKE]) == 1
    assert "evaluate needs true labels" in capsys.readouterr().err
    assert cli.main(["evaluate", "--images", str(drive / "images"), "--labels", str(drive / "truth"), *FAKE]) == 0


def test_evaluate_refuses_ids_outside_the_table(drive, capsys):
    assert cv2.imwrite(str(drive / "labels" / "1.png"), np.full((24, 40), 77, np.uint8))
    assert cli.main(["evaluate", "--images", str(drive / "images"), *FAKE]) == 1
    error = capsys.readouterr().err
    assert "1.png: ids must be 0..11 of class table 'camvid' or 255 (unlabelled), but 77 occurs" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--rate", "0"], "--rate must be above 0"), (["--fov", "180"], "--fov must be 1 to 170 degrees")],
)
def test_bag_create_refuses_bad_numbers(drive, capsys, options, message):
    command = ["bag", "create", "--images", str(drive / "images"), "--out", str(drive / "bag"), *options]
    assert cli.main(command) == 1
    assert message in capsys.readouterr().err
    assert not (drive / "bag").exists()


def test_weights_list_shows_every_checkpoint_and_where_it_is(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ESPNET_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cli.main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "family", "network", "alpha", "classes", "size", "where"]
    assert [line.split()[0] for line in lines[1:]] == [entry.name for entry in list_registry()]
    shipped = [line for line in lines[1:] if " street " in line]
    assert [line.split("weights/")[-1] for line in shipped] == [
        f"espnet_alpha{alpha}_street.safetensors" for alpha in (3, 5, 8)
    ]
    assert all(line.endswith("not on this machine") for line in lines[1:] if line not in shipped)


def test_weights_fetch_says_where_the_file_is(monkeypatch, published_weights, capsys):
    monkeypatch.setenv("ESPNET_WEIGHTS_DIR", str(published_weights))
    assert cli.main(["weights", "fetch", "camvid"]) == 0
    path = published_weights / "espnet" / "espnet_p_2_q_8_camvid.pth"
    assert capsys.readouterr().out == f"espnet_alpha8_camvid: {path}\n"


def test_weights_fetch_refuses_an_unknown_name(capsys):
    assert cli.main(["weights", "fetch", "mars"]) == 1
    assert "weights 'mars': not a known name; known names: camvid, cityscapes" in capsys.readouterr().err


def test_a_seed_belongs_to_the_synthetic_street(tmp_path, capsys):
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 12, 3), np.uint8))
    assert cli.main(["demo", "--images", str(tmp_path), "--seed", "3"]) == 1
    assert (
        "--seed selects a synthetic street and cannot be combined with --images, --video or --bag"
        in capsys.readouterr().err
    )


def test_the_demo_says_which_weights_are_missing(tmp_path, capsys):
    assert cli.main(["demo", "--weights", "mars", "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "weights 'mars'" in captured.err
    assert "render the street" not in captured.err  # the progress bar of the slow part


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "tolerance"), [("torch", 0.0005), ("openvino", 0.003)])
def test_published_camvid_weights_have_their_mean_iou(
    camvid_val, published_weights, engine_cache, tmp_path, monkeypatch, backend, tolerance
):
    monkeypatch.setenv("XDG_CACHE_HOME", engine_cache)
    weights = published_weights / "espnet" / "espnet_p_2_q_8_camvid.pth"
    command = ["evaluate", "--images", str(camvid_val / "images"), "--labels", str(camvid_val / "labels")]
    options = ["--weights", str(weights), "--classes", "camvid", "--backend", backend]
    size = ["--input-height", "360", "--input-width", "480"]
    assert cli.main([*command, *options, *size, "--json", str(tmp_path / "out.json")]) == 0
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["images"] == 101
    assert report["mean_iou"] == pytest.approx(0.6868, abs=tolerance)


def test_an_error_of_the_system_is_one_line(monkeypatch, capsys, tmp_path):
    def refuse(_args):
        (tmp_path / "missing" / "x").write_text("", encoding="utf-8")

    monkeypatch.setattr(evaluate, "run", refuse)
    assert cli.main(["evaluate", "--images", str(tmp_path), *FAKE]) == 1
    assert capsys.readouterr().err == f"espnet_ros: error: {tmp_path}/missing/x: No such file or directory\n"
