import logging
import os
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="needs llvmlite, which compiles the code")

from espnet_ros.calibration import calibration_images
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.cache_key import cpu_flags
from espnet_ros.engines.native import engine as native
from espnet_ros.engines.native.vectors import AVX512, choose_unit
from espnet_ros.errors import DatasetError, EngineError
from espnet_ros.loading import resolve_spec
from espnet_ros.synthetic import SyntheticStreet

FLAGS = cpu_flags()
UNIT = choose_unit(FLAGS)
pytestmark = [pytest.mark.skipif(UNIT is None, reason="needs an x86-64 CPU with AVX2 and FMA"), pytest.mark.slow]
HAS_INT8 = UNIT is not None and UNIT.has_any(UNIT.int8, FLAGS)


@pytest.fixture(scope="module")
def shipped(engine_cache):
    return resolve_spec(
        NodeConfig(alpha=3, backend="native", input_height=184, input_width=240, engine_cache=engine_cache)
    )


@pytest.fixture(scope="module")
def street():
    """(184, 240, 3) frames of a street that is not in the calibration images."""
    return [cv2.resize(frame.image, (240, 184)) for frame in SyntheticStreet(3, 4, 10.0, 200.0).frames()]


@pytest.mark.skipif(not HAS_INT8, reason="needs a CPU with VNNI instructions")
def test_auto_takes_int8_which_keeps_99_percent_of_the_labels(shipped, street):
    engines = [build_engine(replace(shipped, precision=precision)) for precision in ("auto", "fp32")]
    labels = [np.stack([engine.infer(image).labels.copy() for image in street]) for engine in engines]
    for engine in engines:
        engine.close()
    assert [engine.precision for engine in engines] == ["int8", "fp32"]
    assert 0.99 <= np.mean(labels[0] == labels[1]) < 1.0


@pytest.mark.skipif(not HAS_INT8, reason="needs a CPU with VNNI instructions")
def test_int8_that_loses_labels_is_refused_and_auto_takes_another(untrained_checkpoint, engine_cache, tmp_path, caplog):
    for index, value in enumerate((0, 255)):  # ranges from a black image fit no other image
        noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)) * value // 255
        cv2.imwrite(str(tmp_path / f"{index}.png"), noise.astype(np.uint8))
    spec = resolve_spec(
        NodeConfig(
            weights=str(untrained_checkpoint.path),
            backend="native",
            calibration=str(tmp_path),
            engine_cache=engine_cache,
        )
    )
    with pytest.raises(EngineError, match=r"precision 'int8': in int8 only \d+\.\d\d % .* must be at least 99 %"):
        build_engine(replace(spec, precision="int8"))
    caplog.set_level(logging.INFO)
    engine = build_engine(spec)
    engine.close()
    assert engine.precision in ("bf16", "fp32")
    assert "not using precision int8: precision 'int8': in int8 only" in caplog.text


def test_a_calibration_folder_without_images_is_named(shipped, tmp_path):
    with pytest.raises(DatasetError, match=str(tmp_path)):
        build_engine(replace(shipped, precision="fp32", calibration=calibration_images(str(tmp_path))))


def test_what_the_code_is_not_written_for_is_refused_by_name(shipped, untrained_checkpoint):
    encoder = replace(shipped, checkpoint=replace(shipped.checkpoint, network="espnet_c"))
    with pytest.raises(EngineError, match="network 'espnet_c' is not supported by backend 'native', which runs espnet"):
        native.NativeEngine(encoder)
    with pytest.raises(EngineError, match="needs an input_width of at least 16, has 8"):
        native.NativeEngine(replace(shipped, input_size=shipped.input_size._replace(width=8)))
    with pytest.raises(
        EngineError, match="precision 'fp16' is not supported by backend 'native', which has int8, bf16, fp32"
    ):
        native.NativeEngine(replace(shipped, precision="fp16"))


@pytest.mark.parametrize(
    ("flags", "precision", "reason"),
    [
        (("sse4_2",), "auto", "needs an x86-64 CPU with AVX2 and FMA, which .* lacks"),
        (("avx2", "fma"), "bf16", "precision 'bf16' needs a CPU with AVX-512, which .* lacks"),
        (("avx2", "fma"), "int8", "precision 'int8' needs a CPU with avx_vnni, which .* lacks"),
        (AVX512.flags, "bf16", "precision 'bf16' needs a CPU with avx512_bf16, which .* lacks"),
    ],
)
def test_what_a_processor_lacks_is_refused_by_name(shipped, monkeypatch, flags, precision, reason):
    monkeypatch.setattr(native, "cpu_flags", lambda: flags)
    with pytest.raises(EngineError, match=reason):
        native.NativeEngine(replace(shipped, precision=precision))


def test_auto_goes_on_to_the_next_backend_with_the_reason(shipped, monkeypatch):
    monkeypatch.setattr(native, "cpu_flags", tuple)
    engine = build_engine(replace(shipped, backend="auto", precision="fp32"))
    engine.close()
    assert engine.backend != "native"
    assert "native: backend 'native' needs an x86-64 CPU with AVX2 and FMA" in engine.reason


_START = """
import sys
import numpy as np
from espnet_ros.calibration import calibration_images
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
config = NodeConfig(alpha=3, backend="native", input_height=184, input_width=240, engine_cache=sys.argv[1])
engine = build_engine(resolve_spec(config))
engine.infer(np.zeros((184, 240, 3), np.uint8))
print([name in sys.modules for name in ("torch", "openvino")])
"""


def test_neither_torch_nor_openvino_is_imported_into_its_process(engine_cache):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in ("built", "from the cache"):
        command = [sys.executable, "-c", _START, engine_cache]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[False, False]"
