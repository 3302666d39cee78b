import os
from pathlib import Path

import pytest
import yaml
from odd_yaml import BOMB, NOT_YAML

from espnet_ros.errors import MAX_LENGTH, ParameterError
from espnet_ros.training.config_file import as_document, parse_config, read_config

REPOSITORY = Path(__file__).resolve().parents[2]


def _set(document, path, value):
    *parents, last = path.split(".")
    for key in parents:
        document = document[int(key)] if isinstance(document, list) else document.setdefault(key, {})
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("colour", 1, "training config has no key 'colour'; it has name, classes"),
        ("loss.lovas", 1.0, "loss has no key 'lovas'"),
        ("stages.0.rate", 1.0, "stages.0 has no key 'rate'"),
        ("alpha", 4, "alpha must be one of 3, 5, 8, is 4"),
        ("alpha", "3", "alpha must be of type int, is '3'"),
        ("compile", 1, "compile must be of type bool, is 1"),
        ("seed", True, "seed must be of type int, is True"),
        ("ema_decay", 1.0, "ema_decay must be at most 0.99999, is 1.0"),
        ("ema_decay", float("nan"), "ema_decay must be a finite number"),
        ("stages.0.learning_rate", "2e-3", "YAML reads 1e-3 as text; write 1.0e-3"),
        ("stages.0.schedule", "linear", "stages.0.schedule must be one of cosine, poly, constant, is 'linear'"),
        ("stages.0.epochs", 3, "stages.0 must have either epochs or steps above 0, has 3 and 30"),
        ("stages", [], "stages must have at least one entry"),
        ("input_size", [48, 60], "input_size.1 must be a multiple of 8, is 60"),
        ("input_size", [48], "input_size must have 2 entries, has 1"),
        ("input_size", 48, "input_size must be a list, is 48"),
        ("augmentation.scale", [2.0, 0.5], "augmentation.scale must be (least, most), is (2.0, 0.5)"),
        (
            "sources.train.0.augmentation",
            {"blur_sigma": [2.0, 0.5]},
            "sources.train.0.augmentation.blur_sigma must be (least, most), is (2.0, 0.5)",
        ),
        ("sources.train.0.augmentation", {"zoom": 2.0}, "sources.train.0.augmentation has no key 'zoom'"),
        ("sources.validation.0.augmentation", {}, "sources.validation.0 must have no augmentation"),
        ("sources.train", [{"share": 1.0}], "sources.train.0 must have either folder or synthetic"),
        ("sources.train", [{"synthetic": {}}], "sources.train.0.synthetic.first_seed is missing"),
        ("sources.train", [{"folder": "a", "share": 1.0}, {"folder": "b"}], "share must be above 0 for every source"),
        ("sources.train", [{"folder": "$NO_SUCH_PLACE/x"}], "its environment variable must be set"),
        ("name", "../x", "name must be letters"),
    ],
)
def test_a_broken_key_is_named_with_its_rule_and_value(document, tmp_path, path, value, message):
    _set(document, path, value)
    with pytest.raises(ParameterError) as error:
        parse_config(document, tmp_path)
    assert message in str(error.value)


def test_a_missing_key_is_named_with_its_meaning(document, tmp_path):
    del document["alpha"]
    with pytest.raises(ParameterError, match="alpha is missing: ESP blocks"):
        parse_config(document, tmp_path)


def test_the_encoder_alone_cannot_follow_the_whole_network(document, tmp_path):
    document["stages"] = [{"steps": 1}, {"network": "espnet_c", "steps": 1}]
    with pytest.raises(ParameterError, match=r"stages.1.network must be espnet"):
        parse_config(document, tmp_path)


def test_paths_start_from_the_config_file(config_file, scenes):
    config = read_config(config_file)
    assert config.sources.train[0].folder == str(scenes / "train")
    assert config.classes == "camvid"


def test_changes_replace_keys_and_entries_of_lists(config_file):
    config = read_config(config_file, ["stages.0.steps=7", "sources.hold_out=[b_]", "loss.lovasz_weight=1"])
    assert config.stages[0].steps == 7
    assert config.sources.hold_out == ("b_",)
    assert config.loss.lovasz_weight == 1.0


@pytest.mark.parametrize("change", ["stages.9.steps=7", "alpha", "alpha.x=3", "stages.x.steps=1"])
def test_a_change_without_a_place_is_refused(config_file, change):
    with pytest.raises(ParameterError, match="must be key=value"):
        read_config(config_file, [change])


def test_a_config_comes_back_from_its_own_document(make_config, tmp_path):
    config = make_config()
    assert parse_config(as_document(config), tmp_path) == config


@pytest.mark.parametrize("alpha", [3, 5, 8])
def test_the_configs_of_the_shipped_weights_are_valid(monkeypatch, alpha):
    monkeypatch.setenv("CAMVID", "/data/camvid")
    config = read_config(REPOSITORY / "weights" / f"espnet_alpha{alpha}_street.yaml")
    assert (config.alpha, config.classes, config.sources.hold_out) == (alpha, "camvid", ())
    assert config.sources.train[0].folder == "/data/camvid/train"


def test_a_file_that_is_no_config_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"cannot read .*none\.yaml: No such file"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ParameterError, match="must be a mapping of keys"):
        read_config(tmp_path / "list.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *NOT_YAML,
        (b"[" * 90 + b"]" * 90, "training config must be a mapping of keys, is [[["),
    ],
)
def test_any_file_that_is_no_config_is_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(ParameterError) as refused:
        read_config(tmp_path / "mine.yaml")
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("name", "name must be of type str, is [[["),
        ("augmentation", "augmentation must be a mapping of keys, is [[["),
        ("augmentation.scale", "augmentation.scale must have 2 entries, has 9: [[["),
    ],
)
def test_a_value_that_would_take_gigabytes_as_text_is_shortened(document, tmp_path, path, said):
    _set(document, path, yaml.safe_load(BOMB)["j"])
    with pytest.raises(ParameterError) as refused:
        parse_config(document, tmp_path)
    assert said in str(refused.value)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(ParameterError, match=r"cannot read .*mine\.yaml: not a regular file"):
        read_config(tmp_path / "mine.yaml")


def test_a_change_that_is_nested_too_deep_is_refused(config_file):
    with pytest.raises(ParameterError, match="must be key=value") as refused:
        read_config(config_file, ["name=" + "[" * 3000])
    assert len(str(refused.value)) <= MAX_LENGTH
