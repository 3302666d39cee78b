import math

import pytest

from espnet_ros.errors import PowerError
from espnet_ros.governor import tx2_prediction
from espnet_ros.governor.cost_model import OperationCostModel
from espnet_ros.governor.measured_cost_model import read_measured_costs
from espnet_ros.governor.operations import count_operations
from espnet_ros.governor.tx2_cost_model import Tx2CostModel

FULL = (512, 1024)
HALF = (256, 512)
HEADER = "alpha,height,width,mode,precision,frames_per_second,watts,idle_watts\n"


def _read(tmp_path, text, fallback=None, precision=None, current_mode=None):
    path = tmp_path / "measured.csv"
    path.write_text(text, encoding="utf-8")
    return read_measured_costs(path, fallback or OperationCostModel(), precision, current_mode)


def test_a_measured_option_costs_what_its_line_states(tmp_path):
    costs = _read(tmp_path, HEADER + "8,512,1024,MAXQ,fp16,20,5.0,2.0\n")
    assert costs.frame_time(8, FULL, "MAXQ") == 0.05
    assert costs.watts(8, FULL, "MAXQ", 10.0) == pytest.approx(3.5)  # half busy: 2 + 3 / 2
    assert costs.watts(8, FULL, "MAXQ", math.inf) == pytest.approx(5.0)


def test_on_a_tx2_missing_options_are_scaled_by_the_prediction(tmp_path):
    predicted = Tx2CostModel()
    costs = _read(tmp_path, HEADER + "8,512,1024,MAXQ,fp16,20,5.0,2.0\n", predicted)
    ratio = predicted.frame_time(3, FULL, "MAXN") / predicted.frame_time(8, FULL, "MAXQ")
    assert costs.frame_time(3, FULL, "MAXN") == pytest.approx(0.05 * ratio)
    assert costs.watts(3, FULL, "MAXN", math.inf) == pytest.approx(
        2 + 3 * (1300.5 / 850) ** tx2_prediction.fitted_exponent()
    )


def test_other_boards_scale_by_multiplications(tmp_path):
    costs = _read(tmp_path, HEADER + "8,512,1024,15W,fp16,20,5.0,2.0\n", OperationCostModel({"30W": 2.0}))
    ratio = count_operations(3, FULL).multiplications / count_operations(8, FULL).multiplications
    assert costs.frame_time(3, FULL, "15W") == pytest.approx(0.05 * ratio)
    # A mode of twice the speed: half the time, and by that model four times the watts above idle.
    assert costs.frame_time(8, FULL, "30W") == pytest.approx(0.025)
    assert costs.watts(8, FULL, "30W", math.inf) == pytest.approx(2 + 4 * 3)


def test_the_nearest_line_of_the_same_mode_is_scaled_before_a_nearer_one_of_another(tmp_path):
    text = HEADER + "8,512,1024,15W,fp16,20,5,2\n" + "3,256,512,15W,fp16,90,5,2\n" + "8,256,512,30W,fp16,200,9,3\n"
    costs = _read(tmp_path, text)
    ratio = count_operations(8, HALF).multiplications / count_operations(3, HALF).multiplications
    assert costs.frame_time(8, HALF, "15W") == pytest.approx(ratio / 90)


def test_a_mode_that_the_model_does_not_know_counts_as_the_boot_mode(tmp_path):
    predicted = Tx2CostModel()
    costs = _read(tmp_path, HEADER + "8,512,1024,MINE,fp16,20,5,2\n", predicted)
    assert costs.frame_time(8, FULL, "MINE") == 0.05
    ratio = predicted.frame_time(8, FULL, "MAXN") / predicted.frame_time(8, FULL, "MAXP_CORE_ARM")
    assert costs.frame_time(8, FULL, "MAXN") == pytest.approx(0.05 * ratio)


def test_a_machine_without_modes_has_lines_without_one(tmp_path):
    costs = _read(tmp_path, HEADER + "8,512,1024,,fp32,20,5.0,2.0\n")
    assert costs.frame_time(8, FULL, None) == 0.05
    assert costs.watts(8, FULL, None, 5.0) == pytest.approx(2.75)  # a quarter of the time: 2 + 3 / 4


