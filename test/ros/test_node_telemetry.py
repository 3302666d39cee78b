"""Telemetry of the node from a TX2's files, while images flow."""

import math
import os

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from fake_board.tx2 import Tx2
from kernel_files import write_tree
from powered import ERROR, INPUT_RAIL, OK, WARN, Images, Powered, board_environment
from waiting import wait_until

ZONE = "sys/class/thermal/thermal_zone0"
COOLER = "sys/class/thermal/cooling_device0"
GPU = "sys/class/devfreq/17000000.gp10b"
FILES = {
    INPUT_RAIL: 7400,
    INPUT_RAIL.replace("in_power0_input", "rail_name_0"): "VDD_IN",
    f"{ZONE}/type": "MCPU-therm",
    f"{ZONE}/temp": 45500,
    f"{COOLER}/type": "gpu-balanced",
    f"{COOLER}/cur_state": 0,
    f"{GPU}/cur_freq": 1134750000,
    f"{GPU}/device/load": 875,
}


@pytest.fixture(scope="module")
def powered(start_node, make_robot, tmp_path_factory):
    tx2 = Tx2(tmp_path_factory.mktemp("tx2"))
    write_tree(tx2.root, FILES)
    node = start_node({"telemetry_period": 0.2}, "telemetry", environment=board_environment(tx2))
    return Powered(node, make_robot("telemetry"), tx2).wait_for_active()


@pytest.fixture(autouse=True)
def usual(powered):
    """Each test finds the board cool and at 7.4 W."""
    replace(powered, **{INPUT_RAIL: 7400, f"{ZONE}/temp": 45500, f"{COOLER}/cur_state": 0})
    powered.wait(lambda s: s.watts_total == pytest.approx(7.4) and s.throttled == s.NOT_THROTTLED, "7.4 W")


def replace(powered, **files):
    """Put other numbers into files, at once."""
    for name, number in files.items():
        path = powered.tx2.root / name
        new = path.with_name("new")
        new.write_text(f"{number}\n")
        new.replace(path)


def test_watts_and_the_energy_of_an_image_are_told(powered):
    with Images(powered):
        # From images that came before the watts were known no energy is reckoned.
        status = powered.wait(lambda s: s.frame_rate > 1 and s.joules_per_frame > 0, "the energy of an image")
        status = powered.next_status()
    assert (status.source, status.covers, status.stalled) == ("ina3221", "module (VDD_IN)", False)
    assert status.watts_total == pytest.approx(7.4)
    assert (status.hottest, status.temperature) == ("MCPU-therm", pytest.approx(45.5))
    assert status.throttled == status.NOT_THROTTLED
    assert status.joules_per_frame * status.frames_per_joule == pytest.approx(1.0)
    assert status.joules_per_frame > 0.3  # 7.4 W at 20 images per second are 0.37 J; a busy machine sends fewer
    assert 0 < status.latency_p50 <= status.latency_p95 <= status.latency_p99
    assert (status.gpu_load, status.gpu_clock) == (pytest.approx(0.875), pytest.approx(1.13475e9))
    assert math.isnan(status.watts_gpu)
    values = powered.robot.diagnostic("power")[1]
    assert (values["watts"], values["GPU clock"], values["watts, GPU"]) == ("7.4 W", "1135 MHz", "unknown")


@pytest.mark.parametrize(
    ("levels", "level", "message"),
    [
        ({"warn_power": 7.0}, WARN, "power is 7.4 W, above warn_power (7 W)"),
        ({"warn_power": 7.0, "error_power": 7.3}, ERROR, "power is 7.4 W, above error_power (7.3 W)"),
        (
            {"warn_temperature": 40.0},
            WARN,
            "hottest sensor MCPU-therm is 45.5 °C, above warn_temperature (40 °C)",
        ),
    ],
)
def test_what_is_beyond_a_level_is_on_diagnostics(powered, levels, level, message):
    powered.diagnostic(OK)
    assert powered.robot.set_together(**levels) == ""
    assert powered.diagnostic(level).message == message
    assert powered.robot.set_together(warn_power=0.0, error_power=0.0, warn_temperature=90.0) == ""
    powered.diagnostic(OK)


def test_a_board_that_throttles_is_told(powered):
    replace(powered, **{f"{COOLER}/cur_state": 2})
    powered.wait(lambda s: s.throttled == s.THROTTLED, "throttling")
    assert powered.diagnostic(WARN).message == "the device is throttling its clocks"


def test_a_sensor_that_hangs_never_delays_an_image_and_is_told(powered):
    rail = powered.tx2.root / INPUT_RAIL
    pipe = rail.with_name("pipe")
    os.mkfifo(pipe)
    # Whoever reads it waits, as long as it is held open and nothing is written.
    held = os.open(pipe, os.O_RDWR)
    pipe.replace(rail)
    with Images(powered):
        status = powered.wait(lambda s: s.stalled, "the source has stalled")
        message = powered.diagnostic(WARN).message
        first = len(powered.labels.messages)
        wait_until(lambda: len(powered.labels.messages) > first + 10, "answers while the source hangs")
        assert powered.next_status().stalled
    assert status.source == "ina3221" and math.isnan(status.watts_total) and status.age > 0.6
    assert message.startswith("ina3221 has not answered for")
    replace(powered, **{INPUT_RAIL: 7400})
    os.write(held, b"7400\n")
    os.close(held)
    status = powered.wait(lambda s: not s.stalled and s.watts_total == pytest.approx(7.4), "the source answers again")
    assert status.source == "ina3221"


def test_the_governor_moves_board_and_network_before_the_board_is_too_hot(powered):
    replace(powered, **{f"{ZONE}/temp": 70000})
    assert powered.robot.set_together(governor_modes="max_q, max_p", governor_hold=2.0, governor="thermal") == ""
    with Images(powered):
        powered.wait(lambda s: "70" in s.governor_reason and s.governor_changes == 0, "the governor is content")
        assert (powered.robot.get("alpha"), powered.tx2.mode()) == (8, 3)
        replace(powered, **{f"{ZONE}/temp": 84500})
        status = powered.wait(lambda s: s.mode == "MAXQ" and not s.switching, "a cooler mode of the board")
        wait_until(lambda: powered.robot.status().alpha == 3, "a smaller network")
    assert powered.tx2.mode() == 1
    assert status.power_mode == powered.robot.get("power_mode") == "MAXQ"
    assert status.governor_changes == 1
    assert status.governor_change.startswith("84.5 °C") and "MAXQ" in status.governor_change
    assert powered.robot.set_together(governor="off", governor_modes="", alpha=8, power_mode="MAXP_CORE_ARM") == ""
    powered.wait_for_mode("MAXP_CORE_ARM", "MAXP_CORE_ARM")


def test_a_sensor_that_goes_away_is_told(powered):
    """The last one: a source that failed is given up."""
    (powered.tx2.root / INPUT_RAIL).write_text("nonsense\n")
    status = powered.wait(lambda s: s.source == "none", "no source")
    assert any("ina3221: a power rail cannot be read" in refusal for refusal in status.refusals)
    assert "dropped: ina3221: a power rail cannot be read" in powered.diagnostic(WARN).message
