import pytest

from espnet_ros import cli
from espnet_ros.config import NodeConfig
from espnet_ros.demo import alphas
from espnet_ros.demo.alphas import build_ahead, check_alphas, default_alphas, parse_alphas
from espnet_ros.engines.selection import Candidate
from espnet_ros.errors import ParameterError, WeightsError
from espnet_ros.loading import resolve_spec

CITYSCAPES, CAMVID = NodeConfig(weights="cityscapes"), NodeConfig(weights="camvid")
SINGLE = NodeConfig(weights="espnet_alpha3_cityscapes")


@pytest.mark.parametrize(("text", "expected"), [("8,5,3", (8, 5, 3)), ("5", (5,)), (" 3, 8 ,3", (3, 8, 3))])
def test_alphas_are_numbers_between_commas(text, expected):
    assert parse_alphas(text) == expected


@pytest.mark.parametrize("text", ["", "4", "8,", "8;5", "8,5,three", "08", "8 5"])
def test_what_is_no_alpha_is_refused(text):
    with pytest.raises(ParameterError) as caught:
        parse_alphas(text)
    assert str(caught.value) == f"--alphas must be one or more of 3, 5, 8, separated by commas, is {text!r}"


def test_an_alpha_cannot_be_changed_to_itself():
    with pytest.raises(ParameterError, match="--alphas must not repeat an alpha twice in a row, is '8,5,5'"):
        parse_alphas("8,5,5")


def test_a_family_with_every_alpha_shows_them_all():
    assert default_alphas(CITYSCAPES, 12.0) == (8, 5, 3)
    assert default_alphas(CITYSCAPES.changed({"network": "espnet_c"}), 6.0) == (8, 5, 3)


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (CAMVID.changed({"alpha": 5}), 12.0),
        (SINGLE.changed({"alpha": 5}), 12.0),
        (CITYSCAPES.changed({"alpha": 5}), 5.9),
    ],
)
def test_other_weights_and_short_drives_have_the_one_alpha_of_the_configuration(config, seconds):
    assert default_alphas(config, seconds) == (5,)


def test_named_alphas_are_taken_where_the_weights_have_them():
    check_alphas((8, 5, 3, 8), CITYSCAPES, 4)
    check_alphas((3,), SINGLE, 0)


@pytest.mark.parametrize(
    ("config", "num_frames", "error", "message"),
    [
        (CITYSCAPES, 0, ParameterError, "needs --limit if the number of images is unknown"),
        (CITYSCAPES, 1, ParameterError, "--alphas must name at most as many alphas as there are images, 1, names 2"),
        (
            SINGLE,
            9,
            ParameterError,
            "--alphas must be 3, the only alpha of the weights 'espnet_alpha3_cityscapes', has 5",
        ),
        (CAMVID, 9, WeightsError, "weights 'camvid' have no espnet with alpha 5; they have: espnet alpha 8"),
    ],
)
def test_named_alphas_that_cannot_be_had_are_refused(config, num_frames, error, message):
    with pytest.raises(error, match=message):
        check_alphas((5, 3), config, num_frames)


class _Engine:
    closed = 0

    def close(self):
        _Engine.closed += 1


@pytest.mark.parametrize(("backend", "num_built"), [("openvino", 2), ("fake", 0)])
def test_engines_are_built_ahead_where_they_are_kept(monkeypatch, backend, num_built):
    specs = [resolve_spec(CITYSCAPES.changed({"alpha": alpha, "backend": "fake"})) for alpha in (5, 3)]
    built, said = [], []
    monkeypatch.setattr(alphas, "choose_backend", lambda _requested: Candidate(backend, "requested"))
    monkeypatch.setattr(alphas, "build_engine", lambda spec: built.append(spec) or _Engine())
    _Engine.closed = 0
    build_ahead(specs, said.append)
    assert built == specs[:num_built]
    assert _Engine.closed == num_built
    assert (
        said
        == [f"building the engine for alpha {alpha}: espnet_alpha{alpha}_cityscapes at 512x1024" for alpha in (5, 3)][
            :num_built
        ]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--alphas", "8,4"], "--alphas must be one or more of 3, 5, 8, separated by commas, is '8,4'"),
        (
            ["--alphas", "8,5", "--alpha", "8"],
            "--alphas includes the first alpha and cannot be combined with --alpha",
        ),
        (
            ["--alphas", "8,5,3", "--limit", "2"],
            "--alphas must name at most as many alphas as there are images, 2, names 3",
        ),
        (["--alphas", "8,5", "--weights", "camvid"], "weights 'camvid' have no espnet with alpha 5"),
    ],
)
def test_the_demo_refuses_alphas_before_anything_starts(tmp_path, capsys, options, message):
    out = tmp_path / "out"
    assert cli.main(["demo", "--backend", "fake", "--weights", "cityscapes", "--out", str(out), *options]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()
