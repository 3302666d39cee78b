"""The governor's connection to the parameters: its goal, its options, and the parameters that a decision changes."""

import math

import pytest
from fake_board.tx2 import Tx2

from espnet_ros.config import NodeConfig
from espnet_ros.errors import PowerError
from espnet_ros.governor import governor_binding as binding
from espnet_ros.governor.cost_model import OperationCostModel
from espnet_ros.governor.governor_binding import (
    GovernorBinding,
    NodeState,
    allowed_options,
    choose_cost_model,
    goal_from,
    parameter_changes,
)
from espnet_ros.governor.measured_cost_model import MeasuredCostModel
from espnet_ros.governor.tx2_cost_model import Tx2CostModel
from espnet_ros.governor.types import AllowedOptions, Goal, Observation, Option

FULL, HALF = (512, 1024), (256, 512)
STATE = NodeState(8, (3, 5, 8), FULL, "fp16", 0.0, None, ())
HOLDS_12 = NodeConfig(governor="rate", governor_rate=12.0)
TABLE = """alpha,height,width,mode,precision,frames_per_second,watts,idle_watts
8,512,1024,MAXQ,fp16,4,6,4
8,512,1024,MAXN,fp16,10,12,5
"""


def observe(time, **values):
    """An image takes 80 ms: 12 Hz keep the worker busy for 96 % of the time, 12.5 Hz for 100 %."""
    return Observation(**{"time": time, "input_rate": 45.0, "output_rate": 12.0, "frame_time": 0.08, **values})


@pytest.fixture
def cost_models(monkeypatch):
    """Table, precision and mode of each cost model created."""
    made = []

    def choose(table, present):
        made.append((table, present.precision, present.mode))
        return OperationCostModel()

    monkeypatch.setattr(binding, "choose_cost_model", choose)
    return made


@pytest.mark.parametrize(
    ("values", "goal"),
    [
        ({"governor": "rate", "governor_rate": 12.0}, Goal("rate", 12.0, 85.0)),
        ({"governor": "power", "governor_power": 6.5}, Goal("power", 6.5, 85.0)),
        ({"governor": "latency", "governor_max_temperature": 70.0}, Goal("latency", 0.2, 70.0)),
    ],
)
def test_the_goal_is_that_of_the_parameters(values, goal):
    assert goal_from(NodeConfig(**values)) == goal


@pytest.mark.parametrize("kind", ["off", "thermal"])
def test_a_goal_without_a_target_has_none(kind):
    goal = goal_from(NodeConfig(governor=kind))
    assert goal.kind == kind and math.isnan(goal.target)


@pytest.mark.parametrize(
    ("values", "present", "allowed"),
    [
        ({}, {}, AllowedOptions((3, 5, 8), (FULL,), (math.inf,), (None,))),
        ({}, {"max_rate": 5.0, "mode": "MAXQ"}, AllowedOptions((3, 5, 8), (FULL,), (5.0,), (None,))),
        ({"governor_alphas": "8, 3"}, {}, AllowedOptions((3, 8), (FULL,))),
        (
            {"governor_alphas": "3, 5"},
            {"alphas": (8,)},
            AllowedOptions((8,), (FULL,)),
        ),  # weights that are one checkpoint
        ({"governor_sizes": "256x512, 512x1024"}, {}, AllowedOptions((3, 5, 8), (HALF, FULL))),
        ({"governor_rates": "5, 0"}, {"max_rate": 7.0}, AllowedOptions((3, 5, 8), (FULL,), (5.0, math.inf))),
        ({}, {"mode": "MAXQ", "modes": ("MAXQ", "MAXN")}, AllowedOptions((3, 5, 8), (FULL,), modes=("MAXQ", "MAXN"))),
    ],
)
def test_empty_parameters_allow_only_the_current_value(values, present, allowed):
    assert allowed_options(NodeConfig(**values), STATE._replace(**present)) == allowed


@pytest.mark.parametrize(
    ("option", "present", "changes"),
    [
        (Option(8, FULL), {}, {}),
        (Option(3, FULL), {}, {"alpha": 3}),
        (Option(8, HALF), {}, {"input_height": 256, "input_width": 512}),
        (Option(8, FULL, 5.0), {}, {"max_rate": 5.0}),
        (Option(8, FULL), {"max_rate": 5.0}, {"max_rate": 0.0}),
        (Option(8, FULL, 5.0, "MAXQ"), {"max_rate": 5.0, "mode": "MAXN"}, {}),  # the mode is set separately
    ],
)
def test_only_changed_parameters_are_set(option, present, changes):
    assert parameter_changes(option, STATE._replace(**present)) == changes


def test_there_is_no_decision_before_the_first_update():
    binding = GovernorBinding()
    assert binding.decide(observe(0.0)) is None
    assert binding.decision is None and math.isnan(binding.target)


def test_a_goal_that_is_met_changes_nothing():
    binding = GovernorBinding()
    binding.update(HOLDS_12, STATE, 0.0)
    decision = binding.decide(observe(0.0))
    assert (decision.option, decision.changed) == (Option(8, FULL), False)
    assert binding.decision is decision
    assert (binding.target, binding.changes, binding.last_change) == (12.0, 0, "")