@pytest.mark.parametrize(("present", "seconds"), [("MAXQ", 0.05), ("MAXN", 0.025), ("MINE", 0.025), (None, 0.025)])
def test_a_fixed_mode_is_the_current_one_or_the_first_of_the_table(tmp_path, present, seconds):
    text = HEADER + "8,512,1024,MAXN,fp16,40,9,3\n8,512,1024,MAXQ,fp16,20,5,2\n"
    assert _read(tmp_path, text, current_mode=present).frame_time(8, FULL, None) == seconds


def test_a_line_measured_at_a_fixed_rate_is_scaled_by_its_busy_share(tmp_path):
    text = HEADER.replace("\n", ",busy\n") + "8,512,1024,MAXQ,fp16,10,4,2,0.4\n"
    costs = _read(tmp_path, text)
    assert costs.frame_time(8, FULL, "MAXQ") == pytest.approx(0.04)  # 0.4 s of work for 10 frames
    assert costs.watts(8, FULL, "MAXQ", math.inf) == pytest.approx(7.0)  # 2 W at 40 % are 5 W above idle
    assert costs.watts(8, FULL, "MAXQ", 10.0) == pytest.approx(4.0)


@pytest.mark.parametrize("watts", [",", "5,", ",2"])
def test_without_measured_watts_the_model_gives_them_at_the_measured_speed(tmp_path, watts):
    costs = _read(tmp_path, HEADER + f"8,512,1024,,fp32,20,{watts}\n", OperationCostModel(full_watts=6.0))
    assert costs.watts(8, FULL, None, 10.0) == pytest.approx(3.0)


def test_a_line_without_watts_takes_them_from_the_nearest_line_that_has_them(tmp_path):
    text = HEADER + "8,512,1024,MAXQ,fp16,20,,\n3,512,1024,MAXQ,fp16,30,5,2\n"
    costs = _read(tmp_path, text)
    assert costs.frame_time(8, FULL, "MAXQ") == 0.05
    assert costs.watts(8, FULL, "MAXQ", 10.0) == pytest.approx(3.5)  # busy half of the time at its own speed


def test_only_lines_of_the_engines_precision_count(tmp_path):
    text = HEADER + "8,512,1024,MAXQ,fp32,10,6,2\n8,512,1024,MAXQ,fp16,20,5,2\n"
    assert _read(tmp_path, text, precision="fp16").frame_time(8, FULL, "MAXQ") == 0.05
    assert _read(tmp_path, text, precision="fp32").frame_time(8, FULL, "MAXQ") == 0.1
    with pytest.raises(PowerError, match=r"measured.csv must have lines of precision int8, have fp16, fp32"):
        _read(tmp_path, text, precision="int8")
    with pytest.raises(PowerError, match=r"measured.csv have several precisions, one must be chosen: fp16, fp32"):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha,height\n8,512\n", "must have the columns alpha, .* lack width"),
        (HEADER, "must have at least one measurement, has none"),
        (HEADER + "8,512,1024,MAXQ,fp16,nan,5,2\n", "line 2: frames_per_second must be a positive number, is 'nan'"),
        (HEADER + "8,512,1024,MAXQ,fp16,,5,2\n", "line 2: frames_per_second must be a positive number, is ''"),
        (HEADER + "8,512,1024,MAXQ,fp16,20\n", "line 2: watts must be a positive number, is 'None'"),
        (HEADER + "8,512,1024,MAXQ,fp16,20,-5,2\n", "line 2: watts must be a positive number, is '-5'"),
        (HEADER + "8,512,1024,MAXQ,fp16,20,1,2\n", "line 2: watts must be at least idle_watts 2, are 1"),
        (HEADER + "8.5,512,1024,MAXQ,fp16,20,5,2\n", "line 2: alpha must be a whole number above 0, is '8.5'"),
        (HEADER.replace("\n", ",busy\n") + "8,512,1024,MAXQ,fp16,9,5,2,1.5\n", "busy must be .* at most 1, is 1.5"),
        (HEADER + 2 * "8,512,1024,MAXQ,fp16,9,5,2\n", "line 3: .* alpha 8, 512x1024, mode 'MAXQ', fp16 occurs twice"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(PowerError, match=message):
        _read(tmp_path, text)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PowerError, match="none.csv cannot be read"):
        read_measured_costs(tmp_path / "none.csv", OperationCostModel())
