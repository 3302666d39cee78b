import ast
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from espnet_ros.calibration import calibration_images
from espnet_ros.classes import load_class_table
from espnet_ros.engines import EngineSpec, cache_key
from espnet_ros.engines.cache_key import cpu_device, describe_cpu, engine_key
from espnet_ros.model.checkpoint import Checkpoint
from espnet_ros.types import ImageSize

CHECKPOINT = Checkpoint(
    "mine", "espnet", 8, "camvid", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), ImageSize(360, 480), "abc", divisor=255.0
)
SPEC = EngineSpec(CHECKPOINT, load_class_table("camvid"), ImageSize(48, 64))
BUILT = {"backend": "openvino", "version": "2026.4", "precision": "bf16", "device": "AMD EPYC; avx2"}
TX2 = """\
processor\t: 0
model name\t: ARMv8 Processor rev 3 (v8l)
Features\t: fp asimd evtstrm aes crc32
CPU part\t: 0xd07

processor\t: 1
model name\t: ARMv8 Processor rev 0 (v8l)
Features\t: fp asimd aes asimdhp
CPU part\t: 0x003

"""


def test_the_key_has_what_an_engine_depends_on():
    key = engine_key(SPEC, **BUILT)
    code = key.pop("code")
    assert key == {
        **BUILT,
        "weights": "abc",
        "network": "espnet",
        "alpha": "8",
        "classes": "12",
        "input_size": "48x64",
        "normalisation": "(1.0, 2.0, 3.0) (4.0, 5.0, 6.0) 255.0",
    }
    assert len(code) == 64


@pytest.mark.parametrize("name", list(BUILT))
def test_another_backend_version_precision_or_device_is_another_key(name):
    assert engine_key(SPEC, **{**BUILT, name: "other"})[name] == "other"


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"checkpoint": replace(CHECKPOINT, sha256="def")}, {"weights"}),
        ({"checkpoint": replace(CHECKPOINT, alpha=3)}, {"alpha"}),
        ({"checkpoint": replace(CHECKPOINT, network="espnet_c")}, {"network"}),
        ({"checkpoint": replace(CHECKPOINT, divisor=1.0)}, {"normalisation"}),
        ({"checkpoint": replace(CHECKPOINT, mean_bgr=(0.0, 2.0, 3.0))}, {"normalisation"}),
        ({"class_table": load_class_table("cityscapes")}, {"classes"}),
        ({"input_size": ImageSize(64, 48)}, {"input_size"}),
        # what an engine does not depend on
        ({"checkpoint": replace(CHECKPOINT, name="yours", family="street", url="x")}, set()),
        ({"class_table": replace(SPEC.class_table, name="streets")}, set()),
        ({"threads": 3, "cache": "/elsewhere", "backend": "auto", "precision": "auto"}, set()),
    ],
)
def test_the_key_changes_with_the_spec_where_the_engine_does(changes, names):
    before, after = engine_key(SPEC, **BUILT), engine_key(replace(SPEC, **changes), **BUILT)
    assert {name for name in before if before[name] != after[name]} == names


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with the sources that the key looks at, and some that it does not."""
    for name in (
        "model/espnet.py",
        "model/registry.yaml",
        "engines/onnx_export.py",
        "calibration.py",
        "engines/openvino_engine.py",
        "engines/cache.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.setattr(cache_key, "PACKAGE", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "backends"),
    [
        ("model/espnet.py", {"openvino", "tensorrt", "onnxruntime"}),
        ("engines/onnx_export.py", {"openvino", "tensorrt", "onnxruntime"}),
        ("calibration.py", {"openvino", "tensorrt", "onnxruntime"}),
        ("engines/openvino_engine.py", {"openvino"}),
        ("engines/cache.py", set()),
        ("model/registry.yaml", set()),
    ],
)
def test_changed_code_is_another_key_for_the_backends_that_it_builds(package, source, backends):
    def codes():
        names = ("openvino", "tensorrt", "onnxruntime")
        return {name: engine_key(SPEC, **{**BUILT, "backend": name})["code"] for name in names}

    before = codes()
    (package / source).write_text("other")
    after = codes()
    assert {name for name in before if before[name] != after[name]} == backends


REPOSITORY = Path(__file__).resolve().parents[2]
NOT_IN_THE_CONTENT = re.compile(
    r"(config|errors|resources|types|classes|yaml_files|stopping|bound_process"
    r"|engines/(__init__|base|cache\w*|child|conversion_child|fake|selection|torch_engine)"
    r"|model/download|synthetic/(recording|ground_truth)|tiling|telemetry)\b.*"
)
"""Modules that define parameters, errors, values and the process that builds, but compute nothing in an engine; and
the engine torch, which TensorRT's is compared with: its labels are those of the graph."""


