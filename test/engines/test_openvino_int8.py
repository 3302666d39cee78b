"""int8 on OpenVINO: made with images, judged on others, and taken by ``auto`` only where it keeps the labels."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("openvino", reason="needs OpenVINO")
pytest.importorskip("torch", reason="needs PyTorch")


from espnet_ros.calibration import calibration_images
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.cache_key import cpu_device
from espnet_ros.engines.openvino_engine import INT8_FLAGS
from espnet_ros.errors import DatasetError, EngineError
from espnet_ros.loading import resolve_spec
from espnet_ros.synthetic import SyntheticStreet

pytestmark = pytest.mark.slow

HAS_INT8 = any(flag in cpu_device().split() for flag in INT8_FLAGS)


@pytest.fixture(scope="module")
def shipped(engine_cache):
    return resolve_spec(
        NodeConfig(alpha=3, backend="openvino", input_height=184, input_width=240, engine_cache=engine_cache)
    )


@pytest.fixture(scope="module")
def street():
    """(360, 480, 3) frames of a street that calibration does not have."""
    return [frame.image for frame in SyntheticStreet(3, 4, 10.0, 200.0).frames()]


def _labels(engine, images):
    size = engine.spec.input_size
    return np.stack([engine.infer(cv2.resize(image, (size.width, size.height))).labels.copy() for image in images])


def test_int8_keeps_99_percent_of_the_labels_and_is_not_fp32_by_another_name(shipped, street):
    engines = {name: build_engine(replace(shipped, precision=name)) for name in ("int8", "fp32")}
    labels = {name: _labels(engine, street) for name, engine in engines.items()}
    for engine in engines.values():
        engine.close()
    assert 0.99 <= np.mean(labels["int8"] == labels["fp32"]) < 1.0


@pytest.mark.skipif(not HAS_INT8, reason="needs a CPU with VNNI instructions")
def test_auto_takes_int8_where_it_keeps_the_labels(shipped):
    engine = build_engine(shipped)
    engine.close()
    assert engine.precision == "int8"


def test_int8_that_loses_labels_is_refused_and_auto_takes_another(untrained_checkpoint, engine_cache, tmp_path):
    # ranges from a black image fit no other image
    for index, value in enumerate((0, 255)):
        noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)) * value // 255
        cv2.imwrite(str(tmp_path / f"{index}.png"), noise.astype(np.uint8))
    checkpoint = untrained_checkpoint
    spec = resolve_spec(
        NodeConfig(
            weights=str(checkpoint.path), backend="openvino", calibration=str(tmp_path), engine_cache=engine_cache
        )
    )
    with pytest.raises(EngineError, match=r"precision 'int8': in int8 only \d+\.\d\d % .* must be at least 99 %"):
        build_engine(replace(spec, precision="int8"))
    engine = build_engine(spec)
    engine.close()
    assert engine.precision in ("bf16", "fp32")


def test_a_calibration_folder_without_images_is_named(shipped, tmp_path):
    with pytest.raises(DatasetError, match=str(tmp_path)):
        build_engine(replace(shipped, precision="int8", calibration=calibration_images(str(tmp_path))))
