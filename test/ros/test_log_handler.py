import logging

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import rclpy.logging

from espnet_ros.ros.log_handler import RosLogHandler, show_core_logs


@pytest.fixture
def core():
    """A logger of the core whose records go to a logger of rclpy that shows everything."""
    shown = rclpy.logging.get_logger("test_log_handler")
    rclpy.logging.set_logger_level("test_log_handler", rclpy.logging.LoggingSeverity.DEBUG)
    logger, handler = logging.getLogger("espnet_ros.test_log_handler"), RosLogHandler(shown)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", "DEBUG"), ("info", "INFO"), ("warning", "WARN"), ("error", "ERROR"), ("critical", "ERROR")],
)
def test_a_record_is_shown_by_rclpy_with_its_severity_and_arguments(core, capfd, level, shown):
    getattr(core, level)("building for %d s", 30)
    written = capfd.readouterr().err
    assert f"[{shown}]" in written
    assert "[test_log_handler]: building for 30 s" in written


def test_all_severities_may_follow_one_another(core, capfd):
    for _ in range(2):
        for level in ("info", "error", "debug", "warning"):
            getattr(core, level)(level)
    assert capfd.readouterr().err.count("[test_log_handler]: ") == 8


def test_the_logs_of_the_core_go_to_the_last_logger_that_was_given(capfd):
    core = logging.getLogger("espnet_ros")
    before = core.handlers[:], core.level, core.propagate
    for name in ("espnet", "rear.espnet"):
        show_core_logs(rclpy.logging.get_logger(name))
    rclpy.logging.set_logger_level("rear.espnet", rclpy.logging.LoggingSeverity.DEBUG)
    logging.getLogger("espnet_ros.engines").debug("looked up")
    core.handlers[:], core.propagate = before[0], before[2]
    core.setLevel(before[1])
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "[DEBUG]" in line
    assert line.endswith("[rear.espnet]: looked up")
