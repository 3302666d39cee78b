import json

import pytest

from espnet_ros import cli


@pytest.mark.slow
def test_engines_are_written_as_table_json_and_plot(untrained_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights = str(untrained_checkpoint.path)
    code = cli.main(
        ["benchmark", "--weights", weights, "--alpha", "3", "--sizes", "48x64", "32x96", "--rounds", "2",
         "--contenders", "torch/fp32", "tensorrt/fp16",
         "--json", str(tmp_path / "speed.json"), "--plot", str(tmp_path / "speed.svg")]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert "| 3 | 48x64 | published pipeline, eager PyTorch |" in printed
    assert "| 3 | 32x96 | espnet_ros, torch fp32 |" in printed
    assert "- tensorrt/fp16: " in printed
    document = json.loads((tmp_path / "speed.json").read_text())
    assert [(entry["input_height"], entry["input_width"]) for entry in document["comparisons"]] == [(48, 64), (32, 96)]
    assert document["images"] == "synthetic street"
    assert (tmp_path / "speed.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--sizes", "512"], "must be HEIGHTxWIDTH in pixels, such as 512x1024, is '512'"),
        (["--sizes", "0x64"], "is '0x64'"),
        (["--rounds", "0"], "must be an integer above 0, is '0'"),
    ],
)
def test_wrong_values_are_wrong_usage(options, reason, capsys):
    assert cli.main(["benchmark", *options]) == 2
    assert reason in capsys.readouterr().err


def test_an_unknown_contender_is_refused_before_anything_runs(capsys):
    assert cli.main(["benchmark", "--contenders", "tflite"]) == 1
    assert "contender must be one of published, torch.compile, onnxruntime, openvino" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    assert cli.main(["benchmark", "--images", str(tmp_path / "nowhere")]) == 1
    assert "nowhere: cannot be listed" in capsys.readouterr().err
