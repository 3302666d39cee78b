"""The node under load: too many images, a reader that has stopped, a recorded drive, the demo."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import tempfile
import time
from array import array
from pathlib import Path

import cv2
import numpy as np
from built_engines import build_ahead
from node_runs import (
    FAKE,
    PERIOD,
    TRIES,
    latencies,
    publish_all,
    reason_without_ros,
    running_node,
)
from promise import SHARE_ROOM, Promise, failures_as_promises

ENGINE_TIME = 0.05  # s
OVERLOAD, OVERLOADED_IMAGES = 10, 1200
BESIDE_A_STOPPED_READER = 0.1  # s
DEMO_RATE, DEMO_IMAGES, DEMO_LATENCY = 20, 60, 0.2  # Hz, images, s


def measure(shared, cache):
    """Yield every promise. Real images come from the folder ``shared``, if it is there."""
    reason = reason_without_ros()
    if reason:
        yield Promise("the node under load", 1.0, reason=reason)
        return
    for what, measured in (
        (f"{OVERLOAD} times too many images", _overload),
        ("50 images per second beside a stopped reader", _stopped_reader),
        ("a CamVid drive at 15 Hz", lambda what: _camvid_drive(what, shared, cache)),
        (f"the demo at {DEMO_RATE} Hz with the fake engine", _demo),
    ):
        yield from failures_as_promises(measured(what), what)


def _overload(what):
    from robot import make_image

    with running_node("overload", FAKE, {"ESPNET_FAKE_LATENCY": str(ENGINE_TIME)}) as run:
        assert run.robot.change_state("activate")
        run.robot.ask(make_image(), [run.labels])
        published = publish_all(run.robot.camera(), [make_image()] * OVERLOADED_IMAGES, ENGINE_TIME / OVERLOAD)
        time.sleep(1.0)
        found = latencies(run.labels, published)
    # An image waits for the one before it, and is then labelled itself.
    limit = 2 * ENGINE_TIME + 0.03
    yield Promise(
        f"{what}: median latency, times (two images of the engine + 30 ms)", 1.0, float(np.median(found)) / limit,
        is_limit=True,
    )  # fmt: skip
    tenth = len(found) // 10
    growth = float(np.median(found[-tenth:]) / np.median(found[:tenth]))
    yield Promise(f"{what}: latency of the last tenth, times that of the first", 1.2, growth, is_limit=True)


def _stopped_reader(what):
    """A reliable reader of the labels that stops reading must not delay the others."""
    from robot import make_image
    from stopped_reader import stopped_reader

    with tempfile.TemporaryDirectory() as folder, running_node("stuck", FAKE) as run:
        robot, labels = run.robot, run.labels
        assert robot.change_state("activate")
        with stopped_reader(
            f"{robot.target}/label_image", Path(folder) / "got", lambda: robot.ask(make_image(), [labels])
        ):
            tries = []
            for _ in range(TRIES):
                published = publish_all(robot.camera(), [make_image()] * 100, 1 / 50)
                time.sleep(1.0)
                found = latencies(labels, published)
                p95 = float(np.percentile(found, 95)) if found else float("inf")
                tries.append((p95 / BESIDE_A_STOPPED_READER, len(found) / len(published)))
                if tries[-1][0] <= 1 and tries[-1][1] == 1:
                    break
    yield Promise(
        f"{what}: p95 of the latency, times {BESIDE_A_STOPPED_READER:g} s", 1.0, min(p95 for p95, _ in tries),
        is_limit=True,
    )  # fmt: skip
    yield Promise(f"{what}: share answered", 1.0, max(share for _, share in tries), room=SHARE_ROOM)


def _camvid_drive(what, shared, cache):
    images, weights = shared / "camvid/val/images", shared / "espnet_weights"
    missing = [str(folder) for folder in (images, weights) if not folder.is_dir()]
    if missing:
        yield Promise(what, 1.0, reason=f"needs {' and '.join(missing)}")
        return
    if importlib.util.find_spec("llvmlite") is None:
        yield Promise(what, 1.0, reason="needs llvmlite, which compiles the engine for a CPU")
        return
    from robot import make_image

    parameters = {
        "weights": "camvid", "weights_dir": str(weights), "engine_cache": cache, "backend": "native",
        "input_height": 0, "input_width": 0,
    }  # fmt: skip
    build_ahead(**parameters)
    messages = []
    for path in sorted(images.iterdir()):
        pixels = cv2.imread(str(path))
        messages.append(make_image(height=pixels.shape[0], width=pixels.shape[1]))
        messages[-1].data = array("B", pixels.tobytes())
    with running_node("camvid", parameters) as run:
        robot, labels = run.robot, run.labels
        assert robot.change_state("activate")
        robot.ask(messages[0], [labels])
        tries = []
        for _ in range(TRIES):
            published = publish_all(robot.camera(), messages, PERIOD)
            time.sleep(1.0)
            counted = len(labels.messages)
            status = robot.wait_for_status(lambda s: s.answered >= counted, "every answer counted")  # noqa: B023
            found = latencies(labels, published)
            limit = 1.5 * status.inference_time + 0.015
            p95 = float(np.percentile(found, 95)) if found else float("inf")
            tries.append((p95 / limit, status.frame_rate * PERIOD))
            if tries[-1][0] <= 1 and len(found) == len(published):
                break
    p95s, rates = zip(*tries)
    yield Promise(
        f"{what}: p95 of the latency, times (one and a half images of the engine + 15 ms)", 1.0, min(p95s),
        is_limit=True,
    )  # fmt: skip
    yield Promise(f"{what}: frame rate, times 15 Hz", 0.85, max(rates))


def _demo(what):
    from espnet_ros import cli

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for index in range(DEMO_IMAGES):
            assert cv2.imwrite(str(folder / f"images/{index:03d}.png"), np.full((24, 40, 3), 4 * index, np.uint8))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = cli.main(
                ["demo", "--images", str(folder / "images"), "--backend", "fake", "--weights", "camvid",
                 "--rate", str(DEMO_RATE), "--out", str(folder / "out")]
            )  # fmt: skip
        assert code == 0, printed.getvalue()
        numbers = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    yield Promise(f"{what}: frame rate, times the rate", 0.9, numbers["frame_rate"] / DEMO_RATE)
    latency = numbers["latency_p50"] / DEMO_LATENCY
    yield Promise(f"{what}: median latency, times {DEMO_LATENCY:g} s", 1.0, latency, is_limit=True)
