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
"""Instructions of the processor that docs/performance.md was measured on."""
WITHOUT_FAST_FLAGS = 3.26
"""Times the published pipeline for native/auto on other processors, which were not measured: the ratio of its fp32."""
TIMES_PUBLISHED = {
    "cityscapes": {
        3: {"native/auto": 13.06},
        5: {"native/auto": 13.35},
        8: {"native/auto": 12.89, "native/bf16": 9.91, "native/fp32": 5.20},
    },
    "street": {
        3: {"native/auto": 8.17},
        5: {"native/auto": 8.0},
        8: {"native/auto": 8.09, "native/bf16": 6.26, "native/fp32": 3.26},
    },
}
"""Times the published pipeline, by weights and alpha: the tables of docs/performance.md."""
TIMES_USUAL = {"cityscapes": 6.66, "street": 3.26}
"""Times the fastest contender that is not ours, for alpha 8: the same tables."""
USUAL = ("openvino", "onnxruntime")  # torch.compile takes a minute to compile, and is never the fastest at alpha 8


def measure(shared, cache):
    """Yield promises of each alpha, with the published checkpoints where they are, else with the shipped weights."""
    weights, images, calibration = _published(shared) if (shared / "espnet_weights").exists() else _shipped()
    is_fast = set(cpu_flags()) >= FAST_FLAGS
    family = weights["weights"]
    for alpha in (3, 5, LARGEST):
        config = NodeConfig(
            alpha=alpha, input_height=SIZE.height, input_width=SIZE.width, engine_cache=cache, **weights, **calibration
        )
        usual = USUAL if alpha == LARGEST else ()
        ours = TIMES_PUBLISHED[family][alpha] if is_fast else {"native/auto": WITHOUT_FAST_FLAGS}
        comparison = compare(resolve_spec(config), [*usual, *ours], images, ROUNDS)
        rows = {row.name: row for row in comparison.rows}
        label = f"{family} alpha {alpha}, {SIZE}"
        for name, asked in ours.items():
            what = f"{label}: {name}, times the published pipeline"
            if name in rows:
                yield Promise(what, asked, comparison.over_published(rows[name]))
            else:
                yield Promise(what, asked, reason=comparison.absent[name], has_failed=True)
        if usual and "native/auto" in rows and is_fast:
            missing = [name for name in usual if name not in rows]
            what = f"{label}: native/auto, times the fastest usual runtime"
            if len(missing) == len(usual):
                yield Promise(what, TIMES_USUAL[family], reason=comparison.absent[missing[0]])
            else:
                yield Promise(what, TIMES_USUAL[family], comparison.over_best_runtime(rows["native/auto"]))


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
