"""Engines beside the published pipeline and the usual runtimes, as in docs/performance.md."""

from __future__ import annotations

from itertools import islice

import cv2
from promise import Promise

from espnet_ros.benchmark.comparison import compare
from espnet_ros.benchmark.street import street_images
from espnet_ros.config import NodeConfig
from espnet_ros.engines.cache_key import cpu_flags
from espnet_ros.loading import resolve_spec
from espnet_ros.types import ImageSize

SIZE = ImageSize(512, 1024)
ROUNDS = 8
LARGEST = 8
"""Alpha that every precision and the usual runtimes are measured with; the others with the default engine alone."""
FAST_FLAGS = {"avx512_bf16", "avx512_vnni"}
HELD = {"native/auto": 8.0, "native/bf16": 6.26, "native/fp32": 3.26}
"""Times the published pipeline, that every table of docs/performance.md reaches for every alpha."""
HELD_WITHOUT_FAST_FLAGS = {"native/auto": 3.5}
OVER_USUAL = {"native/auto": 3.26}
"""Times the fastest contender that is not ours."""
USUAL = ("openvino", "onnxruntime")  # torch.compile takes a minute to compile, and is never the fastest at alpha 8


def measure(shared, cache):
    """Yield promises of each alpha, with the published checkpoints where they are, else with the shipped weights."""
    weights, images, calibration = _published(shared) if (shared / "espnet_weights").exists() else _shipped()
    held = HELD if set(cpu_flags()) >= FAST_FLAGS else HELD_WITHOUT_FAST_FLAGS
    for alpha in (3, 5, LARGEST):
        config = NodeConfig(
            alpha=alpha, input_height=SIZE.height, input_width=SIZE.width, engine_cache=cache, **weights, **calibration
        )
        usual = USUAL if alpha == LARGEST else ()
        ours = held if alpha == LARGEST else {"native/auto": held["native/auto"]}
        comparison = compare(resolve_spec(config), [*usual, *ours], images, ROUNDS)
        rows = {row.name: row for row in comparison.rows}
        label = f"{weights['weights']} alpha {alpha}, {SIZE}"
        for name, asked in ours.items():
            what = f"{label}: {name}, times the published pipeline"
            if name in rows:
                yield Promise(what, asked, comparison.over_published(rows[name]))
            else:
                yield Promise(what, asked, reason=comparison.absent[name])
        if usual and "native/auto" in rows and held is HELD:
            missing = [name for name in usual if name not in rows]
            what = f"{label}: native/auto, times the fastest usual runtime"
            if len(missing) == len(usual):
                yield Promise(what, OVER_USUAL["native/auto"], reason=comparison.absent[missing[0]])
            else:
                yield Promise(what, OVER_USUAL["native/auto"], comparison.over_best_runtime(rows["native/auto"]))


def _published(shared):
    samples = shared / "cityscapes_samples"
    weights = {"weights": "cityscapes", "weights_dir": str(shared / "espnet_weights")}
    if not samples.exists():
        return weights, street_images(SIZE), {}
    paths = islice(sorted(samples.glob("*.png")), 2)
    images = [cv2.resize(cv2.imread(str(path)), (SIZE.width, SIZE.height)) for path in paths]
    return weights, images, {"calibration": str(samples)}


def _shipped():
    return {"weights": "street"}, street_images(SIZE), {}
