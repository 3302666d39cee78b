"""The node beside its engine, as in docs/switching.md."""

from __future__ import annotations

import random
import tempfile
import time
from array import array
from itertools import cycle
from pathlib import Path

import numpy as np
from built_engines import build_ahead
from node_runs import PERIOD, TRIES, camera, reason_without_ros, running_node
from promise import SHARE_ROOM, Promise, failures_as_promises

from espnet_ros.types import ImageSize

SMALL, LARGE = ImageSize(184, 240), ImageSize(512, 1024)
CHANGES = 20
IMAGES = 100  # the node's status is of that many
FAKE_ENGINE_TIME = 0.05  # s
FIRST_ANSWER = 3.0  # s after activate, docs/engines.md
STOPS = 20
LATEST_STOP = 8.0  # s after the start; the first build takes longer
LONGEST_STOP = 2.0  # s, docs/switching.md


def measure(cache):
    """Yield every promise."""
    reason = reason_without_ros()
    if reason:
        yield Promise("the node beside its engine", 1.0, reason=reason)
        return
    for is_ready, asked in ((True, 2.0), (False, 3.0)):
        what = f"{CHANGES} changes of alpha at 15 Hz, {'kept ready' if is_ready else 'loaded in the background'}"
        yield from failures_as_promises(_changes(cache, is_ready, asked, what), what)
    for backend in ("fake", "native"):
        what = f"the node beyond its {backend} engine at {LARGE}, times (a tenth of the engine's time + 2 ms)"
        yield from failures_as_promises(_overhead(cache, backend, what), what)
    what = f"longest of {STOPS} stops at random moments of the first start, times {LONGEST_STOP:g} s"
    yield from failures_as_promises(_stops(what), what)


def _changes(cache, is_ready, asked, what):
    from robot import make_image
    from waiting import wait_until

    from espnet_ros.msg import EngineStatus

    parameters = {
        "weights": "street", "backend": "native", "input_height": SMALL.height, "input_width": SMALL.width,
        "engine_cache": cache,
    }  # fmt: skip
    for alpha in (3, 5, 8):
        build_ahead(alpha=alpha, **parameters)
    with running_node(f"changes_{is_ready}".lower(), {**parameters, "keep_alphas_ready": is_ready}) as run:
        robot, labels = run.robot, run.labels
        assert robot.change_state("activate")
        robot.ask(make_image(height=SMALL.height, width=SMALL.width), [labels])
        if is_ready:
            wait_until(lambda: list(robot.status().ready_alphas) == [3, 5, 8], "all alphas are ready")
        gaps, answered = [], []
        for _ in range(TRIES):
            first = len(labels.times)
            with camera(robot.camera(), SMALL) as sent:
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
    yield Promise(f"{what}: longest gap between answers, in periods", asked, min(gaps), is_limit=True)
    yield Promise(f"{what}: share of the images answered", 1.0, max(answered), room=SHARE_ROOM)


def _overhead(cache, backend, what):
    """From the image callback to the published labels, beyond the engine's own time."""
    from robot import make_image

    parameters = {
        "weights": "street", "backend": backend, "alpha": 3, "input_height": LARGE.height, "input_width": LARGE.width,
        "engine_cache": cache,
    }  # fmt: skip
    build_ahead(**parameters)
    image = make_image(height=LARGE.height, width=LARGE.width)
    pixels = np.random.default_rng(0).integers(0, 256, (*LARGE, 3), np.uint8)
    image.data = array("B", pixels.tobytes())
    with running_node(f"overhead_{backend}", parameters, {"ESPNET_FAKE_LATENCY": str(FAKE_ENGINE_TIME)}) as run:
        robot, labels = run.robot, run.labels
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
    yield Promise(what, 1.0, min(shares), is_limit=True)
    if backend == "native":
        what = f"first answer of a node with a built engine, times {FIRST_ANSWER:g} s"
        yield Promise(what, 1.0, first_answer / FIRST_ANSWER, is_limit=True)


def _stops(what):
    """From Ctrl-C in the terminal until the last process of the node is gone."""
    from cold_start import ColdStart

    generator = random.Random(STOPS)
    times = []
    for _ in range(STOPS):
        with tempfile.TemporaryDirectory() as folder:
            node = ColdStart(Path(folder))
            time.sleep(generator.uniform(0.1, LATEST_STOP))
            begun = time.monotonic()
            node.press_ctrl_c()
            code = node.wait()
            times.append(time.monotonic() - begun)
            assert code in (0, 130) and not node.unfinished(), node.log
    yield Promise(what, 1.0, max(times) / LONGEST_STOP, is_limit=True)
