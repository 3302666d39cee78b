import dataclasses
import subprocess
import sys

import pytest

from espnet_ros.board.profiles import PowerProfile
from espnet_ros.config import SECTIONS, NodeConfig, check_value, names_where, option_names, rule_of
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
        ("governor_alphas", "3, 4", "governor_alphas must be a list of 3, 5, 8, such as '3, 8', is '3, 4'"),
        ("governor_alphas", "", "governor_alphas must be a list of 3, 5, 8, such as '3, 8', is ''"),
        (
            "governor_sizes",
            "256x500",
            "governor_sizes must be a list of HEIGHTxWIDTH, multiples of 8 up to 8192 such as '256x512, 512x1024', "
            "is '256x500'",
        ),
        (
            "governor_rates",
            "5, nan",
            "governor_rates must be a list of Hz from 0 to 1000 such as '5, 10, 0', is '5, nan'",
        ),
    ],
)
def test_a_bad_value_is_refused_with_name_rule_and_value(name, value, reason):
    with pytest.raises(ParameterError) as caught:
        NodeConfig().changed({name: value})
    assert str(caught.value) == reason


def test_one_side_of_the_input_may_be_set_alone():
    assert NodeConfig().changed({"input_height": 512}).input_width == 0


def test_lists_are_read_without_repetition():
    config = NodeConfig().changed({"governor_alphas": "8,3, 8", "governor_sizes": "512x1024, 256X512,512x1024"})
    assert config.allowed_alphas() == (3, 8)
    assert config.allowed_sizes() == ((512, 1024), (256, 512))
    assert config.changed({"governor_rates": "10, 5.5, 0"}).allowed_rates() == (10.0, 5.5, 0.0)
    assert config.allowed_rates() == ()


def test_an_unknown_parameter_is_named():
    with pytest.raises(ParameterError, match="there is no parameter 'beta'"):
        NodeConfig().changed({"beta": 1})


def test_a_change_leaves_the_original_alone():
    config = NodeConfig()
    assert config.changed({"alpha": 3}).alpha == 3
    assert config.alpha == 8


@pytest.mark.parametrize(("max_rate", "gap"), [(0.0, 1.0), (10.0, 1.0), (2.0, 1.0), (1.0, 2.0), (0.5, 4.0)])
def test_a_costmap_goes_stale_after_its_timeout_or_two_images_at_max_rate(max_rate, gap):
    assert NodeConfig(costmap_timeout=1.0, max_rate=max_rate).longest_costmap_gap == gap


@pytest.mark.parametrize("name", [entry.name for entry in dataclasses.fields(NodeConfig)])
def test_every_parameter_has_a_description_and_a_default_that_passes(name):
    assert rule_of(name).description.endswith(".")
    check_value(name, NodeConfig().as_dict()[name])


def test_sections_hold_every_parameter_in_order():
    assert [name for section in SECTIONS for name in section.names] == list(NodeConfig().as_dict())


def test_an_engine_parameter_is_live_and_an_option_of_engine_build():
    for name in names_where(lambda rule: rule.changes_engine):
        assert rule_of(name).live
        assert name in option_names("engine", "build")


def test_a_launch_argument_is_an_option_of_engine_build_that_build_only_can_pass_on():
    assert set(names_where(lambda rule: rule.is_launch_argument)) <= set(option_names("engine", "build"))


def test_a_power_profile_has_a_field_for_every_parameter_that_it_may_set():
    fields = {entry.name for entry in dataclasses.fields(PowerProfile)}
    assert set(names_where(lambda rule: rule.in_profile)) == fields - {"name", "board_modes", "jetson_clocks", "origin"}


def test_options_and_profiles_are_declared_with_known_words():
    assert set(option_names("engine", "build", "")) == set(NodeConfig().as_dict())


@pytest.mark.process
def test_importing_the_parameters_is_light():
    code = "import sys, espnet_ros.config; print({'numpy', 'cv2', 'torch', 'rclpy', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
