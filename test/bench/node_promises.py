"""The node beside its engine, in processes of their own, as in docs/switching.md."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from array import array
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import numpy as np
from promise import Promise

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
from espnet_ros.types import ImageSize

PERIOD = 1 / 15  # s
SMALL, LARGE = ImageSize(184, 240), ImageSize(512, 1024)
CHANGES = 20
TRIES = 3
"""The best of these counts: another program takes the processor for longer than a period now and then."""
IMAGES = 100  # the node's status is of that many
FAKE_ENGINE_TIME = 0.05  # s
FIRST_ANSWER = 3.0  # s after activate


def measure(cache):
    """Yield every promise."""
    try:
        import rclpy  # noqa: F401
        from robot import NodeProcess  # noqa: F401
    except ImportError as error:
        yield Promise("the node", 1.0, reason=f"needs ROS 2: {error}")
        return
    yield from _changes(cache)
    for backend in ("fake", "native"):
        yield from _overhead(cache, backend)
    yield from _overload()


@contextmanager
def _node(namespace, parameters):
    """A configured node that is not active yet: the robot that talks to it, and its answers."""
    from robot import NodeProcess, Robot

    with tempfile.TemporaryDirectory() as folder:
        parameters = {"autostart": False, "image_timeout": 5.0, "diagnostics_period": 0.2, **parameters}
        environment = {"ESPNET_FAKE_LATENCY": str(FAKE_ENGINE_TIME)}
        node = NodeProcess(Path(folder) / "log.txt", parameters, namespace, environment)
        robot = Robot(namespace)
        try:
            labels = robot.listen("label_image")
            assert robot.change_state("configure"), node.log
            yield robot, labels
        finally:
            robot.close()
            node.end()


def _build(cache, alpha, size):
    config = NodeConfig(
        weights="street", alpha=alpha, backend="native", input_height=size.height, input_width=size.width,
        engine_cache=cache,
    )  # fmt: skip
    build_engine(resolve_spec(config)).close()


def _changes(cache):
    from robot import make_image
    from waiting import wait_until

    from espnet_ros.msg import EngineStatus

    for alpha in (3, 5, 8):
        _build(cache, alpha, SMALL)
    for is_ready, asked in ((True, 2.0), (False, 3.0)):
        parameters = {
            "weights": "street", "backend": "native", "input_height": SMALL.height, "input_width": SMALL.width,
            "engine_cache": cache, "keep_alphas_ready": is_ready,
        }  # fmt: skip
        with _node(f"changes_{is_ready}".lower(), parameters) as (robot, labels):
            assert robot.change_state("activate")
            robot.ask(make_image(height=SMALL.height, width=SMALL.width), [labels])
            if is_ready:
                wait_until(lambda: list(robot.status().ready_alphas) == [3, 5, 8], "all alphas are ready")
            gaps, answered = [], []
            for _ in range(TRIES):
                first = len(labels.times)
                with _camera(robot.camera()) as sent:
                    for alpha, _ in zip(cycle((5, 3, 8, 3, 5, 8)), range(CHANGES)):
                        time.sleep(4 * PERIOD)
                        assert robot.set(alpha=alpha) == ""
                        robot.wait_for_status(
                            lambda s: (s.alpha, s.state) == (alpha, EngineStatus.ACTIVE),  # noqa: B023
                            f"alpha {alpha}",
                        )
                    time.sleep(4 * PERIOD)
                time.sleep(1.0)
                gaps.append(float(np.diff(labels.times[first:]).max()) / PERIOD)
                answered.append((len(labels.times) - first) / len(sent))
                if gaps[-1] <= asked and answered[-1] == 1.0:
                    break
        how = "kept ready" if is_ready else "loaded in the background"
        what = f"{CHANGES} changes of alpha at 15 Hz, {how}"
        yield Promise(f"{what}: longest gap between answers, in periods", asked, min(gaps), is_limit=True)
        yield Promise(f"{what}: share of the images answered", 1.0, max(answered))


@contextmanager
def _camera(publisher):
    """15 images per second, each with its own stamp."""
    from robot import make_image

    sent, is_ending = [], threading.Event()

    def publish():
        image = make_image(height=SMALL.height, width=SMALL.width)
        start = time.monotonic()
        while not is_ending.wait(max(0.0, start + len(sent) * PERIOD - time.monotonic())):
            image.header.stamp = make_image().header.stamp
            sent.append(image.header.stamp.nanosec)
            publisher.publish(image)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield sent
    finally:
        is_ending.set()
        thread.join()


def _overhead(cache, backend):
    """From the image callback to the published labels, beyond the engine's own time."""
    from robot import make_image

    if backend == "native":
        _build(cache, 3, LARGE)
    parameters = {
        "weights": "street", "backend": backend, "alpha": 3, "input_height": LARGE.height, "input_width": LARGE.width,
        "engine_cache": cache,
    }  # fmt: skip
    image = make_image(height=LARGE.height, width=LARGE.width)
    pixels = np.random.default_rng(0).integers(0, 256, (*LARGE, 3), np.uint8)
    image.data = array("B", pixels.tobytes())
    with _node(f"overhead_{backend}", parameters) as (robot, labels):
        begun = time.monotonic()
        assert robot.change_state("activate")
        robot.ask(image, [labels])
        first_answer = time.monotonic() - begun
        shares = []
        for _ in range(TRIES):
            for _ in range(IMAGES):
                image.header.stamp = make_image().header.stamp
                robot.ask(image, [labels])
            counted = len(labels.messages)
            status = robot.wait_for_status(lambda s: s.answered >= counted, "every answer counted")  # noqa: B023
            added = status.latency_p50 - status.inference_time
            shares.append(added / (0.1 * status.inference_time + 0.002))
            if shares[-1] <= 1:
                break
    what = f"the node beyond its {backend} engine at {LARGE}, times (a tenth of the engine's time + 2 ms)"
    yield Promise(what, 1.0, min(shares), is_limit=True)
    if backend == "native":
        what = f"first answer of a node with a built engine, times {FIRST_ANSWER:g} s"
        yield Promise(what, 1.0, first_answer / FIRST_ANSWER, is_limit=True)


def _overload():
    """Latency with ten times more images than the engine can answer."""
    from robot import make_image

    parameters = {"backend": "fake", "weights": "cityscapes", "input_height": 48, "input_width": 64}
    with _node("overload", parameters) as (robot, labels):
        assert robot.change_state("activate")
        robot.ask(make_image(), [labels])
        camera, image, sent = robot.camera(), make_image(), {}
        start = time.monotonic()
        for index in range(1200):
            time.sleep(max(0.0, start + index * FAKE_ENGINE_TIME / 10 - time.monotonic()))
            image.header.stamp = make_image().header.stamp
            sent[image.header.stamp.nanosec] = time.monotonic()
            camera.publish(image)
        time.sleep(1.0)
        stamps = [message.header.stamp.nanosec for message in labels.messages]
        latencies = [at - sent[stamp] for stamp, at in zip(stamps, labels.times) if stamp in sent]
    # An image waits for the one before it, and is then labelled itself.
    what = "median latency with ten times too many images, times two images of the engine + 30 ms"
    yield Promise(what, 1.0, float(np.median(latencies)) / (2 * FAKE_ENGINE_TIME + 0.03), is_limit=True)


def use_own_domain():
    """Keep the nodes apart from any others on the machine. Returns the lock to hold on to."""
    import ros_domain

    os.environ.pop("ROS_DOMAIN_ID", None)
    return ros_domain.use_own_domain()
