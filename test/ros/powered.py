"""A node on a board: what the tests of power modes and telemetry share."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from fake_board.tx2 import Tx2
from robot import LATCHED, make_image
from waiting import wait_until

from espnet_ros.config import NodeConfig
from espnet_ros.msg import EngineStatus, PowerStatus
from espnet_ros.ros import parameters

PERIOD = 0.05  # s, between two images
ANSWERS_DURING_A_HANG = 20
"""The board hangs for 8 s or more, in which 160 images are sent. A node that waits for it answers next to none."""
INPUT_RAIL = "sys/bus/i2c/drivers/ina3221x/0-0041/iio:device1/in_power0_input"


def board_environment(tx2: Tx2, with_service: bool = False):
    """Variables of a process that is to run on that board."""
    variables = {"ESPNET_HOST_ROOT": str(tx2.root), "PATH": f"{tx2.programs}{os.pathsep}{os.environ['PATH']}"}
    if with_service:
        package = Path(__file__).parents[1] / "board/fake_board"
        variables["PYTHONPATH"] = f"{package}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return variables


class Images:
    """Sends 20 images per second meanwhile, and waits at the end for one more answer.

    Attributes:
        answers: number of images that the node answered meanwhile.
        longest_silence: longest time between two answers, in seconds, for ``make bench-check``.
    """

    def __init__(self, powered):
        self._powered = powered
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers = 0
        self.longest_silence = 0.0

    def __enter__(self):
        self._camera, labels = self._powered.robot.camera(), self._powered.labels
        before = len(labels.messages)
        self._thread.start()
        wait_until(lambda: len(labels.messages) > before, "an answer")
        self._first = len(labels.messages)
        return self

    def __exit__(self, error_type, *_):
        labels = self._powered.labels
        count = len(labels.times)
        self.answers = count - self._first
        try:
            if error_type is None:
                wait_until(lambda: len(labels.times) > count, "an answer after all that")
        finally:
            self._stop.set()
            self._thread.join()
        times = labels.times[self._first - 1 :]
        self.longest_silence = max((after - before for before, after in zip(times, times[1:])), default=0.0)

    def _run(self):
        while not self._stop.wait(PERIOD):
            self._camera.publish(make_image())


class Powered:
    """An active node, the robot that talks to it, and the board that it is on."""

    def __init__(self, node, robot, tx2=None):
        self.node, self.robot, self.tx2 = node, robot, tx2
        self.statuses = robot.listen("power_status", PowerStatus, LATCHED)
        self.labels = robot.listen("label_image")

    def wait_for_active(self):
        wait_until(lambda: self.robot.state() == "active", "the node is active")
        return self

    def wait(self, condition, what):
        """The first PowerStatus, of those to come and the newest, for which this holds."""
        return wait_until(
            lambda: self.statuses.last if self.statuses.last and condition(self.statuses.last) else None, what
        )

    def next_status(self):
        """A PowerStatus that was made after this call."""
        count = len(self.statuses.messages)
        # One may have been under way.
        return wait_until(lambda: self.statuses.messages[count + 1 :], "two more power statuses")[0]

    def wait_for_mode(self, power_mode, mode):
        """The PowerStatus that says that this mode is in use and all is well."""
        return self.wait(
            lambda s: (s.power_mode, s.mode, s.switching, s.trouble) == (power_mode, mode, False, ""),
            f"{power_mode} and {mode}",
        )

    def wait_for_refusal(self, name):
        """The PowerStatus that says why a mode was refused."""
        return self.wait(lambda s: f"not '{name}': " in s.trouble and not s.switching, f"the refusal of {name}")

    def values(self):
        """All parameters by name."""
        return dict(zip(parameters.NAMES, self.robot.get(*parameters.NAMES)))

    def diagnostic(self, level):
        """The status "power" on /diagnostics once it is at that level."""

        def found():
            newest = self.robot.diagnostic("power")
            return newest[0] if newest and newest[0].level == level else None

        return wait_until(found, f"level {level} on /diagnostics")

    def reset(self, **values):
        """Everything as it was: the board's boot mode, the default parameters."""
        for name in ("reboot", "slow", "hang", "deaf"):
            if (self.tx2.root / "state" / name).exists():
                self.tx2.release(name)
        self.tx2.steer("rights")
        usual = {name: getattr(NodeConfig(), name) for name in ("alpha", "max_rate", "threads", "precision")}
        usual.update(backend="fake", weights="cityscapes", input_height=48, input_width=64, **values)
        assert self.robot.set_together(power_mode="MAXP_CORE_ARM", **usual) == ""
        self.wait_for_mode("MAXP_CORE_ARM", "MAXP_CORE_ARM")
        self.robot.wait_for_status(
            lambda s: (s.alpha, s.input_height, s.backend, s.state) == (8, 48, "fake", EngineStatus.ACTIVE),
            "the usual engine",
        )


WARN, ERROR, OK = DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.OK
