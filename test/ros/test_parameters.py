from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from rclpy.parameter import Parameter

from espnet_ros.config import NodeConfig, default_of, rule_of
from espnet_ros.errors import ClassTableError, EngineError, EspnetError, ParameterError, WeightsError
from espnet_ros.ros import parameters

DEFAULTS = Path(__file__).resolve().parents[2] / "config" / "default.yaml"
FAKE = NodeConfig(backend="fake", weights="cityscapes")
SINGLE = FAKE.changed({"weights": "espnet_alpha5_cityscapes", "alpha": 5})


def test_default_yaml_has_every_parameter_with_its_default():
    document = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    assert document == {"/**": {"ros__parameters": NodeConfig().as_dict()}}
    assert [type(value) for value in document["/**"]["ros__parameters"].values()] == [
        type(value) for value in NodeConfig().as_dict().values()
    ]


SHARE_A_COMMENT = {
    "input_width", "tensorrt_log_level", "ground_height", "camera_y", "camera_z", "camera_roll", "camera_pitch",
    "camera_yaw", "costmap_height", "costmap_resolution", "costmap_max_range", "costmap_miss", "error_temperature",
    "error_power", "error_energy", "error_latency", "error_rate",
}  # fmt: skip


def test_default_yaml_explains_every_parameter_in_a_comment_above_it():
    lines = DEFAULTS.read_text(encoding="utf-8").splitlines()
    for name in parameters.NAMES:
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
        assert lines[at - 1].strip().startswith("#") != (name in SHARE_A_COMMENT), name


@pytest.mark.parametrize("name", parameters.NAMES)
def test_every_parameter_has_a_descriptor_with_its_meaning(name):
    rule, descriptor = rule_of(name), parameters.describe(name)
    assert descriptor.name == name
    assert descriptor.description.startswith(rule.description)
    assert rule.unit in descriptor.description
    assert descriptor.read_only == (not rule.live)
    for choice in rule.choices:
        assert str(choice) in descriptor.additional_constraints
    ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
    assert [(r.from_value, r.to_value) for r in ranges] == (
        [] if rule.minimum is None else [(rule.minimum, rule.maximum)]
    )


def test_engine_parameters_are_live_parameters():
    assert all(rule_of(name).live for name in parameters.ENGINE_NAMES)


def test_texts_that_yaml_takes_for_something_else_are_read_as_they_were_meant():
    given = {"governor": False, "power_mode": 2, "governor_alphas": [3, 8], "governor_rates": [5.0, 0.0]}
    meant = {"governor": "off", "power_mode": "2", "governor_alphas": "3, 8", "governor_rates": "5.0, 0.0"}
    assert parameters.values([Parameter(name, value=value) for name, value in given.items()]) == meant
    assert parameters.values([Parameter("governor_modes", value="MAXQ")]) == {"governor_modes": "MAXQ"}


def test_a_whole_number_is_taken_for_a_float():
    values = parameters.values([Parameter("max_rate", value=10), Parameter("alpha", value=3)])
    assert values == {"max_rate": 10.0, "alpha": 3}
    assert type(values["max_rate"]) is float


def test_parameters_of_others_are_left_alone():
    assert parameters.values([Parameter("use_sim_time", value=True)]) == {}


def test_only_some_changes_take_another_engine():
    base = NodeConfig()
    for name in parameters.NAMES:
        other = {
            "network": "espnet_c",
            "alpha": 3,
            "backend": "fake",
            "precision": "fp32",
            "tensorrt_log_level": "info",
            "image_transport": "compressed",
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
        assert parameters.changes_engine(base, changed) == (name in parameters.ENGINE_NAMES), name


@pytest.mark.parametrize(
    ("current", "changes", "error", "reason"),
    [
        (FAKE, {"alpha": 4}, ParameterError, "alpha must be one of 3, 5, 8, is 4"),
        (FAKE, {"alpha": "3"}, ParameterError, r"alpha must be of type int, is '3' \(str\)"),
        (FAKE, {"alpha": None}, ParameterError, "alpha must be of type int, is None"),
        (FAKE, {"max_rate": -1.0}, ParameterError, "max_rate must be at least 0.0 Hz, is -1.0"),
        (FAKE, {"max_rate": float("nan")}, ParameterError, "max_rate must be a finite number, is nan"),
        (FAKE, {"input_height": 100}, ParameterError, "input_height must be a multiple of 8 pixel, is 100"),
        (FAKE, {"weights": "kitti"}, WeightsError, "weights 'kitti': neither a file .* nor a known name"),
        (FAKE.changed({"alpha": 3}), {"weights": "camvid"}, WeightsError, "have no espnet with alpha 3"),
        (FAKE, {"classes": "camvid"}, ClassTableError, "has 12 classes, but checkpoint .* has 20 outputs"),
        (FAKE, {"classes": "nowhere.yaml"}, ClassTableError, "cannot read nowhere.yaml"),
        (SINGLE, {"alpha": 3}, ParameterError, "alpha must be 5, which the checkpoint 'espnet_alpha5_cityscapes' has"),
        (SINGLE, {"network": "espnet_c"}, ParameterError, "network must be espnet, .* set weights to a family"),
        (FAKE, {"weights": "espnet_alpha5_cityscapes", "alpha": 3}, ParameterError, "alpha must be 5"),
    ],
)
def test_a_change_that_cannot_work_is_refused_with_rule_and_value(current, changes, error, reason):
    with pytest.raises(error, match=reason):
        parameters.check_change(current, changes)


def test_a_backend_that_is_not_installed_is_refused(monkeypatch):
    def refuse(backend):
        raise EngineError(f"backend '{backend}' is not installed")

    monkeypatch.setattr(parameters, "choose_backend", refuse)
    with pytest.raises(EspnetError, match="backend 'openvino' is not installed"):
        parameters.check_change(FAKE, {"backend": "openvino"})


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
    config = parameters.check_change(current, changes)
    assert {name: getattr(config, name) for name in changes} == changes


def test_a_single_checkpoint_decides_network_and_alpha():
    config = parameters.follow_weights(FAKE.changed({"weights": "espnet_c_alpha3_cityscapes"}))
    assert (config.network, config.alpha) == ("espnet_c", 3)


def test_a_family_leaves_network_and_alpha_alone():
    config = FAKE.changed({"network": "espnet_c", "alpha": 3})
    assert parameters.follow_weights(config) == config
