"""Compares the machine code with torch, for each vector unit, element type, network variant and several sizes."""

import json
import os
import threading

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

pytest.importorskip("llvmlite", reason="needs llvmlite, which compiles the code")

from espnet_ros.config import NodeConfig
from espnet_ros.engines.cache_key import cpu_flags
from espnet_ros.engines.native import machine_code
from espnet_ros.engines.native.lowering import lower
from espnet_ros.engines.native.machine_code import CODE_FILE, MachineCode, write_machine_code
from espnet_ros.engines.native.program import BF16, FP32
from espnet_ros.engines.native.ranges import measure_ranges
from espnet_ros.engines.native.vectors import AVX2, AVX512, choose_unit
from espnet_ros.errors import EngineError
from espnet_ros.loading import resolve_spec
from espnet_ros.model.espnet import ESPNet
from espnet_ros.model.graph import SegmentationGraph
from espnet_ros.model.loading import load_network
from espnet_ros.synthetic import SyntheticStreet, default_camera
from espnet_ros.types import ImageSize

FLAGS = cpu_flags()
pytestmark = [
    pytest.mark.skipif(choose_unit(FLAGS) is None, reason="needs an x86-64 CPU with AVX2 and FMA"),
    pytest.mark.slow,
]
UNITS = [unit for unit in (AVX512, AVX2) if set(unit.flags) <= set(FLAGS)]
SIZE = ImageSize(104, 200)  # an eighth is 13 x 25: no vector divides it


@pytest.fixture(scope="module")
def checkpoint():
    return resolve_spec(NodeConfig(alpha=3)).checkpoint


@pytest.fixture(scope="module")
def images():
    """Images of a synthetic street, at SIZE."""
    street = SyntheticStreet(3, 3, 10.0, 200.0, default_camera(SIZE))
    return [np.ascontiguousarray(frame.image) for frame in street.frames()]


@pytest.fixture
def start(tmp_path):
    """Compiles a program and loads it."""
    started = []

    def start_one(program, unit, threads=1):
        write_machine_code(program, unit, tmp_path)
        started.append(MachineCode(tmp_path, threads))
        return started[-1]

    yield start_one
    for code in started:
        code.close()


def run_both(graph, code, image):
    with torch.inference_mode():
        expected, confidence = (each[0].numpy() for each in graph(torch.from_numpy(image[np.newaxis])))
    code.run(image, with_confidence=True)
    return expected, confidence


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_fp32_gives_the_labels_and_confidence_of_torch(start, checkpoint, images, unit):
    network = load_network(checkpoint)
    graph = SegmentationGraph(network, checkpoint).eval()
    code = start(lower(network, checkpoint, SIZE, FP32), unit)
    for image in images:
        expected, confidence = run_both(graph, code, image)
        assert np.mean(code.labels == expected) >= 0.9999
        assert np.abs(code.confidence.astype(int) - confidence).max() <= 1


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@pytest.mark.parametrize("element", [FP32, BF16], ids=lambda element: element.name)
def test_int8_beside_each_element_keeps_the_labels(start, checkpoint, images, unit, element):
    if element == BF16 and not unit.has_any(unit.bf16, FLAGS):
        pytest.skip("needs a CPU that multiplies bf16")
    if not {"avx512_vnni", "avx_vnni"} & set(FLAGS):
        pytest.skip("needs a CPU with VNNI")
    network = load_network(checkpoint)
    graph = SegmentationGraph(network, checkpoint).eval()
    ranges = measure_ranges(network, checkpoint, images[:2])
    program = lower(network, checkpoint, SIZE, element, ranges)
    assert len(program.quantised) == 5  # alpha 3: four ESP units of the third level, and the decoder
    code = start(program, unit)
    expected, _ = run_both(graph, code, images[2])
    assert 0.97 <= np.mean(code.labels == expected) < 1.0


