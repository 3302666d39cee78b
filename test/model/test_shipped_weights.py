"""The shipped weights reach the mean IoU in their metadata, on real and on synthetic streets."""

import json

import pytest

pytest.importorskip("torch", reason="needs PyTorch")

from safetensors import safe_open

from espnet_ros.config import NodeConfig
from espnet_ros.evaluation.frames import Frame
from espnet_ros.evaluation.images import ImageFolder
from espnet_ros.evaluation.report import evaluate
from espnet_ros.loading import build_segmenter
from espnet_ros.model.checkpoint import SHIPPED_FAMILY, list_registry, select_checkpoint
from espnet_ros.model.loading import load_network
from espnet_ros.synthetic import SyntheticStreet
from espnet_ros.training.config_file import read_config

pytestmark = pytest.mark.slow

ALPHAS = (3, 5, 8)
SHIPPED = [entry for entry in list_registry() if entry.family == SHIPPED_FAMILY]
STREETS = range(900, 906)
"""Seeds that were used neither for training nor for any decision."""


def _metadata(alpha):
    with safe_open(str(select_checkpoint(SHIPPED_FAMILY, "espnet", alpha).path), "pt") as stream:
        return {key: json.loads(value) for key, value in stream.metadata().items()}


def _mean_iou(alpha, source, engine_cache):
    segmenter = build_segmenter(NodeConfig(weights=SHIPPED_FAMILY, alpha=alpha, engine_cache=engine_cache))
    try:
        return evaluate(segmenter, source).mean_iou
    finally:
        segmenter.close()


class Streets:
    """Four frames of each of the streets, 20 m apart."""

    name, has_labels = "streets", True

    def __iter__(self):
        for seed in STREETS:
            for frame in SyntheticStreet(seed, 4, 10.0, 200.0).frames():
                yield Frame(f"{seed}-{frame.index}", frame.stamp_ns, frame.image, frame.labels)

    def __len__(self):
        return 4 * len(STREETS)


def test_there_is_one_for_each_alpha_and_it_is_the_nodes_default():
    assert [entry.alpha for entry in SHIPPED] == list(ALPHAS)
    assert NodeConfig().weights == SHIPPED_FAMILY
    for entry in SHIPPED:
        assert (entry.name, entry.network, entry.classes) == (f"espnet_alpha{entry.alpha}_street", "espnet", "camvid")
        # so that a change of alpha changes neither the labels' meaning nor the input
        assert entry.input_size == (360, 480)
        assert entry.path.stat().st_size <= 2_000_000


@pytest.mark.parametrize("alpha", ALPHAS)
def test_it_loads_strictly_and_its_config_is_beside_it(alpha, monkeypatch):
    monkeypatch.setenv("CAMVID", "anywhere")
    entry = select_checkpoint(SHIPPED_FAMILY, "espnet", alpha)
    assert all(value.isfinite().all() for value in load_network(entry).state_dict().values())
    config = read_config(entry.path.with_suffix(".yaml"))
    metadata = _metadata(alpha)
    assert (config.name, config.alpha, config.seed) == (entry.name, alpha, metadata["seed"])


@pytest.mark.parametrize("alpha", ALPHAS)
def test_it_labels_real_streets_as_well_as_it_says(alpha, camvid_val, engine_cache):
    source = ImageFolder(camvid_val / "images", camvid_val / "labels")
    assert _mean_iou(alpha, source, engine_cache) == pytest.approx(
        _metadata(alpha)["mean_iou"]["camvid_val"], abs=0.003
    )


@pytest.mark.parametrize(("alpha", "promised"), [(3, 0.80), (5, 0.81), (8, 0.85)])
def test_it_labels_synthetic_streets_that_it_has_not_seen_as_well_as_promised(alpha, promised, engine_cache):
    assert _metadata(alpha)["mean_iou"]["unseen_streets"] >= promised
    assert _mean_iou(alpha, Streets(), engine_cache) >= promised
