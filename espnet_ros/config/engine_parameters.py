"""Parameters of the engine: which network runs, on what, and which others are kept ready."""

from __future__ import annotations

from dataclasses import dataclass

from espnet_ros.config.rules import SIZE_MULTIPLE, parameter


@dataclass(frozen=True)
class EngineParameters:
    """Which network runs, on what, and which others are kept ready."""

    network: str = parameter(
        "espnet",
        "Network: espnet (full decoder) or espnet_c (encoder alone, upsampled by 8).",
        choices=("espnet", "espnet_c"),
        live=True,
    )
    alpha: int = parameter(
        8,
        "ESP blocks at the network's third level (the paper's alpha_3): more is more accurate and slower.",
        choices=(3, 5, 8),
        live=True,
    )
    weights: str = parameter(
        "street",
        "A family of the registry (street, which is shipped, cityscapes, camvid: network and alpha choose the "
        "checkpoint), one checkpoint's name, or a path to a .pth or .safetensors file.",
        live=True,
    )
    classes: str = parameter(
        "auto",
        "Class table: auto (the one the weights were trained for), cityscapes, camvid, or a path to a YAML file.",
        live=True,
    )
    backend: str = parameter(
        "auto",
        "Inference engine: auto (the fastest that works here), tensorrt, native (machine code of our own), openvino, "
        "onnxruntime, torch, or fake (bands, for tests).",
        choices=("auto", "tensorrt", "native", "openvino", "onnxruntime", "torch", "fake"),
        live=True,
    )
    precision: str = parameter(
        "auto",
        "Arithmetic of the engine: fp32, fp16 (GPUs), bf16 (CPUs that have it), int8 (on CPUs the heaviest layers, on "
        "GPUs all), or auto (the fastest that keeps 99 % of the labels).",
        choices=("auto", "fp32", "fp16", "bf16", "int8"),
        live=True,
    )
    calibration: str = parameter(
        "",
        "Folder of images, or bag, that precision int8 takes its ranges from; empty: the synthetic street.",
        live=True,
    )
    tensorrt_workspace: int = parameter(
        1024, "Memory that TensorRT may use while it builds.", unit="MiB", minimum=16, maximum=65536, live=True
    )
    tensorrt_log_level: str = parameter(
        "warning",
        "What TensorRT may say while it builds.",
        choices=("error", "warning", "info", "verbose"),
        live=True,
    )
    input_height: int = parameter(
        0,
        "Height the network sees; 0: the one the weights were trained at, or what keeps its shape at input_width.",
        unit="pixel",
        minimum=0,
        maximum=8192,
        multiple_of=SIZE_MULTIPLE,
        live=True,
    )
    input_width: int = parameter(
        0,
        "Width the network sees; 0: the one the weights were trained at, or what keeps its shape at input_height.",
        unit="pixel",
        minimum=0,
        maximum=8192,
        multiple_of=SIZE_MULTIPLE,
        live=True,
    )
    threads: int = parameter(0, "CPU threads of the engine; 0: all cores.", minimum=0, maximum=256, live=True)
    keep_alphas_ready: bool = parameter(
        False,
        "Keep the engines of the other alphas ready, so that a change of alpha is immediate; they are built in the "
        "background.",
        live=True,
    )
    ready_min_memory: int = parameter(
        1024,
        "Available system memory below which no engine is kept ready; the newest used go last.",
        unit="MiB",
        minimum=0,
        maximum=1048576,
        live=True,
    )
