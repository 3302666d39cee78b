"""Parameters that need weights which must be downloaded, over a network that does not answer."""

import os
import signal
import socket

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("torch")

from waiting import TIMEOUT, wait_until

from espnet_ros.msg import EngineStatus


@pytest.fixture(scope="module")
def silent_proxy():
    """A proxy that takes connections and says nothing until they are closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT)
        yield server


@pytest.fixture
def robot(start_node, make_robot, silent_proxy, tmp_path_factory, request):
    """The other end of a node that downloads through the proxy."""
    namespace = f"download_{sum(map(ord, request.node.name))}"
    empty = tmp_path_factory.mktemp("empty")
    environment = {"HOME": str(empty), "XDG_CACHE_HOME": str(empty), "ESPNET_WEIGHTS_DIR": str(empty)}
    environment["https_proxy"] = f"http://127.0.0.1:{silent_proxy.getsockname()[1]}"
    node = start_node({}, namespace, environment={**os.environ, **environment})
    robot = make_robot(namespace)
    robot.process = node
    wait_until(lambda: robot.state() == "active", "the node is active")
    return robot


def test_setting_them_does_not_wait_and_is_undone_when_the_download_fails(robot, silent_proxy):
    before = robot.get("weights", "backend", "alpha")
    assert robot.set_together(weights="cityscapes", backend="torch", alpha=3) == ""
    connection, _ = silent_proxy.accept()  # it has answered, and nobody has answered the download
    with connection:
        assert robot.get("backend", "alpha") == ["torch", 3]
        status = robot.wait_for_status(lambda s: s.state == EngineStatus.REPLACING, "the node replaces its engine")
        assert "looking for the weights" in status.building or "building" in status.message
    status = robot.wait_for_status(lambda s: s.state == EngineStatus.FAILED, "the download has failed")
    assert "could not be downloaded" in status.message
    wait_until(lambda: robot.get("weights", "backend", "alpha") == before, "the parameters are those of the engine")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_does_not_wait_for_the_download(robot, silent_proxy, number):
    assert robot.set_together(weights="cityscapes", backend="torch", alpha=3) == ""
    connection, _ = silent_proxy.accept()
    with connection:
        assert robot.process.end(number) == 0
        connection.setblocking(False)
        assert b"CONNECT" in connection.recv(1000)  # the node has not waited for an answer
    assert "Traceback" not in robot.process.log
