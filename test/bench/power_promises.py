"""Answers keep coming while the board changes its power mode, and while the governor changes alpha."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from node_runs import FAKE, camera, reason_without_ros, running_node
from promise import Promise, failures_as_promises

from espnet_ros.types import ImageSize

SWITCH_TIME = 3.0  # s until the board reads back its new mode
SILENCE = 1.0  # s; a node that waited for the board would be silent for SWITCH_TIME
CAMERA_PERIOD = 0.05  # s


def measure():
    """Yield every promise."""
    reason = reason_without_ros()
    if reason:
        yield Promise("the node's power modes and governor", 1.0, reason=reason)
        return
    what = f"the board takes {SWITCH_TIME:g} s to change its power mode: longest silence, times {SILENCE:g} s"
    yield from failures_as_promises(_power_switch(what), what)
    what = "the governor steps alpha down under a load and up again: longest gap, times the slowest image"
    yield from failures_as_promises(_governor(what), what)


def _power_switch(what):
    from fake_board.tx2 import Tx2
    from powered import Images, Powered, board_environment

    with tempfile.TemporaryDirectory() as folder:
        tx2 = Tx2(Path(folder))
        tx2.steer("slow", str(SWITCH_TIME))
        with running_node("power", {**FAKE, "telemetry": False}, board_environment(tx2)) as run:
            powered = Powered(run.process, run.robot, tx2)
            assert run.robot.change_state("activate")
            with Images(powered) as images:
                assert run.robot.set(power_mode="max_n") == ""
                powered.wait_for_mode("max_n", "MAXN")
    yield Promise(what, 1.0, images.longest_silence / SILENCE, is_limit=True)


def _governor(what):
    """The engine takes a given time for an image, so that any machine gives the same decisions."""
    from robot import LATCHED, make_image
    from slowed_engine import LOADED, PROGRAM, RATE, UNDISTURBED, Load, image_time
    from waiting import wait_until

    from espnet_ros.msg import PowerStatus

    with tempfile.TemporaryDirectory() as folder:
        load = Load(Path(folder) / "slowdown")
        parameters = {**FAKE, "alpha": 8, "governor_alphas": "'3, 8'", "governor_hold": 3.0}
        with running_node("governed", parameters, load.environment, PROGRAM) as run:
            robot, labels = run.robot, run.labels
            power = robot.listen("power_status", PowerStatus, LATCHED)
            assert robot.change_state("activate")
            robot.ask(make_image(), [labels])
            with camera(robot.camera(), ImageSize(48, 64), CAMERA_PERIOD):
                wait_until(lambda: power.last and power.last.latency_p50 > 0, "a measurement of alpha 8")
                assert robot.set(governor="rate", governor_rate=RATE) == ""
                robot.wait_for_status(lambda s: list(s.ready_alphas) == [3, 8], "alpha 3 is ready")
                first = len(labels.times)
                load.set(LOADED)
                robot.wait_for_status(lambda s: s.alpha == 3, "the governor steps down")
                load.set(UNDISTURBED)
                robot.wait_for_status(lambda s: s.alpha == 8, "the governor steps up again")
                changed = len(labels.times)
                wait_until(lambda: len(labels.times) > changed + 5, "answers of alpha 8")
                gaps = np.diff(labels.times[first:])
    yield Promise(what, 2.0, float(gaps.max()) / image_time(8, LOADED), is_limit=True)
