"""A backend that fails while the node runs. OpenVINO is made to fail at the border of its own module."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus
from robot import make_image, to_array
from waiting import wait_until

from espnet_ros.msg import EngineStatus

FATAL_BRIGHTNESS = 13
"""An image that begins with this makes OpenVINO fail from then on."""
FAILING_OPENVINO = """
import sys

import openvino

from espnet_ros.ros.node import main

sys.modules["llvmlite"] = None  # as if it were not installed: then OpenVINO is the first choice
create = openvino.CompiledModel.create_infer_request

class Request:
    has_failed = False

    def __init__(self, request):
        self._request = request

    def __getattr__(self, name):
        return getattr(self._request, name)

    def infer(self, inputs, **options):
        Request.has_failed = Request.has_failed or inputs[0].flat[0] == 13
        if Request.has_failed:
            raise RuntimeError("the memory is full")
        return self._request.infer(inputs, **options)

openvino.CompiledModel.create_infer_request = lambda model: Request(create(model))
sys.exit(main())
"""


@pytest.fixture(scope="module")
def parameters(engine_cache):
    return {"weights": "street", "alpha": 3, "backend": "auto", "engine_cache": engine_cache}


def engine_messages(robot, level):
    return {
        status.message
        for message in list(robot.diagnostics.messages)
        for status in message.status
        if status.name.endswith("espnet: engine") and status.level == level
    }


def test_the_next_backend_takes_over_one_image_late_and_says_why(start_node, make_robot, parameters):
    pytest.importorskip("openvino", reason="needs OpenVINO, which is made to fail")
    if Path("/dev/nvidiactl").exists():
        pytest.skip("needs a machine without an NVIDIA device, where openvino is the first choice")
    node = start_node(parameters, "failover", program=("-c", FAILING_OPENVINO))
    robot = make_robot("failover")
    wait_until(lambda: robot.state() == "active", "the node is active", timeout=200)
    labels = robot.listen("label_image")
    robot.ask(make_image(), [labels])
    assert robot.status().backend == "openvino"

    robot.cameras["image"].publish(make_image(FATAL_BRIGHTNESS))
    robot.wait_for_status(lambda s: s.failed == 1, "the failure counted")
    image = make_image(200)
    deadline = time.monotonic() + 200
    while robot.status().backend == "openvino":
        assert time.monotonic() < deadline, f"no other backend took over: {robot.status()}"
        robot.cameras["image"].publish(image)
        time.sleep(0.05)
    (answer,) = robot.ask(make_image(200), [labels])

    assert to_array(answer).shape == (48, 64)
    status = robot.wait_for_status(lambda s: s.state == EngineStatus.ACTIVE, "the other engine")
    assert status.backend in ("onnxruntime", "torch")
    assert status.failed == 1  # while the other one was built, images were dropped
    takeover = f"{status.backend} took over"
    assert status.reason.startswith("backend openvino failed (OpenVINO failed on ")
    assert status.reason.endswith(f": the memory is full); {takeover}")
    assert status.message.startswith(status.reason)
    wait_until(lambda: status.reason in engine_messages(robot, DiagnosticStatus.WARN), "a warning on /diagnostics")
    assert any("; building a substitute" in message for message in engine_messages(robot, DiagnosticStatus.ERROR))
    assert int(robot.diagnostic("images")[1]["dropped, the engine failed"]) > 0
    assert robot.get("backend") == "auto"
    assert f"({status.reason})" in node.log
    assert "Traceback" not in node.log


def test_a_backend_that_was_asked_for_is_not_replaced(start_node, make_robot):
    node = start_node({}, "loyal", environment={"ESPNET_FAKE_FAIL_AFTER": "3"})
    robot = make_robot("loyal")
    labels = robot.listen("label_image")
    robot.ask(make_image(), [labels])
    deadline = time.monotonic() + 60
    while robot.status().failed < 10:
        assert time.monotonic() < deadline, robot.status()
        robot.cameras["image"].publish(make_image())
        time.sleep(0.02)
    status = robot.status()
    assert (status.state, status.backend, status.reason) == (EngineStatus.ACTIVE, "fake", "requested")
    assert len(labels.messages) <= 3
    wait_until(lambda: engine_messages(robot, DiagnosticStatus.ERROR), "an error on /diagnostics")
    assert any(
        "fake engine: configured to fail" in message for message in engine_messages(robot, DiagnosticStatus.ERROR)
    )
    assert node.is_alive()


BUILD_IN_BACKGROUND = """
import json
import sys
import threading
import time

import numpy as np

from espnet_ros.config import NodeConfig
from espnet_ros.engines.priority import list_threads, priority_of
from espnet_ros.runtime.engine_exchange import EngineExchange

control = EngineExchange(lambda: None)
config = NodeConfig(
    weights="street", alpha=3, backend="fake", input_height=48, input_width=64, engine_cache=sys.argv[2]
)
control.build_first(config)
image = np.zeros((48, 64, 3), np.uint8)
control.segment(image, "bgr", False)
usual, threads = priority_of(0), set(list_threads())
control.apply(config.changed({"backend": sys.argv[1]}))
control.join(200)
control.segment(image, "bgr", False)
born = set(list_threads()) - threads
found = {priority_of(thread) for thread in list_threads()}
print(json.dumps([control.engine.backend, len(born), sorted(found), [usual]]))
"""


@pytest.mark.parametrize("backend", ["native", "openvino", "onnxruntime"])
def test_the_threads_of_an_engine_built_in_the_background_have_the_usual_priority(engine_cache, backend):
    pytest.importorskip({"native": "llvmlite"}.get(backend, backend), reason=f"needs the backend {backend}")
    result = subprocess.run(
        [sys.executable, "-c", BUILD_IN_BACKGROUND, backend, engine_cache],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    found, num_born, priorities, usual = json.loads(result.stdout)
    assert found == backend
    if len(os.sched_getaffinity(0)) > 1:
        assert num_born > 0
    assert priorities == usual