def test_another_goal_applies_from_the_next_decision_on():
    binding = GovernorBinding()
    binding.update(HOLDS_12, STATE, 0.0)
    binding.decide(observe(0.0))
    binding.update(NodeConfig(governor="rate", governor_rate=12.5), STATE, 1.0)
    decision = binding.decide(observe(1.0))
    assert decision.changed and decision.option.alpha < 8
    assert (binding.target, binding.changes, binding.last_change) == (12.5, 1, decision.reason)


def test_other_allowed_options_apply_from_the_next_decision_on():
    binding = GovernorBinding()
    binding.update(HOLDS_12, STATE, 0.0)
    binding.decide(observe(0.0))
    binding.update(NodeConfig(governor="rate", governor_rate=12.0, governor_alphas="3"), STATE, 1.0)
    assert binding.decide(observe(1.0)).option == Option(3, FULL)


def test_a_manual_change_is_adopted():
    binding = GovernorBinding()
    binding.update(HOLDS_12, STATE, 0.0)
    binding.decide(observe(0.0))
    binding.update(HOLDS_12, STATE._replace(alpha=5), 1.0)
    decision = binding.decide(observe(1.0, frame_time=0.05))
    assert (decision.option, decision.changed, binding.changes) == (Option(5, FULL), False, 0)


def test_learned_costs_stay_until_precision_table_hold_or_fixed_mode_change(cost_models):
    update, moved = GovernorBinding().update, ("MAXQ", "MAXN")
    update(HOLDS_12, STATE, 0.0)
    update(HOLDS_12, STATE._replace(alpha=3, max_rate=5.0), 1.0)
    assert cost_models == [("", "fp16", None)]
    update(HOLDS_12, STATE._replace(precision="fp32"), 2.0)
    update(HOLDS_12, STATE._replace(precision="fp32", mode="MAXQ"), 3.0)
    update(HOLDS_12, STATE._replace(precision="fp32", mode="MAXN"), 4.0)
    assert cost_models[1:] == [("", "fp32", None), ("", "fp32", "MAXQ"), ("", "fp32", "MAXN")]
    update(HOLDS_12, STATE._replace(mode="MAXQ", modes=moved), 5.0)
    update(HOLDS_12, STATE._replace(mode="MAXN", modes=moved), 6.0)  # controlled by the governor
    assert cost_models[4:] == [("", "fp16", "MAXQ")]
    hold_20 = NodeConfig(governor="rate", governor_rate=12.0, governor_hold=20.0)
    update(hold_20, STATE._replace(mode="MAXN", modes=moved), 7.0)
    assert len(cost_models) == 6


def test_reset_drops_everything():
    binding = GovernorBinding()
    binding.update(NodeConfig(governor="rate", governor_rate=12.5), STATE, 0.0)
    assert binding.decide(observe(0.0)).changed
    binding.reset()
    assert (binding.decision, binding.last_change, binding.changes) == (None, "", 0)
    assert math.isnan(binding.target)
    assert binding.decide(observe(1.0)) is None


@pytest.mark.process
@pytest.mark.parametrize(("precision", "predicted"), [("fp32", "fp32"), ("fp16", "fp16"), ("int8", "fp16")])
def test_a_tx2_is_predicted_by_its_own_model(tmp_path, precision, predicted):
    present = STATE._replace(precision=precision)
    assert choose_cost_model("", present, Tx2(tmp_path).root) == Tx2CostModel(predicted)


@pytest.mark.process
def test_the_device_tree_is_searched_below_the_host_root(tmp_path, monkeypatch):
    monkeypatch.setenv("ESPNET_HOST_ROOT", str(Tx2(tmp_path).root))
    assert isinstance(choose_cost_model("", STATE), Tx2CostModel)


def test_other_boards_use_the_operation_count_model(tmp_path):
    assert choose_cost_model("", STATE, tmp_path) == OperationCostModel()


def test_a_measured_table_has_priority_and_is_read_for_the_current_mode(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "power.csv").write_text(TABLE)
    costs = choose_cost_model("~/power.csv", STATE._replace(mode="MAXN"), tmp_path)
    assert isinstance(costs, MeasuredCostModel)
    assert costs.frame_time(8, FULL, None) == pytest.approx(0.1)
    assert costs.watts(8, FULL, None, 5.0) == pytest.approx(8.5)  # 5 + half of 7


@pytest.mark.parametrize(("name", "precision"), [("absent.csv", "fp16"), ("power.csv", "fp32")])
def test_a_table_that_cannot_be_used_is_refused(tmp_path, name, precision):
    (tmp_path / "power.csv").write_text(TABLE)
    config = NodeConfig(governor="rate", governor_table=str(tmp_path / name))
    with pytest.raises(PowerError, match="measured costs .*(cannot be read|must have lines of precision fp32)"):
        GovernorBinding().update(config, STATE._replace(precision=precision), 0.0)
