"""The node changes its engine while a camera sends 15 images a second. Real engines, real processes.

Limits of time hold on a machine that does nothing else. Other programs can take the processor away, so one of three
tries has to be within them, each held to the same limit.
"""

import random
import threading
import time
from array import array
from itertools import cycle
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("llvmlite", reason="needs llvmlite, which compiles the engine for a CPU")

from robot import make_image
from waiting import wait_until

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
from espnet_ros.msg import EngineStatus
from espnet_ros.synthetic import StreetWorld, default_camera, drive
from espnet_ros.types import ImageSize

PERIOD = 1 / 15  # s
SIZE = ImageSize(184, 240)
OTHER_SIZE = ImageSize(96, 128)
NETWORKS = ((8, SIZE), (5, SIZE), (3, SIZE), (3, OTHER_SIZE))
"""Alphas and sizes that the node changes between."""
TRIES = 3


def build_into(cache, alpha, size):
    """Convert a network ahead, so that the node finds it in its cache."""
    config = NodeConfig(
        weights="street",
        alpha=alpha,
        backend="native",
        input_height=size.height,
        input_width=size.width,
        engine_cache=cache,
    )
    build_engine(resolve_spec(config)).close()


@pytest.fixture(scope="module")
def images():
    """Images of a street, as messages."""
    frames = drive(StreetWorld(seed=5, length=60.0), default_camera(SIZE), rate=1.0, speed=8.0)
    messages = []
    for frame in frames:
        messages.append(make_image(height=SIZE.height, width=SIZE.width))
        messages[-1].data = array("B", frame.image.tobytes())
    assert len({bytes(message.data) for message in messages}) > 3
    return messages


@pytest.fixture(scope="module")
def parameters(engine_cache):
    for alpha, size in NETWORKS:
        build_into(engine_cache, alpha, size)
    return {
        "weights": "street",
        "backend": "native",
        "input_height": SIZE.height,
        "input_width": SIZE.width,
        "engine_cache": engine_cache,
    }


class Camera:
    """Sends images at 15 Hz in a thread of its own, each with a stamp of its own."""

    def __init__(self, publisher, images):
        self.stamps = []
        self._publisher, self._images = publisher, cycle(images)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        start = time.monotonic()
        for index, image in enumerate(self._images):
            if self._stop.wait(max(0.0, start + index * PERIOD - time.monotonic())):
                return
            image.header.stamp = make_image().header.stamp
            self.stamps.append((image.header.stamp.sec, image.header.stamp.nanosec))
            self._publisher.publish(image)


class Drive(NamedTuple):
    """What became of the images while the engine changed."""

    sent: list
    answered: list
    longest_gap: float
    alphas: list

    @property
    def has_every_answer(self):
        return self.answered == self.sent


def drive_with_changes(robot, labels, images, alphas):
    """Let images flow, and change alpha to each of these once the one before is in use."""
    first_answer, first_status = len(labels.messages), len(robot.statuses.messages)
    with Camera(robot.camera(), images) as camera:
        time.sleep(5 * PERIOD)
        for alpha in alphas:
            assert robot.set(alpha=alpha) == ""
            robot.wait_for_status(lambda s: (s.alpha, s.state) == (alpha, EngineStatus.ACTIVE), f"alpha {alpha}")  # noqa: B023
            time.sleep(random.uniform(3, 5) * PERIOD)
    deadline = time.monotonic() + 3.0
    while len(labels.messages) - first_answer < len(camera.stamps) and time.monotonic() < deadline:
        time.sleep(0.01)
    answers, times = labels.messages[first_answer:], labels.times[first_answer:]
    in_use = [status.alpha for status in robot.statuses.messages[first_status:]]
    return Drive(
        sent=camera.stamps,
        answered=[(answer.header.stamp.sec, answer.header.stamp.nanosec) for answer in answers],
        longest_gap=float(np.diff(times).max()),
        alphas=[alpha for before, alpha in zip([0, *in_use], in_use) if alpha != before],
    )


def start(start_node, make_robot, namespace, parameters):
    node = start_node(parameters, namespace)
    robot = make_robot(namespace)
    wait_until(lambda: robot.state() == "active", "the node is active")
    return node, robot, robot.listen("label_image")


