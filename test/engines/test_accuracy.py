"""Accuracy is a contract: how many labels each engine and precision may change on real images."""

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")


from espnet_ros.benchmark.published import PublishedPipeline
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.errors import EngineError
from espnet_ros.loading import resolve_spec
from espnet_ros.segmenter import Segmenter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def samples(cityscapes_samples):
    return [cv2.imread(str(path)) for path in sorted(cityscapes_samples.glob("*.png"))]


@pytest.mark.parametrize(("network", "alpha"), [("espnet", 3), ("espnet", 8), ("espnet_c", 8)])
@pytest.mark.parametrize(
    ("backend", "precision", "share"),
    [
        ("torch", "fp32", 0.9999),
        ("onnxruntime", "fp32", 0.9999),
        ("native", "fp32", 0.9999),
        ("native", "bf16", 0.993),
        ("native", "int8", 0.99),
        ("openvino", "fp32", 0.9999),
        ("openvino", "bf16", 0.993),
        ("openvino", "int8", 0.99),
    ],
)
def test_labels_agree_with_the_published_pipeline(
    samples, cityscapes_samples, published_weights, engine_cache, network, alpha, backend, precision, share
):
    config = NodeConfig(
        network=network, alpha=alpha, weights="cityscapes", backend=backend, precision=precision,
        weights_dir=str(published_weights), engine_cache=engine_cache, calibration=str(cityscapes_samples),
    )  # fmt: skip
    spec = resolve_spec(config)
    try:
        segmenter = Segmenter(build_engine(spec))
    except EngineError as error:
        if precision != "bf16" and backend != "native":
            raise
        pytest.skip(str(error))
    published = PublishedPipeline(spec.checkpoint, spec.input_size)
    equal = [np.mean(segmenter.segment(image).labels[::2, ::2] == published(image)) for image in samples]
    segmenter.close()
    assert min(equal) >= share
