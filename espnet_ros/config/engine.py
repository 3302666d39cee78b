"""Parameters of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

from espnet_ros.config.declaration import SIZE_MULTIPLE, Section, parameter

ALPHAS: Tuple[int, ...] = (3, 5, 8)
"""Every value of alpha, ascending."""


def _engine_parameter(default: Any, description: str, **rule: Any) -> Any:
    return parameter(default, description, live=True, changes_engine=True, **rule)


def _input_side(side: str, other: str) -> Any:
    return _engine_parameter(
        0,
        f"{side.capitalize()} of the network's input, or 0 for the {side} the weights were trained at. If only "
        f"input_{other} is set, the {side} keeps the trained aspect ratio. Labels always have the camera image's size.",
        unit="pixel",
        minimum=0,
        maximum=8192,
        multiple_of=SIZE_MULTIPLE,
        option="engine",
        in_profile=True,
        is_basic=True,
    )


@dataclass(frozen=True)
class EngineParameters:
    """The network, the backend that runs it, and which engines are kept ready."""

    weights: str = _engine_parameter(
        "street",
        "Family, name or path of the weights. From a family (street, which is shipped with the package, cityscapes or "
        "camvid), network and alpha select the checkpoint. A name, such as espnet_alpha3_cityscapes, or the path of a "
        ".pth or .safetensors file is a single checkpoint; it sets network and alpha.",
        option="engine",
        is_launch_argument=True,
        is_basic=True,
    )
    classes: str = _engine_parameter(
        "auto",
        "Class table: auto (the one the weights were trained with), cityscapes, camvid, or the path of a YAML file.",
        option="engine",
    )
    network: str = _engine_parameter(
        "espnet",
        "Network architecture: espnet (with decoder) or espnet_c (encoder only, upsampled by 8; faster and coarser).",
        choices=("espnet", "espnet_c"),
        option="engine",
    )
    alpha: int = _engine_parameter(
        8,
        "Number of ESP blocks at the network's third level; more is more accurate and slower. The paper calls it "
        "alpha_3.",
        choices=ALPHAS,
        option="engine",
        is_launch_argument=True,
        in_profile=True,
        is_basic=True,
    )
    backend: str = _engine_parameter(
        "auto",
        "Inference backend: auto (the fastest that works on this machine), tensorrt, native (machine code that this "
        "package generates), openvino, onnxruntime, torch, or fake (bands of brightness, for tests).",
        choices=("auto", "tensorrt", "native", "openvino", "onnxruntime", "torch", "fake"),
        option="engine",
        is_launch_argument=True,
        is_basic=True,
    )
    precision: str = _engine_parameter(
        "auto",
        "Arithmetic of the engine: auto (the fastest that keeps 99 % of the labels), fp32, fp16 (GPUs), bf16 (CPUs "
        "that support it), or int8 (all layers on GPUs, the heaviest layers on CPUs).",
        choices=("auto", "fp32", "fp16", "bf16", "int8"),
        option="engine",
        in_profile=True,
    )
    input_height: int = _input_side("height", "width")
    input_width: int = _input_side("width", "height")
    threads: int = _engine_parameter(
        0,
        "Number of CPU threads for inference. 0 uses all cores.",
        minimum=0,
        maximum=256,
        option="engine",
        in_profile=True,
    )
    calibration: str = _engine_parameter(
        "", "Folder of images, or bag, to calibrate int8 with. Empty uses the synthetic street.", option="build"
    )
    tensorrt_workspace: int = _engine_parameter(
        1024,
        "Memory that TensorRT may use while it builds an engine.",
        unit="MiB",
        minimum=16,
        maximum=65536,
        option="build",
    )
    tensorrt_log_level: str = _engine_parameter(
        "warning",
        "Lowest severity of TensorRT's messages that are logged.",
        choices=("error", "warning", "info", "verbose"),
        option="build",
    )
    engine_cache: str = parameter(
        "", "Folder for built engines. Empty uses espnet_ros/engines in the user's cache folder."
    )
    weights_dir: str = parameter(
        "",
        "Folder to search first for the weights of the registry. Empty searches $ESPNET_WEIGHTS_DIR, then the "
        "download cache.",
        option="build",
    )
    keep_alphas_ready: bool = parameter(
        False,
        "Build the engines for the other values of alpha in the background and keep them in memory, so that changing "
        "alpha takes effect immediately.",
        live=True,
        option="build",
    )
    ready_min_memory: int = parameter(
        1024,
        "Keep no engine ready while less system memory than this is available. Least recently used engines are freed "
        "first.",
        unit="MiB",
        minimum=0,
        maximum=1048576,
        live=True,
    )


SECTION = Section(
    "Engine",
    "The network and the backend that runs it. When one of them changes, the node builds the new engine beside the "
    "running one and switches to it between two images.",
    EngineParameters,
    guide="docs/switching.md",
)
