"""The node in a container: little shared memory, a user without a name or a home, folders that cannot be written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from robot import make_image

HERE = Path(__file__).parent
STRANGER = "23456"  # no passwd entry
AS_STRANGER = ["setpriv", "--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "--inh-caps", "+dac_read_search"]
AS_STRANGER += [
    "--ambient-caps",
    "+dac_read_search",
]  # Python itself may lie in the home of the user who runs the tests
OK, WARN = 0, 1


def _need(*command):
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"needs the rights of root: {' '.join(command)}")


def _run_in_shared_memory(mebibytes, images, folder):
    _need("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm")
    command = ["unshare", "--mount", sys.executable, str(HERE / "small_shared_memory.py"), mebibytes, images, folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])}
    result = subprocess.run(map(str, command), check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(result.stdout.splitlines()[-1])  # Fast DDS writes to the same place


def test_all_images_arrive_in_the_shared_memory_that_docker_gives(tmp_path):
    result = _run_in_shared_memory(64, 20, tmp_path)
    assert "shared memory" not in result["log"]
    assert result["level"] == OK, result


def test_too_little_shared_memory_is_a_warning_in_the_log_and_on_diagnostics(tmp_path):
    result = _run_in_shared_memory(8, 0, tmp_path)
    assert result["level"] == WARN
    for text in (result["message"], result["log"]):
        assert "no shared memory for images in /dev/shm" in text
        assert "MiB are needed" in text


def _started_as(prefix):
    """A program for NodeProcess: the node, started by other programs."""
    command = [*prefix, sys.executable, "-m", "espnet_ros.ros.node"]
    return ("-c", f"import os, sys; command = {command!r} + sys.argv[1:]; os.execvp(command[0], command)")


NO_HOME = [
    "env",
    "-u",
    "HOME",
    "-u",
    "XDG_CACHE_HOME",
    "-u",
    "ROS_LOG_DIR",
    "-u",
    "ROS_HOME",
    "-u",
    "USER",
    "-u",
    "TMPDIR",
]
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
UDP_ONLY = """<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"><profiles>
<transport_descriptors><transport_descriptor><transport_id>udp</transport_id><type>UDPv4</type></transport_descriptor>
</transport_descriptors><participant profile_name="udp" is_default_profile="true"><rtps><userTransports>
<transport_id>udp</transport_id></userTransports><useBuiltinTransports>false</useBuiltinTransports></rtps></participant>
</profiles></dds>"""
"""Fast DDS's shared memory does not work between users."""
NO_LOG = "no ROS log files"


@pytest.mark.parametrize(
    ("name", "variables", "warnings"),
    [
        ("none", [], [f"{NO_LOG} (no home folder)", "deleted when the process ends"]),
        (
            "root",
            ["HOME=/"],
            [f"{NO_LOG} (/.ros/log cannot be written)", "/.cache/espnet_ros/engines cannot be written"],
        ),
    ],
)
def test_images_flow_for_a_user_without_a_name_and_a_home(start_node, make_robot, tmp_path, name, variables, warnings):
    _need(*AS_STRANGER, sys.executable, "-c", "")
    tmp_path.chmod(0o755)
    (tmp_path / "udp.xml").write_text(UDP_ONLY, encoding="utf-8")
    prefix = [*NO_HOME, *variables, *AS_STRANGER]
    parameters = {"backend": "onnxruntime", "weights": "street", "alpha": 3}
    environment = dict.fromkeys(PROFILES, str(tmp_path / "udp.xml"))
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"  # LOCALHOST adds a transport over shared memory
    node = start_node(parameters, namespace=name, program=_started_as(prefix), environment=environment)
    robot = make_robot(name)
    robot.ask(make_image(), [robot.listen("label_image")])
    for warning in warnings:
        assert warning in node.log
    assert "Traceback" not in node.log


def test_a_path_of_an_unknown_user_is_one_clear_line(start_node, make_robot, robot):
    assert "path '~nouser/x.pth': there is no user 'nouser'" in robot.set(weights="~nouser/x.pth")
    assert "there is no user 'nouser'" in robot.set(classes="~nouser/x.yaml")
    node = start_node({"weights": "~nouser/x.pth"}, namespace="tilde")
    other = make_robot("tilde")
    other.wait_for_status(lambda status: "there is no user 'nouser'" in status.message, "the reason")
    assert other.state() == "unconfigured"
    assert "Traceback" not in node.log


def test_images_flow_on_one_core_in_a_poor_locale_from_a_cache_that_is_not_text(start_node, make_robot, tmp_path):
    """LC_NUMERIC names a locale with decimal commas, where it is installed."""
    _need("taskset", "-c", "0", "true")
    locale = ["LC_ALL=", "LANG=C", "LC_NUMERIC=de_DE.UTF-8", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"]
    cache = os.fsdecode(os.fsencode(tmp_path) + b"/a b \xff")
    prefix = ["taskset", "-c", "0", "env", *locale, f"XDG_CACHE_HOME={cache}"]
    parameters = {"backend": "onnxruntime", "weights": "street", "alpha": 3, "max_rate": 12.5}
    node = start_node(parameters, namespace="one_core", program=_started_as(prefix))
    robot = make_robot("one_core")
    robot.ask(make_image(), [robot.listen("label_image")])
    assert robot.get("max_rate") == 12.5
    assert list(Path(cache, "espnet_ros", "engines").glob("onnxruntime-*")), node.log
