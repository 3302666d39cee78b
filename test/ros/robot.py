"""What the tests put around the node: its process, and the robot that talks to it over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from array import array
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from waiting import TIMEOUT, wait_until

from espnet_ros.msg import EngineStatus

_ASKED_AGAIN_AFTER = 3.0  # s
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CAMERA = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class NodeProcess:
    """The node, in a process of its own.

    Args:
        log: file for its output.
        parameters: ROS parameters.
        namespace: "" for none.
        environment: variables besides those of this process.
        program: what Python runs.
    """

    def __init__(self, log: Path, parameters, namespace="", environment=None, program=("-m", "espnet_ros.ros.node")):
        command = [sys.executable, *program, "--ros-args"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{name}:={text}"]
        if namespace:
            command += ["-r", f"__ns:=/{namespace}"]
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self):
        return self._process.pid

    @property
    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    def is_alive(self):
        return self._process.poll() is None

    def send(self, signal_number):
        self._process.send_signal(signal_number)

    def end(self, signal_number=signal.SIGINT):
        """Send a signal and return the exit code."""
        if self.is_alive():
            self._process.send_signal(signal_number)
        return self.wait()

    def wait(self):
        try:
            return self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the node does not end:\n{self.log}") from None

    def memory(self):
        """Resident memory, bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def has_loaded(self, module):
        """Whether a shared library with this in its path is in its memory."""
        return module in Path(f"/proc/{self.pid}/maps").read_text()


class Recorder:
    """Messages of one topic and when they came (monotonic clock)."""

    def __init__(self):
        self.messages = []
        self.times = []

    def __call__(self, message):
        self.times.append(time.monotonic())
        self.messages.append(message)

    @property
    def last(self):
        return self.messages[-1] if self.messages else None


class Robot:
    """The other end of every topic and service of one node."""

    def __init__(self, namespace=""):
        self._context = rclpy.Context()
        self._context.init()
        self.node = rclpy.create_node("robot", context=self._context, namespace=namespace)
        self.target = f"{'/' + namespace if namespace else ''}/espnet"
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients = {}
        self._is_ending = False
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()
        self.statuses = self.listen("engine_status", EngineStatus, LATCHED)
        self.diagnostics = Recorder()
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics, 10)
        self.cameras = {}

    def _spin(self):
        while not self._is_ending:
            self._executor.spin_once(timeout_sec=0.1)

    def close(self):
        self._is_ending = True
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    # Topics

    def listen(self, topic, message_type=Image, qos=RELIABLE):
        """Record an output of the node."""
        recorder = Recorder()
        recorder.subscription = self.node.create_subscription(message_type, f"{self.target}/{topic}", recorder, qos)
        return recorder

    def unlisten(self, recorder):
        self.node.destroy_subscription(recorder.subscription)

    def camera(self, topic="image"):
        """A publisher of images that the node hears."""
        if topic not in self.cameras:
            message_type = CompressedImage if topic.endswith("compressed") else Image
            self.cameras[topic] = self.node.create_publisher(message_type, topic, CAMERA)
        camera = self.cameras[topic]
        wait_until(lambda: camera.get_subscription_count() > 0, "the node subscribes to the camera")
        return camera

    def status(self):
        """The newest EngineStatus."""
        return wait_until(lambda: self.statuses.last, "an engine status")

    def wait_for_status(self, condition, what):
        return wait_until(
            lambda: self.statuses.last if self.statuses.last and condition(self.statuses.last) else None, what
        )

    def diagnostic(self, part):
        """The newest status of one part of the node, with its values as a dictionary."""
        name = f"{self.target.lstrip('/')}: {part}"
        for array_message in reversed(list(self.diagnostics.messages)):
            for status in array_message.status:
                if status.name == name:
                    return status, {pair.key: pair.value for pair in status.values}
        return None

    def ask(self, image, outputs, topic="image"):
        """Publish an image, again until every output has answered it, and return the answers."""
        camera = self.camera(topic)
        stamp = image.header.stamp

        def answers():
            found = [next((m for m in o.messages if m.header.stamp == stamp), None) for o in outputs]
            return found if all(found) else None

        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            camera.publish(image)
            pause = time.monotonic() + 0.5
            while time.monotonic() < pause:
                if answers():
                    return answers()
                time.sleep(0.005)
        raise AssertionError(f"no answer to the image; {self.status()}")

    def send(self, image, output, topic="image"):
        """Publish an image once, and return the answer of an output. Fails if the image or its answer is lost."""
        self.camera(topic).publish(image)
        stamp = image.header.stamp
        return wait_until(
            lambda: next((each for each in reversed(output.messages[-10:]) if each.header.stamp == stamp), None),
            f"the answer to an image that was sent once, {self.statuses.last}",
        )

    # Services

    def call(self, service_type, name, request):
        key = (service_type, name)
        if key not in self._clients:
            self._clients[key] = self.node.create_client(service_type, f"{self.target}/{name}")
        client = self._clients[key]
        wait_until(client.service_is_ready, f"service {name}")
        # A busy server may not have discovered the reader of its answers yet, which are then lost. All requests but a
        # transition mean the same when they come twice.
        patience = TIMEOUT if service_type is ChangeState else _ASKED_AGAIN_AFTER
        deadline = time.monotonic() + TIMEOUT
        while True:
            future = client.call_async(request)
            asked = time.monotonic()
            while time.monotonic() < min(deadline, asked + patience):
                if future.done():
                    return future.result()
                time.sleep(0.005)
            assert time.monotonic() < deadline, f"not within {TIMEOUT} s: an answer of {name}"

    def set(self, **values):
        """Set parameters one by one; returns the reason of the first refusal, or ""."""
        request = SetParameters.Request(parameters=_parameter_messages(values))
        results = self.call(SetParameters, "set_parameters", request).results
        return next((result.reason for result in results if not result.successful), "")

    def set_together(self, **values):
        """Set parameters atomically; returns the reason of a refusal, or ""."""
        request = SetParametersAtomically.Request(parameters=_parameter_messages(values))
        result = self.call(SetParametersAtomically, "set_parameters_atomically", request).result
        return "" if result.successful else result.reason

    def get(self, *names):
        values = self.call(GetParameters, "get_parameters", GetParameters.Request(names=names)).values
        found = [parameter_value_to_python(value) for value in values]
        return found[0] if len(found) == 1 else found

    def change_state(self, label):
        """Ask for a lifecycle transition; returns whether it succeeded."""
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, "change_state", request).success

    def change_state_by_id(self, transition_id):
        request = ChangeState.Request()
        request.transition.id = transition_id
        return self.call(ChangeState, "change_state", request).success

    def state(self):
        return self.call(GetState, "get_state", GetState.Request()).current_state.label


def _parameter_messages(values):
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]


_stamps = iter(range(1, 1_000_000))


def make_image(brightness=100, height=48, width=64, encoding="bgr8", frame_id="camera_optical_frame"):
    """An even grey image with a stamp of its own."""
    message = Image(height=height, width=width, encoding=encoding, step=width * 3)
    message.header.frame_id = frame_id
    message.header.stamp.sec = 1000
    message.header.stamp.nanosec = next(_stamps)
    message.data = array("B", np.full((height, width, 3), brightness, np.uint8).tobytes())
    return message


def to_array(message):
    """Pixels of an answer: (H, W) or (H, W, 3) uint8."""
    pixels = np.frombuffer(message.data, np.uint8)
    return (
        pixels.reshape(message.height, message.width, -1).squeeze(axis=2)
        if message.encoding == "mono8"
        else (pixels.reshape(message.height, message.width, 3))
    )
