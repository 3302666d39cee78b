import pytest

from espnet_ros.config import NodeConfig, default_of, rule_of
from espnet_ros.errors import ClassTableError, EngineError, EspnetError, ParameterError, WeightsError
from espnet_ros.model import download
from espnet_ros.runtime import engine_parameters

FAKE = NodeConfig(backend="fake", weights="cityscapes")
SINGLE = FAKE.changed({"weights": "espnet_alpha5_cityscapes", "alpha": 5})


def test_engine_parameters_are_live_parameters():
    assert all(rule_of(name).live for name in engine_parameters.ENGINE_NAMES)


def test_only_some_changes_take_another_engine():
    base = NodeConfig()
    for name in NodeConfig().as_dict():
        other = {
            "network": "espnet_c",
            "alpha": 3,
            "backend": "fake",
            "precision": "fp32",
            "tensorrt_log_level": "info",
            "image_transport": "compressed",
            "image_is_rectified": "true",
            "pose_source": "odom",
            "costmap_width": 16.0,
            "costmap_height": 16.0,
            "costmap_max_range": 16.0,
            "governor": "rate",
            "governor_max_temperature": 70.0,
            "governor_alphas": "3",
            "governor_sizes": "256x512",
            "governor_rates": "5",
            "governor_hold": 2.0,
        }
        value = other.get(name)
        if value is None:
            value = {str: "x", int: 16, float: 0.75, bool: True}[type(default_of(name))]
        changed = base.changed({name: value})
        assert engine_parameters.changes_engine(base, changed) == (name in engine_parameters.ENGINE_NAMES), name


@pytest.mark.parametrize(
    ("current", "changes", "error", "reason"),
    [
        (FAKE, {"alpha": 4}, ParameterError, "alpha must be one of 3, 5, 8, is 4"),
        (FAKE, {"alpha": "3"}, ParameterError, r"alpha must be of type int, is '3' \(str\)"),
        (FAKE, {"alpha": None}, ParameterError, "alpha must be of type int, has no value"),
        (FAKE, {"max_rate": -1.0}, ParameterError, "max_rate must be at least 0.0 Hz, is -1.0"),
        (FAKE, {"max_rate": float("nan")}, ParameterError, "max_rate must be a finite number, is nan"),
        (FAKE, {"input_height": 100}, ParameterError, "input_height must be a multiple of 8 pixel, is 100"),
        (FAKE, {"weights": "kitti"}, WeightsError, "weights 'kitti': neither a file .* nor a known name"),
        (FAKE.changed({"alpha": 3}), {"weights": "camvid"}, WeightsError, "have no espnet with alpha 3"),
        (FAKE, {"classes": "camvid"}, ClassTableError, "has 12 classes, but checkpoint .* has 20 outputs"),
        (FAKE, {"classes": "nowhere.yaml"}, ClassTableError, "cannot read nowhere.yaml"),
        (SINGLE, {"alpha": 3}, ParameterError, "alpha must be 5 with checkpoint 'espnet_alpha5_cityscapes'"),
        (SINGLE, {"network": "espnet_c"}, ParameterError, "network must be espnet with .* set weights to a family"),
        (FAKE, {"weights": "espnet_alpha5_cityscapes", "alpha": 3}, ParameterError, "alpha must be 5"),
    ],
)
def test_a_change_that_cannot_work_is_refused_with_rule_and_value(current, changes, error, reason):
    with pytest.raises(error, match=reason):
        engine_parameters.check_change(current, changes)


def test_a_backend_that_is_not_installed_is_refused(monkeypatch):
    def refuse(backend):
        raise EngineError(f"backend '{backend}' is not installed")

    monkeypatch.setattr(engine_parameters, "choose_backend", refuse)
    with pytest.raises(EspnetError, match="backend 'openvino' is not installed"):
        engine_parameters.check_change(FAKE, {"backend": "openvino"})


@pytest.mark.parametrize(
    ("current", "changes"),
    [
        (FAKE, {"alpha": 3}),
        (FAKE, {"weights": "camvid"}),
        (FAKE, {"weights": "espnet_alpha3_cityscapes"}),
        (SINGLE, {"weights": "cityscapes"}),
        (SINGLE, {"alpha": 5}),
        (SINGLE, {"weights": "cityscapes", "alpha": 3}),
        (FAKE, {"input_height": 256}),
        (FAKE, {"max_rate": 5.0}),
    ],
)
def test_a_change_that_can_work_is_accepted(current, changes):
    config = engine_parameters.check_change(current, changes)
    assert {name: getattr(config, name) for name in changes} == changes


def test_a_check_downloads_nothing(monkeypatch):
    def refuse(*_arguments):
        raise AssertionError("downloads in the callback")

    monkeypatch.setattr(download, "find_by_sha256", lambda *_arguments: None)
    monkeypatch.setattr(download, "fetch", refuse)
    monkeypatch.setattr(engine_parameters, "choose_backend", lambda _backend: None)
    changes = {"weights": "camvid", "backend": "torch", "alpha": 8}
    assert engine_parameters.check_change(FAKE, changes) == FAKE.changed(changes)
    with pytest.raises(ClassTableError, match="has 12 classes"):  # what needs no file is checked
        engine_parameters.check_change(FAKE, {"classes": "camvid", "backend": "torch"})


def test_a_single_checkpoint_decides_network_and_alpha():
    config = engine_parameters.follow_weights(FAKE.changed({"weights": "espnet_c_alpha3_cityscapes"}))
    assert (config.network, config.alpha) == ("espnet_c", 3)


def test_a_family_leaves_network_and_alpha_alone():
    config = FAKE.changed({"network": "espnet_c", "alpha": 3})
    assert engine_parameters.follow_weights(config) == config