@pytest.mark.skipif("avx512_bf16" not in FLAGS, reason="needs a CPU that multiplies bf16")
def test_bf16_keeps_the_labels_and_is_not_fp32_by_another_name(start, checkpoint, images):
    network = load_network(checkpoint)
    graph = SegmentationGraph(network, checkpoint).eval()
    code = start(lower(network, checkpoint, SIZE, BF16), AVX512)
    expected, _ = run_both(graph, code, images[0])
    assert 0.98 <= np.mean(code.labels == expected) < 1.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@pytest.mark.parametrize(
    ("classes", "alpha", "skip_channels", "size"),
    [(20, 5, 16, (64, 128)), (45, 3, 19, (40, 56)), (5, 8, 16, (16, 16)), (7, 3, 19, (8, 264))],
)
def test_any_number_of_classes_and_any_size_will_do(start, checkpoint, unit, classes, alpha, skip_channels, size):
    torch.manual_seed(classes)
    network = ESPNet(classes, alpha, skip_channels).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.3, 0.3)
            module.running_mean.uniform_(-0.3, 0.3)
        if isinstance(module, torch.nn.PReLU):
            module.weight.uniform_(-0.5, 1.5)
    graph = SegmentationGraph(network, checkpoint).eval()
    code = start(lower(network, checkpoint, ImageSize(*size), FP32), unit)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    expected, confidence = run_both(graph, code, image)
    assert len(np.unique(expected)) > 1
    assert np.mean(code.labels == expected) >= 0.999
    assert np.abs(code.confidence.astype(int) - confidence)[code.labels == expected].max() <= 1


def test_any_number_of_threads_gives_the_same_labels_every_time(start, checkpoint, images):
    program = lower(load_network(checkpoint), checkpoint, SIZE, FP32)
    alone, crew = start(program, UNITS[0]), start(program, UNITS[0], threads=5)
    for index in range(60):
        image = images[index % len(images)]
        alone.run(image, with_confidence=False)
        crew.run(image, with_confidence=bool(index % 2))
        assert np.array_equal(alone.labels, crew.labels)


def test_the_clock_goes_on_from_step_to_step(start, checkpoint, images):
    program = lower(load_network(checkpoint), checkpoint, SIZE, FP32)
    code = start(program, UNITS[0])
    code.run(images[0], with_confidence=False)
    ends = code.step_end_times()
    assert len(ends) == len(program.steps) and (np.diff(ends) > 0).all()


def test_what_was_closed_has_no_threads_left(start, checkpoint, images):
    before = threading.active_count()
    code = start(lower(load_network(checkpoint), checkpoint, SIZE, FP32), UNITS[0], threads=3)
    code.run(images[0], with_confidence=False)
    assert threading.active_count() == before + 2
    code.close()
    assert threading.active_count() == before


def test_code_that_cannot_be_loaded_is_named(start, checkpoint, tmp_path):
    start(lower(load_network(checkpoint), checkpoint, SIZE, FP32), UNITS[0])
    (tmp_path / CODE_FILE).write_bytes(b"no object file")
    with pytest.raises(EngineError, match=f"machine code in {tmp_path} cannot be loaded"):
        MachineCode(tmp_path, 1)
    (tmp_path / "layout.json").write_text(json.dumps([]), encoding="utf-8")
    with pytest.raises(EngineError, match="cannot be loaded"):
        MachineCode(tmp_path, 1)


def test_units_are_chosen_by_what_a_processor_has():
    assert choose_unit(("avx2", "fma", *AVX512.flags)) == AVX512
    assert choose_unit(("avx2", "fma", "avx512f")) == AVX2
    assert choose_unit(("avx2",)) is None


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_helpers_keep_off_the_core_of_the_thread_that_wakes_them(start, checkpoint, images, monkeypatch):
    code = start(lower(load_network(checkpoint), checkpoint, SIZE, FP32), UNITS[0], threads=2)
    (helper,) = (each for each in threading.enumerate() if each.name == "engine 1")
    allowed = os.sched_getaffinity(0)
    for core in sorted(allowed)[:2]:
        monkeypatch.setattr(machine_code, "current_core", lambda core=core: core)
        code.run(images[0], with_confidence=False)
        assert os.sched_getaffinity(helper.native_id) == allowed - {core}