@pytest.mark.parametrize(("keep_alphas_ready", "periods"), [(True, 2), (False, 3)], ids=["ready", "built"])
def test_twenty_changes_of_alpha_at_15_hz_lose_no_image(
    start_node, make_robot, images, parameters, keep_alphas_ready, periods
):
    name = f"swap_ready_{keep_alphas_ready}".lower()
    node, robot, labels = start(start_node, make_robot, name, {**parameters, "keep_alphas_ready": keep_alphas_ready})
    robot.ask(images[0], [labels])
    if keep_alphas_ready:
        wait_until(lambda: list(robot.status().ready_alphas) == [3, 5, 8], "all alphas are ready")
    alphas = [alpha for alpha, _ in zip(cycle((5, 3, 8, 3, 5, 8)), range(20))]

    for _ in range(TRIES):
        drive = drive_with_changes(robot, labels, images, alphas)
        print(
            f"{len(drive.answered)} of {len(drive.sent)} answered, longest gap {drive.longest_gap / PERIOD:.2f} periods"
        )
        if drive.has_every_answer and drive.longest_gap <= periods * PERIOD:
            break
        robot.set(alpha=8)
        robot.wait_for_status(lambda s: s.alpha == 8 and s.state == EngineStatus.ACTIVE, "alpha 8")

    assert drive.alphas[-20:] == alphas
    assert drive.has_every_answer
    assert drive.longest_gap <= periods * PERIOD
    status = robot.wait_for_status(lambda s: s.answered >= len(labels.messages), "every answer counted")
    assert (status.failed, status.refused) == (0, 0)
    assert list(status.ready_alphas) == ([3, 5, 8] if keep_alphas_ready else [alphas[-1]])
    assert not node.has_loaded("libtorch")


def test_two_hundred_random_changes_leave_the_memory_as_it_was(start_node, make_robot, images, parameters):
    node, robot, labels = start(start_node, make_robot, "soak", parameters)
    robot.ask(images[0], [labels])
    usual = {name: parameters[name] for name in ("backend", "input_height", "input_width")}
    usual.update(alpha=8, precision="auto")
    choose = random.Random(7)

    def settle():
        assert robot.set_together(**usual) == ""
        wait_until(
            lambda: (
                (lambda s: (s.alpha, s.backend, s.input_height, s.state))(robot.status())
                == (8, "native", SIZE.height, EngineStatus.ACTIVE)
            ),
            "the usual engine",
        )
        time.sleep(1.0)

    def change():
        alpha, size = choose.choice(NETWORKS)
        values = {
            "alpha": alpha,
            "input_height": size.height,
            "input_width": size.width,
            "backend": choose.choice(("native", "native", "fake")),
            "precision": choose.choice(("auto", "fp32")),
        }
        assert robot.set_together(**values) == ""
        if choose.random() < 0.25:
            robot.wait_for_status(
                lambda s: (s.alpha, s.backend, s.state) == (alpha, values["backend"], EngineStatus.ACTIVE), "the change"
            )
        else:
            time.sleep(choose.uniform(0.0, 0.3))

    with Camera(robot.camera(), images):
        settle()
        before = node.memory()
        first_status = len(robot.statuses.messages)
        for _ in range(200):
            change()
        settle()
    after = node.memory()

    seen = {(s.alpha, s.backend, s.input_height) for s in robot.statuses.messages[first_status:]}
    print(f"{before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after, {len(seen)} kinds of engine")
    assert len(seen) >= 6
    assert abs(after - before) <= 0.1 * before
    robot.ask(images[0], [labels])
    assert robot.status().failed == 0
    assert "Traceback" not in node.log


@pytest.mark.parametrize("backend", ["fake", "native"])
def test_the_node_adds_a_tenth_and_2_ms_at_most_to_the_engines_own_time(start_node, make_robot, parameters, backend):
    size = ImageSize(512, 1024)
    if backend == "native":
        build_into(parameters["engine_cache"], 3, size)
    values = {"backend": backend, "alpha": 3, "input_height": size.height, "input_width": size.width}
    node = start_node({**parameters, **values}, f"own_{backend}", environment={"ESPNET_FAKE_LATENCY": "0.05"})
    robot = make_robot(f"own_{backend}")
    wait_until(lambda: robot.state() == "active", "the node is active")
    labels = robot.listen("label_image")
    image = make_image(height=size.height, width=size.width)
    pixels = np.random.default_rng(0).integers(0, 256, (size.height, size.width, 3), np.uint8)
    image.data = array("B", pixels.tobytes())

    for _ in range(TRIES):
        for _ in range(100):  # the status is of that many
            image.header.stamp = make_image().header.stamp
            robot.ask(image, [labels])
        counted = len(labels.messages)
        status = robot.wait_for_status(lambda s: s.answered >= counted, "every answer counted")  # noqa: B023
        added, limit = status.latency_p50 - status.inference_time, 0.1 * status.inference_time + 0.002
        print(f"engine {status.inference_time * 1e3:.1f} ms, added {added * 1e3:.2f} ms, limit {limit * 1e3:.2f} ms")
        if added <= limit:
            break

    assert 0 < added <= limit
    assert node.is_alive()
