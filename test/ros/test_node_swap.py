"""The node changes its engine while images flow. Real engines, real processes.

``make bench-check`` measures how long the changes keep images waiting.
"""

import random
import threading
import time
from array import array
from itertools import cycle, product

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("llvmlite", reason="needs llvmlite, which compiles the engine for a CPU")

from built_engines import build_ahead
from robot import make_image
from waiting import wait_until

from espnet_ros.msg import EngineStatus
from espnet_ros.synthetic import StreetWorld, default_camera, drive
from espnet_ros.types import ImageSize

SIZE = ImageSize(184, 240)
OTHER_SIZE = ImageSize(96, 128)
NETWORKS = ((8, SIZE), (5, SIZE), (3, SIZE), (3, OTHER_SIZE))
"""Alphas and sizes that the node changes between."""
PRECISIONS = ("auto", "fp32")
PERIOD = 1 / 15  # s, of the camera: without a pause its images would keep the engines' builder from the processor


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
    for (alpha, size), precision in product(NETWORKS, PRECISIONS):
        build_ahead(
            weights="street",
            alpha=alpha,
            backend="native",
            precision=precision,
            input_height=size.height,
            input_width=size.width,
            engine_cache=engine_cache,
        )
    return {
        "weights": "street",
        "backend": "native",
        "input_height": SIZE.height,
        "input_width": SIZE.width,
        "engine_cache": engine_cache,
    }


class Camera:
    """Sends images in a thread of its own: each once, and after the one before has been answered."""

    def __init__(self, robot, labels, images):
        self.stamps = []
        self._robot, self._labels, self._images = robot, labels, cycle(images)
        self._error = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self):
        try:
            while not self._stop.wait(PERIOD):
                image = next(self._images)
                image.header.stamp = make_image().header.stamp
                self._robot.send(image, self._labels)
                self.stamps.append((image.header.stamp.sec, image.header.stamp.nanosec))
        except AssertionError as error:
            self._error = error

    def wait_for_answers(self, count):
        """Wait until so many more images have been answered."""
        wanted = len(self.stamps) + count
        wait_until(lambda: len(self.stamps) >= wanted or self._error, f"{count} answers")


def start(start_node, make_robot, namespace, parameters):
    node = start_node(parameters, namespace)
    robot = make_robot(namespace)
    wait_until(lambda: robot.state() == "active", "the node is active")
    return node, robot, robot.listen("label_image")


def settled_status(robot, labels):
    """The status once every answer that has come is counted, and no image is under way."""
    answered = len(labels.messages)
    return robot.wait_for_status(
        lambda s: s.answered >= answered and s.received == s.answered + s.dropped + s.failed + s.refused,
        "every answer counted",
    )


@pytest.mark.parametrize("keep_alphas_ready", [True, False], ids=["ready", "built"])
def test_twenty_changes_of_alpha_lose_no_image(start_node, make_robot, images, parameters, keep_alphas_ready):
    name = f"swap_ready_{keep_alphas_ready}".lower()
    node, robot, labels = start(start_node, make_robot, name, {**parameters, "keep_alphas_ready": keep_alphas_ready})
    robot.ask(images[0], [labels])
    if keep_alphas_ready:
        wait_until(lambda: list(robot.status().ready_alphas) == [3, 5, 8], "all alphas are ready")
    alphas = [alpha for alpha, _ in zip(cycle((5, 3, 8, 3, 5, 8)), range(20))]

    first = len(robot.statuses.messages)
    with Camera(robot, labels, images) as camera:
        camera.wait_for_answers(1)
        before = settled_status(robot, labels)
        for alpha in alphas:
            camera.wait_for_answers(3)
            assert robot.set(alpha=alpha) == ""
            robot.wait_for_status(lambda s: (s.alpha, s.state) == (alpha, EngineStatus.ACTIVE), f"alpha {alpha}")  # noqa: B023
        camera.wait_for_answers(3)

    in_use = [status.alpha for status in robot.statuses.messages[first:]]
    assert [alpha for before, alpha in zip([0, *in_use], in_use) if alpha != before][-20:] == alphas
    status = settled_status(robot, labels)
    assert (status.dropped, status.failed, status.refused) == (before.dropped, 0, 0)
    assert status.received - before.received == status.answered - before.answered >= 3 * len(alphas)
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
        camera.wait_for_answers(10)

    def change():
        alpha, size = choose.choice(NETWORKS)
        values = {
            "alpha": alpha,
            "input_height": size.height,
            "input_width": size.width,
            "backend": choose.choice(("native", "native", "fake")),
            "precision": choose.choice(PRECISIONS),
        }
        assert robot.set_together(**values) == ""
        if choose.random() < 0.25:
            robot.wait_for_status(
                lambda s: (s.alpha, s.backend, s.state) == (alpha, values["backend"], EngineStatus.ACTIVE), "the change"
            )
        else:
            time.sleep(choose.uniform(0.0, 0.3))

    with Camera(robot, labels, images) as camera:
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
