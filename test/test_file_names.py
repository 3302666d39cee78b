"""Files with spaces, other letters and bytes that are no text, in every locale: commands read and write them."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from espnet_ros.engines import EngineSpec, build_engine
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.images import VideoFile

FAKE = ["--backend", "fake", "--weights", "camvid"]
FOLDERS = (b"a b", "Straße – 道路".encode(), b"not \xff UTF-8", b"'quotes' \"and\" $HOME %s {x}", b"line\nbreak")
NAMES = (b"first image", b"\xc3\xa4 \xfe")
LOCALES = {
    "UTF-8": {"LC_ALL": "C.UTF-8"},
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "not there": {"LC_ALL": "xx_XX", "LC_NUMERIC": "de_DE.UTF-8", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
}
RUN_ALL = """
import json, os, sys
from espnet_ros import cli
commands = [[os.fsdecode(bytes.fromhex(part)) for part in command] for command in json.load(sys.stdin)]
sys.exit(max(map(cli.main, commands)))
"""


def _path(*parts):
    return Path(os.fsdecode(b"/".join(os.fsencode(part) for part in parts)))


@pytest.fixture
def folders(tmp_path):
    """Folders of two images and their labels."""
    folders = [_path(tmp_path, name) for name in FOLDERS]
    for folder in folders:
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True)
        for index, name in enumerate(NAMES):
            image = np.full((24, 40, 3), index * 64, np.uint8)
            for kind, pixels in (("images", image), ("labels", np.full((24, 40), 3 * index, np.uint8))):
                _path(folder, kind, name + b".png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return folders


def _named(folder):
    return {os.fsencode(path.stem) for path in folder.iterdir()}


@pytest.mark.process
@pytest.mark.parametrize("locale", LOCALES)
def test_commands_read_and_write_files_of_any_name_in_any_locale(folders, locale):
    commands = []
    for folder in folders:
        images = str(folder / "images")
        commands.append(["segment", images, "--out", str(folder / "out"), *FAKE])
        commands.append(["evaluate", "--images", images, "--json", str(folder / "result.json"), *FAKE])
    child = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps([[os.fsencode(part).hex() for part in command] for command in commands]).encode(),
        env={**os.environ, **LOCALES[locale]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.returncode == 0, child.stdout
    assert b"Traceback" not in child.stdout
    for folder in folders:
        assert _named(folder / "out" / "labels") == _named(folder / "out" / "overlays") == set(NAMES)
        assert json.loads((folder / "result.json").read_text(encoding="utf-8"))["images"] == 2


def test_a_video_without_a_utf8_name_is_one_clear_line(tmp_path):
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    video.write_bytes(b"")
    with pytest.raises(DatasetError, match="OpenCV opens only files with a name in UTF-8"):
        VideoFile(video)


@pytest.mark.slow
def test_onnx_models_are_written_to_and_loaded_from_a_folder_that_is_not_text(
    tmp_path, untrained_checkpoint, color_image
):
    pytest.importorskip("onnxruntime")
    spec = EngineSpec(
        untrained_checkpoint,
        untrained_checkpoint.load_class_table(),
        untrained_checkpoint.input_size,
        "onnxruntime",
        cache=str(_path(tmp_path, b"not \xff UTF-8")),
    )
    build_engine(spec).close()
    engine = build_engine(spec)
    assert engine.infer(color_image).labels.shape == color_image.shape[:2]
    engine.close()


def _opens_text_without_encoding(call):
    keywords = {keyword.arg for keyword in call.keywords}
    if "encoding" in keywords:
        return False
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("read_text", "write_text"):
        return True
    if isinstance(call.func, ast.Name) and call.func.id == "open":
        modes = [each.value for each in call.args[1:2] if isinstance(each, ast.Constant)]
        return not (modes and "b" in modes[0])
    is_child = isinstance(call.func, ast.Attribute) and call.func.attr in ("Popen", "run", "check_output")
    return is_child and bool(keywords & {"text", "universal_newlines"})


def test_no_file_or_output_is_read_in_the_encoding_of_the_locale():
    root = Path(__file__).resolve().parents[1]
    sources = [path for folder in ("espnet_ros", "launch", "examples") for path in (root / folder).rglob("*.py")]
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _opens_text_without_encoding(node)
    ]
    assert found == []
