"""What is measured without the node: telemetry, costmaps, synthetic streets, tiles.

Each is compared with a yardstick that is measured at the same time on the same machine, so that the machine's own speed
cancels out.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
from promise import Promise, failures_as_promises
from sensor_trees import MACHINES, reader_of

from espnet_ros.benchmark.costmap import LABEL_SIZE, measure_costmap
from espnet_ros.benchmark.interleaved import measure_interleaved
from espnet_ros.benchmark.published import preprocess_as_published
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
from espnet_ros.segmenter import Segmenter
from espnet_ros.synthetic import StreetRenderer, StreetWorld, default_camera, drive
from espnet_ros.telemetry.sampler import TelemetrySampler, TelemetrySource
from espnet_ros.tiling import label_large_image
from espnet_ros.types import ImageSize

READINGS = 100
READING_PERIOD = 0.02  # s: readings are this much nearer together than at the default of 1 s
SHARE_OF_A_CORE = 0.01  # docs/power.md
TILES_OVER_ENGINE = 1.15
FRAMES = 15
COSTMAP, MOVING_COSTMAP = 1.1, 4.4
"""docs/nav2.md, 2.9 and 11.6 ms, on a machine that normalises an image in 2.7 ms."""
STREET, GRID = 15.0, 1.0


def measure(cache):
    """Yield every promise."""
    yield from failures_as_promises(_telemetry(), "the rest of telemetry")
    yield from failures_as_promises(_on_one_thread(), "the rest of costmaps and streets")
    yield from failures_as_promises(_tiles(cache), "a tile of a large image")


def _on_one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        # CPU time: other programs would stretch a long call more than a short one.
        with mock.patch.object(time, "perf_counter", time.thread_time):
            single_threaded = list(_costmaps_and_streets())
    finally:
        cv2.setNumThreads(threads)
    yield from single_threaded


def _telemetry():
    """CPU time of the sampler's thread for a reading per second, as a share of a core.

    The files lie in a folder, and stand-ins take the place of packages: what a real sensor needs comes on top.
    """
    for name, machine in MACHINES.items():
        what = f"telemetry of {name}, share of a core"
        with tempfile.TemporaryDirectory() as folder, reader_of(machine, Path(folder)) as reader:
            seconds, covers = seconds_per_reading(reader, READINGS)
        if covers == machine.covers:
            yield Promise(what, SHARE_OF_A_CORE, seconds, is_limit=True)
        else:
            reason = f"{reader.name} covers {covers!r}, not {machine.covers!r}"
            yield Promise(what, SHARE_OF_A_CORE, is_limit=True, reason=reason, has_failed=True)


def seconds_per_reading(reader, count):
    """CPU time of the sampler's thread from one reading to the next, and what the last one covers."""
    begun, readings, is_done = [], [], threading.Event()

    class Timed:
        name = reader.name
        close = reader.close

        def read(self):
            begun.append(time.thread_time())
            if len(begun) > count:
                is_done.set()
            readings.append(reader.read())
            return readings[-1]

    sampler = TelemetrySampler([TelemetrySource(reader.name, Timed)], READING_PERIOD)
    assert is_done.wait(60), sampler.latest()
    assert sampler.close(10), f"{reader.name} does not end"
    assert not sampler.latest().dropped, sampler.latest().dropped
    return (begun[count] - begun[0]) / count, readings[-1].covers


def _costmaps_and_streets():
    """Work on one thread, as multiples of normalising a 512x1024 image as the published pipeline does."""
    image = np.random.default_rng(0).integers(0, 256, (*LABEL_SIZE, 3), np.uint8)
    checkpoint = SimpleNamespace(mean_bgr=(110, 108, 105), std_bgr=(72, 73, 70), divisor=255)
    world = StreetWorld(seed=5, length=60.0)
    camera = default_camera(ImageSize(480, 640))
    renderer = StreetRenderer(world, camera)
    poses = [frame.odom_from_camera for frame in islice(drive(world, camera, rate=1.0), 5)]
    turn = iter(range(10**6))
    timings = measure_interleaved(
        {
            "yardstick": lambda: preprocess_as_published(image, checkpoint, LABEL_SIZE),
            "street": lambda: renderer.render(poses[next(turn) % len(poses)]),
            "grid": lambda: world.class_grids((0.0, -10.0), 0.1, 200, 200),
        },
        FRAMES,
    )
    yardstick = timings["yardstick"].median
    for name, asked in (("street", STREET), ("grid", GRID)):
        what = {"street": "a 640x480 frame of the synthetic street", "grid": "true grids of 200x200 cells"}[name]
        yield Promise(f"{what}, times normalising an image", asked, timings[name].median / yardstick, is_limit=True)
    try:
        from espnet_ros.ros.grid_messages import list_messages
    except ImportError as error:
        yield Promise("a costmap, times normalising an image", COSTMAP, is_limit=True, reason=str(error))
        return
    costmaps = measure_costmap(list_messages, 4 * FRAMES)
    for name, asked in (("table warm", COSTMAP), ("camera moves every frame", MOVING_COSTMAP)):
        what = f"8 layers of 200x200 cells as messages, {name}, times normalising an image"
        yield Promise(what, asked, costmaps[name].median / yardstick, is_limit=True)


def _tiles(cache):
    """A tile of a large image, as a multiple of the engine's own time, one after the other."""
    what = "a tile of a large image, times the engine alone"
    size = ImageSize(512, 768)
    config = NodeConfig(
        weights="street", alpha=3, backend="openvino", precision="fp32",
        input_height=size.height, input_width=size.width, engine_cache=cache,
    )  # fmt: skip
    try:
        engine = build_engine(resolve_spec(config))
    except Exception as error:  # a backend that is not installed
        yield Promise(what, TILES_OVER_ENGINE, is_limit=True, reason=str(error).splitlines()[0])
        return
    pixels = np.random.default_rng(1).integers(0, 256, (2000, 2000, 3), np.uint8)
    small = np.ascontiguousarray(pixels[: size.height, : size.width])
    engine.infer(small)
    alone, tiled = [], []
    last = time.perf_counter()

    def time_engine():
        nonlocal last
        middle = time.perf_counter()
        engine.infer(small)
        end = time.perf_counter()
        tiled.append(middle - last)
        alone.append(end - middle)
        last = end

    label_large_image(pixels, Segmenter(engine), 64, time_engine)
    engine.close()
    yield Promise(what, TILES_OVER_ENGINE, statistics.median(tiled) / statistics.median(alone), is_limit=True)
