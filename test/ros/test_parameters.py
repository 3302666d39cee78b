import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from rclpy.parameter import Parameter

from espnet_ros.config import rule_of
from espnet_ros.ros import parameters


@pytest.mark.parametrize("name", parameters.NAMES)
def test_every_parameter_has_a_descriptor_with_its_rule(name):
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


def test_strings_that_yaml_reads_as_another_type_are_converted_back():
    given = {"governor": False, "power_mode": 2, "governor_alphas": [3, 8], "governor_rates": [5.0, 0.0]}
    meant = {"governor": "off", "power_mode": "2", "governor_alphas": "3, 8", "governor_rates": "5.0, 0.0"}
    assert parameters.values([Parameter(name, value=value) for name, value in given.items()]) == meant
    for value, text in ((True, "true"), (False, "false")):
        assert parameters.values([Parameter("image_is_rectified", value=value)]) == {"image_is_rectified": text}
    assert parameters.values([Parameter("governor_modes", value="MAXQ")]) == {"governor_modes": "MAXQ"}


def test_an_integer_becomes_a_float():
    values = parameters.values([Parameter("max_rate", value=10), Parameter("alpha", value=3)])
    assert values == {"max_rate": 10.0, "alpha": 3}
    assert type(values["max_rate"]) is float


def test_parameters_of_rclpy_are_ignored():
    assert parameters.values([Parameter("use_sim_time", value=True)]) == {}
