"""Fixtures that provide ``tensorrt``, ``torch2trt`` and CUDA: the real ones if they and a GPU exist, else stand-ins.

The stand-ins are added to the module search path, which the build process inherits, and removed after each test, so
that other tests do not find a ``tensorrt`` module.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator

import cv2
import pytest
from tensorrt_border import IS_REAL, STANDIN, XAVIER, Border, forget_modules

from espnet_ros.calibration import calibration_images
from espnet_ros.engines import EngineSpec


@pytest.fixture(scope="session")
def cuda_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like CUDA's, with a stand-in for the runtime library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc or gcc) for the stand-in of the CUDA runtime")
    library = tmp_path_factory.mktemp("cuda") / "lib64" / "libcudart.so"
    library.parent.mkdir()
    source = str(STANDIN / "cudart.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), source], check=True)
    return library.parents[1]


@pytest.fixture
def border(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Border]:
    """Controls the stand-ins; its settings have no effect on the real modules."""
    if IS_REAL:
        yield Border(monkeypatch)
        return
    forget_modules()
    monkeypatch.setenv("CUDA_HOME", str(request.getfixturevalue("cuda_home")))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the networks are too small for more
    monkeypatch.syspath_prepend(str(STANDIN))
    standin = Border(monkeypatch)
    standin.gpu(XAVIER)
    standin.version("8.2.1.8")
    yield standin
    forget_modules()


@pytest.fixture(scope="session")
def street_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve images of the synthetic street, 184x240."""
    from espnet_ros.synthetic import SyntheticStreet, default_camera
    from espnet_ros.types import ImageSize

    folder = tmp_path_factory.mktemp("street")
    for frame in SyntheticStreet(3, 12, rate=1.0, camera=default_camera(ImageSize(184, 240))):
        cv2.imwrite(str(folder / f"{frame.name}.png"), frame.image)
    return folder


@pytest.fixture
def spec(untrained_checkpoint: Any, street_images: Path, engine_cache: str) -> EngineSpec:
    """An untrained ESPNet for 48x64, in the cache shared by all tests."""
    return EngineSpec(
        checkpoint=untrained_checkpoint,
        class_table=untrained_checkpoint.load_class_table(),
        input_size=untrained_checkpoint.input_size,
        backend="tensorrt",
        precision="fp16",
        cache=engine_cache,
        calibration=calibration_images(str(street_images)),
    )


@pytest.fixture
def fresh(spec: EngineSpec, tmp_path: Path) -> EngineSpec:
    """The same, with an empty cache."""
    return replace(spec, cache=str(tmp_path / "engines"))


@pytest.fixture
def build_here(border: Border, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Builds in this process, which has torch loaded already, with ``faults`` in the stand-ins."""

    def build_in_process(spec: EngineSpec, *faults: str) -> Path:
        border.faults("torch_without_cuda", *faults)  # keep the stand-in from patching torch for good
        if not IS_REAL:
            importlib.import_module("torch2trt")
            _pretend_cpu_is_cuda(monkeypatch)
        from espnet_ros.engines.tensorrt.build import build
        from espnet_ros.engines.tensorrt.build_process import BuildRequest
        from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
        from espnet_ros.engines.tensorrt.device import find_gpu

        build(BuildRequest(spec, spec.precision, find_gpu(CudaRuntime()), tmp_path))
        return tmp_path

    return build_in_process


def _pretend_cpu_is_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda module: module)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
