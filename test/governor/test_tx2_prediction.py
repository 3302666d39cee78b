import math
from pathlib import Path

import pytest

from espnet_ros.errors import ParameterError
from espnet_ros.governor import tx2_prediction

FULL = (512, 1024)


def test_the_speed_goes_through_the_published_figure():
    frame_time = (
        tx2_prediction.ideal_frame_time(8, FULL, 1134e6, tx2_prediction.MEMORY_BANDWIDTH, "fp32")
        / tx2_prediction.fitted_efficiency()
    )
    assert 1 / frame_time == pytest.approx(9.0)


def test_the_efficiency_equals_a_calculation_by_hand():
    # 4.709 G multiplications on 256 cores at 1134 MHz: 16.22 ms; 365.6 MB at 58.3 GB/s: 6.27 ms; times 9 a second.
    assert tx2_prediction.fitted_efficiency() == pytest.approx((0.01622 + 0.00627) * 9, rel=1e-3)


@pytest.mark.parametrize(("clock", "watts"), tx2_prediction.PUBLISHED_WATTS)
def test_the_watts_go_through_the_two_published_figures(clock, watts, monkeypatch):
    monkeypatch.setitem(tx2_prediction.MODES, "test", tx2_prediction.PowerMode(9, clock, 0.0))
    tx2_prediction.predict_full_watts.cache_clear()
    assert tx2_prediction.predict_full_watts("test") == pytest.approx(watts)
    tx2_prediction.predict_full_watts.cache_clear()


@pytest.mark.parametrize(("low", "high", "error"), [(1.5, 4.6, -0.283), (2.9, 6.7, -0.048)], ids=["ENet", "ERFNet"])
def test_the_stated_error_of_the_watts_is_that_on_the_other_published_networks(low, high, error):
    predicted = low * (1134 / 824) ** tx2_prediction.fitted_exponent()
    assert predicted / high - 1 == pytest.approx(error, abs=0.001)


@pytest.mark.parametrize(
    ("cores", "clock", "bandwidth", "error"), [(3584, 1417e6, 480e9, 0.07), (3072, 1000e6, 336.5e9, -0.31)]
)
def test_the_stated_error_of_the_speed_is_that_on_the_desktop_gpu(cores, clock, bandwidth, error):
    ideal = tx2_prediction.ideal_frame_time(8, FULL, clock * cores / tx2_prediction.CUDA_CORES, bandwidth, "fp32")
    assert tx2_prediction.fitted_efficiency() / ideal / 112 - 1 == pytest.approx(error, abs=0.005)


def test_the_memory_of_a_mode_moves_32_bytes_a_clock():
    assert tx2_prediction.MODES["MAXQ"].bandwidth == pytest.approx(42.6e9, rel=1e-3)  # 32 bytes * 1331.2 MHz
    assert tx2_prediction.MODES["MAXN"].bandwidth == 58.3e9


def test_half_the_rate_draws_half_the_power_above_idle():
    full = tx2_prediction.predict_watts(8, FULL, "MAXN") - tx2_prediction.IDLE_WATTS
    half = (
        tx2_prediction.predict_watts(8, FULL, "MAXN", tx2_prediction.predict_rate(8, FULL, "MAXN") / 2)
        - tx2_prediction.IDLE_WATTS
    )
    assert half == pytest.approx(full / 2)


def test_more_frames_than_the_board_can_do_draw_no_more():
    assert tx2_prediction.predict_watts(8, FULL, "MAXQ", 1000.0) == tx2_prediction.predict_watts(
        8, FULL, "MAXQ", math.inf
    )


def test_an_unknown_mode_or_precision_is_refused():
    with pytest.raises(ParameterError, match="power mode must be one of MAXN, .*, is '15W'"):
        tx2_prediction.predict_rate(8, FULL, "15W")
    with pytest.raises(ParameterError, match="precision must be one of fp32, fp16, is 'int8'"):
        tx2_prediction.predict_rate(8, FULL, "MAXN", "int8")


def test_the_table_of_the_documentation_is_what_the_model_predicts():
    text = (Path(__file__).resolve().parents[2] / "docs" / "tx2.md").read_text(encoding="utf-8")
    for precision in ("fp32", "fp16"):
        for height, width in ((512, 1024), (384, 768), (256, 512)):
            for alpha in (3, 5, 8):
                cells = "".join(
                    f" {tx2_prediction.predict_rate(alpha, (height, width), mode, precision):.1f} |"
                    f" {tx2_prediction.predict_watts(alpha, (height, width), mode, 5, precision):.2f} |"
                    for mode in ("MAXQ", "MAXP_CORE_ARM", "MAXN")
                )
                assert f"| {precision} | {alpha} | {height}x{width} |{cells}" in text
