"""Tables of one to four classes, such as road or not, on each engine."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch
import yaml

from espnet_ros.calibration import StreetImages
from espnet_ros.engines import EngineSpec, build_engine
from espnet_ros.engines.cache_key import cpu_flags
from espnet_ros.engines.native.vectors import AVX512, choose_unit
from espnet_ros.model.checkpoint import select_checkpoint
from espnet_ros.model.loading import build_network, load_network

pytestmark = pytest.mark.slow
HAS_BF16 = choose_unit(cpu_flags()) is AVX512 and AVX512.has_any(AVX512.bf16, cpu_flags())


@pytest.fixture
def make_checkpoint(tmp_path):
    """Saves an untrained network with lively batch normalisation, so that every class occurs."""

    def make(network, classes):
        torch.manual_seed(classes)
        module = build_network(network, 3, classes, 19)
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.05, 0.3)
        table, path = tmp_path / "table.yaml", tmp_path / "few.pth"
        rows = [{"id": index, "name": f"class {index}", "color": [index, 0, 0]} for index in range(classes)]
        table.write_text(yaml.safe_dump({"classes": rows}))
        torch.save(module.state_dict(), path)
        metadata = {"network": network, "alpha": 3, "classes": str(table), "input_size": [48, 64], "divisor": 1}
        statistics = {"mean_bgr": [110, 108, 105], "std_bgr": [72, 73, 70]}
        path.with_suffix(".yaml").write_text(yaml.safe_dump({**metadata, **statistics}))
        return select_checkpoint(str(path), network, 3)

    return make


def _labels_of_network(checkpoint, image):
    """Labels as the published pipeline computes them: normalise, run the network, argmax."""
    pixels = (image.astype(np.float64) - checkpoint.mean_bgr) / np.array(checkpoint.std_bgr)
    network = load_network(checkpoint).double()
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels.transpose(2, 0, 1)[np.newaxis]))
        if checkpoint.network == "espnet_c":
            logits = torch.nn.functional.interpolate(logits, scale_factor=8, mode="bilinear", align_corners=False)
    return logits.argmax(1)[0].numpy()


@pytest.mark.parametrize(
    ("network", "classes", "backend", "precision"),
    [
        ("espnet", 2, "torch", "fp32"),
        ("espnet", 1, "native", "fp32"),
        ("espnet", 4, "native", "fp32"),
        pytest.param("espnet", 2, "native", "bf16", marks=pytest.mark.skipif(not HAS_BF16, reason="needs AVX512_BF16")),
        ("espnet", 2, "openvino", "fp32"),
        ("espnet", 3, "onnxruntime", "fp32"),
        ("espnet_c", 2, "torch", "fp32"),
    ],
)
def test_an_engine_with_few_classes_has_the_labels_of_the_network(
    make_checkpoint, engine_cache, color_image, network, classes, backend, precision
):
    pytest.importorskip({"native": "llvmlite"}.get(backend, backend), reason=f"needs {backend}")
    checkpoint = make_checkpoint(network, classes)
    spec = EngineSpec(
        checkpoint,
        checkpoint.load_class_table(),
        checkpoint.input_size,
        backend,
        precision,
        cache=engine_cache,
        calibration=StreetImages(),
    )
    engine = build_engine(spec)
    labels = engine.infer(color_image, with_confidence=True).labels.copy()
    engine.close()
    expected = _labels_of_network(checkpoint, color_image)
    assert len(np.unique(expected)) == classes
    assert np.mean(labels == expected) >= (0.98 if precision == "bf16" else 0.999)
