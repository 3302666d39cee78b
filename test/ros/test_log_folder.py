from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from espnet_ros.ros.log_folder import NO_LOG_FILES, find_log_problem, log_arguments


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    for variable in ("ROS_LOG_DIR", "ROS_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, ".ros/log"),
        ({"ROS_HOME": "~/r"}, "r/log"),
        ({"ROS_HOME": "{home}/r"}, "r/log"),
        ({"ROS_LOG_DIR": "~/l"}, "l"),
        ({"ROS_LOG_DIR": "", "ROS_HOME": ""}, ".ros/log"),
        ({"ROS_LOG_DIR": "{home}/a b", "ROS_HOME": "/proc/x"}, "a b"),
    ],
)
def test_a_folder_that_can_be_written_is_no_problem(monkeypatch, tmp_path, variables, folder):
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    assert find_log_problem() == ""
    assert log_arguments() == []
    assert [path for path in tmp_path.rglob("*") if path.is_dir()][-1] == tmp_path / folder


@pytest.mark.parametrize(
    ("name", "value", "folder"),
    [
        ("HOME", "/proc/x", "/proc/x/.ros/log"),
        ("ROS_HOME", "/proc/x", "/proc/x/log"),
        ("ROS_LOG_DIR", "/proc/x", "/proc/x"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(monkeypatch, name, value, folder):
    monkeypatch.setenv(name, value)
    assert f"no ROS log files ({folder} cannot be written)" in find_log_problem()
    assert log_arguments() == list(NO_LOG_FILES)


def test_a_file_in_the_way_is_named(monkeypatch, tmp_path):
    (tmp_path / ".ros").write_text("", encoding="utf-8")
    assert "cannot be written" in find_log_problem()
    assert Path(tmp_path / ".ros").is_file()


def test_no_home_is_named(monkeypatch):
    monkeypatch.delenv("HOME")
    assert "no ROS log files (no home folder)" in find_log_problem()
    monkeypatch.setenv("HOME", "")
    assert "no ROS log files (no home folder)" in find_log_problem()