def _imported_modules(name):
    """Modules of the package that a module imports, anywhere in it, as paths."""
    for node in ast.walk(ast.parse((REPOSITORY / "espnet_ros" / name).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("espnet_ros"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for dotted in names:
                path = dotted.replace(".", "/").partition("/")[2]
                for candidate in (f"{path}.py", f"{path}/__init__.py"):
                    if path and (REPOSITORY / "espnet_ros" / candidate).is_file():
                        yield candidate


def _needed_modules(*start):
    found, waiting = set(), list(start)
    while waiting:
        name = waiting.pop()
        if name not in found and not NOT_IN_THE_CONTENT.fullmatch(name):
            found.add(name)
            waiting += _imported_modules(name)
    return sorted(found)


@pytest.mark.parametrize(
    ("backend", "start"),
    [
        ("native", ["engines/native/export.py", "calibration.py"]),
        ("openvino", ["engines/openvino_export.py", "calibration.py"]),
        ("tensorrt", ["engines/tensorrt/conversion.py", "engines/tensorrt/build.py", "calibration.py"]),
        ("onnxruntime", ["engines/onnx_export.py"]),
    ],
)
def test_each_module_that_computes_an_engine_is_in_its_key(monkeypatch, tmp_path, backend, start):
    package = tmp_path / "espnet_ros"
    shutil.copytree(REPOSITORY / "espnet_ros", package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache_key, "PACKAGE", package)
    recorded = calibration_images(str(tmp_path))

    def key():
        code = engine_key(SPEC, **{**BUILT, "backend": backend})["code"]
        return code, calibration_images("").description, recorded.description

    before, needed = key(), _needed_modules(*start)
    assert len(needed) > 5
    missing = []
    for name in needed:
        text = (package / name).read_text()
        (package / name).write_text(text + "# changed")
        if key() == before:
            missing.append(name)
        (package / name).write_text(text)
    assert key() == before
    assert missing == []


def test_a_redrawn_street_is_other_calibration_images(monkeypatch, package):
    for name in ("synthetic/textures.py", "costmap/camera.py", "evaluation/images.py"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(name)
    street, recorded = calibration_images(""), calibration_images(str(package / "evaluation"))
    before = street.description, recorded.description
    (package / "synthetic/textures.py").write_text("other")
    assert (street.description == before[0], recorded.description == before[1]) == (False, True)
    redrawn = street.description
    (package / "costmap/camera.py").write_text("other")
    assert street.description != redrawn


def test_an_x86_cpu_is_its_name_and_vector_flags():
    facts = "processor : 0\nmodel name : AMD EPYC\nflags : fpu sse2 avx2 avx f16c fma rdpid avx512_bf16\n\n"
    assert describe_cpu(facts * 2, "", "x86_64") == "AMD EPYC; avx avx2 avx512_bf16 f16c fma sse2"


def test_an_arm_board_is_its_name_and_what_all_its_cores_can_do():
    expected = "NVIDIA Jetson TX2; asimd"
    assert describe_cpu(TX2, "NVIDIA Jetson TX2\0", "aarch64") == expected
    only_cores_of_one_kind = TX2.split("\n\n")[0].replace("fp asimd", "asimd fp")
    assert describe_cpu(only_cores_of_one_kind, "NVIDIA Jetson TX2\0", "aarch64") == expected


def test_a_cpu_without_a_name_is_its_architecture():
    assert describe_cpu("processor : 0\nFeatures : asimd sve fp\n", "", "aarch64") == "aarch64; asimd sve"
    assert describe_cpu("", "", "riscv64") == "riscv64"


def test_this_cpu_has_a_description_that_stays():
    assert cpu_device()
    assert cpu_device() == cpu_device()
