import dataclasses

import pytest

from espnet_ros.config import NodeConfig, check_value, rule_of
from espnet_ros.errors import ParameterError


def test_defaults_pass_their_own_rules():
    assert NodeConfig().alpha == 8


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("alpha", 4, "alpha must be one of 3, 5, 8, is 4"),
        ("alpha", 3.0, "alpha must be of type int, is 3.0 (float)"),
        ("alpha", True, "alpha must be of type int, is True (bool)"),
        (
            "backend",
            "tpu",
            "backend must be one of auto, tensorrt, native, openvino, onnxruntime, torch, fake, is 'tpu'",
        ),
        ("input_height", 100, "input_height must be a multiple of 8 pixel, is 100"),
        ("input_width", -8, "input_width must be at least 0 pixel, is -8"),
        ("max_rate", 2000.0, "max_rate must be at most 1000.0 Hz, is 2000.0"),
        ("max_rate", float("nan"), "max_rate must be a finite number, is nan"),
        ("min_confidence", 1.5, "min_confidence must be at most 1.0, is 1.5"),
    ],
)
def test_a_bad_value_is_refused_with_name_rule_and_value(name, value, reason):
    with pytest.raises(ParameterError) as caught:
        NodeConfig().changed({name: value})
    assert str(caught.value) == reason


def test_one_side_of_the_input_may_be_set_alone():
    assert NodeConfig().changed({"input_height": 512}).input_width == 0


def test_an_unknown_parameter_is_named():
    with pytest.raises(ParameterError, match="there is no parameter 'beta'"):
        NodeConfig().changed({"beta": 1})


def test_a_change_leaves_the_original_alone():
    config = NodeConfig()
    assert config.changed({"alpha": 3}).alpha == 3
    assert config.alpha == 8


@pytest.mark.parametrize("name", [entry.name for entry in dataclasses.fields(NodeConfig)])
def test_every_parameter_has_a_description_and_a_default_that_passes(name):
    assert rule_of(name).description.endswith(".")
    check_value(name, NodeConfig().as_dict()[name])
