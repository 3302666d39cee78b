"""Every parameter of the node: the one home of its default, rule, unit and description."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Dict, Mapping, Optional, Tuple

from espnet_ros.errors import ParameterError

SIZE_MULTIPLE = 8
"""The network halves its input three times, so its height and width are multiples of this."""
MAX_CELLS = 1_000_000
"""Cells of one layer of the costmap."""


@dataclass(frozen=True)
class Rule:
    """What a parameter means and which values it takes.

    Attributes:
        description: what it does, one sentence.
        unit: SI unit or "" where there is none.
        minimum, maximum: inclusive bounds of a number; None for none.
        choices: the only values it takes; empty for any.
        multiple_of: a whole number that divides it (0 always passes); 0 for none.
        live: it may change while the node is active.
    """

    description: str
    unit: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Tuple[Any, ...] = ()
    multiple_of: int = 0
    live: bool = False


def _parameter(default: Any, description: str, **rule: Any) -> Any:
    return field(default=default, metadata={"rule": Rule(description, **rule)})


def _mount(description: str, unit: str, default: float = 0.0) -> Any:
    bound = 10.0 if unit == "m" else math.pi
    return _parameter(default, description, unit=unit, minimum=-bound, maximum=bound)


@dataclass(frozen=True)
class NodeConfig:
    """The node's parameters, each checked against its rule.

    Raises:
        ParameterError: a value breaks its rule.
    """

    network: str = _parameter(
        "espnet",
        "Network: espnet (full decoder) or espnet_c (encoder alone, upsampled by 8).",
        choices=("espnet", "espnet_c"),
        live=True,
    )
    alpha: int = _parameter(
        8,
        "ESP blocks at the network's third level (the paper's alpha_3): more is more accurate and slower.",
        choices=(3, 5, 8),
        live=True,
    )
    weights: str = _parameter(
        "street",
        "A family of the registry (street, which is shipped, cityscapes, camvid: network and alpha choose the "
        "checkpoint), one checkpoint's name, or a path to a .pth or .safetensors file.",
        live=True,
    )
    classes: str = _parameter(
        "auto",
        "Class table: auto (the one the weights were trained for), cityscapes, camvid, or a path to a YAML file.",
        live=True,
    )
    backend: str = _parameter(
        "auto",
        "Inference engine: auto (the fastest that works here), tensorrt, native (machine code of our own), openvino, "
        "onnxruntime, torch, or fake (bands, for tests).",
        choices=("auto", "tensorrt", "native", "openvino", "onnxruntime", "torch", "fake"),
        live=True,
    )
    precision: str = _parameter(
        "auto",
        "Arithmetic of the engine: fp32, fp16 (GPUs), bf16 (CPUs that have it), int8 (on CPUs the heaviest layers, on "
        "GPUs all), or auto (the fastest that keeps 99 % of the labels).",
        choices=("auto", "fp32", "fp16", "bf16", "int8"),
        live=True,
    )
    calibration: str = _parameter(
        "",
        "Folder of images, or bag, that precision int8 takes its ranges from; empty: the synthetic street.",
        live=True,
    )
    tensorrt_workspace: int = _parameter(
        1024, "Memory that TensorRT may use while it builds.", unit="MiB", minimum=16, maximum=65536, live=True
    )
    tensorrt_log_level: str = _parameter(
        "warning",
        "What TensorRT may say while it builds.",
        choices=("error", "warning", "info", "verbose"),
        live=True,
    )
    input_height: int = _parameter(
        0,
        "Height the network sees; 0: the one the weights were trained at, or what keeps its shape at input_width.",
        unit="pixel",
        minimum=0,
        maximum=8192,
        multiple_of=SIZE_MULTIPLE,
        live=True,
    )
    input_width: int = _parameter(
        0,
        "Width the network sees; 0: the one the weights were trained at, or what keeps its shape at input_height.",
        unit="pixel",
        minimum=0,
        maximum=8192,
        multiple_of=SIZE_MULTIPLE,
        live=True,
    )
    threads: int = _parameter(0, "CPU threads of the engine; 0: all cores.", minimum=0, maximum=256, live=True)
    keep_alphas_ready: bool = _parameter(
        False,
        "Keep the engines of the other alphas ready, so that a change of alpha is immediate; they are built in the "
        "background.",
        live=True,
    )
    ready_min_memory: int = _parameter(
        1024,
        "Available system memory below which no engine is kept ready; the newest used go last.",
        unit="MiB",
        minimum=0,
        maximum=1048576,
        live=True,
    )
    max_rate: float = _parameter(
        0.0, "Images answered a second at most; 0: as many as the engine can.", unit="Hz", minimum=0.0, maximum=1000.0,
        live=True,
    )  # fmt: skip
    min_confidence: float = _parameter(
        0.0,
        "Pixels less certain than this are labelled 255; 0 labels every pixel.",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    overlay_opacity: float = _parameter(
        0.5, "How much the class colours cover the image in ~/overlay.", minimum=0.0, maximum=1.0, live=True
    )
    image_transport: str = _parameter(
        "raw",
        "What to subscribe to: raw (sensor_msgs/Image on image) or compressed (CompressedImage on image/compressed).",
        choices=("raw", "compressed"),
    )
    autostart: bool = _parameter(False, "Configure and activate by itself, without a lifecycle manager.")
    engine_cache: str = _parameter("", "Folder of built engines; empty: espnet_ros/engines in the user's cache folder.")
    weights_dir: str = _parameter(
        "", "Folder searched first for registry weights; empty: $ESPNET_WEIGHTS_DIR, then the download cache."
    )
    image_timeout: float = _parameter(
        2.0, "Without an image for this long the node warns on /diagnostics.", unit="s", minimum=0.1, maximum=3600.0,
        live=True,
    )  # fmt: skip
    diagnostics_period: float = _parameter(
        1.0, "Time between two messages on /diagnostics.", unit="s", minimum=0.1, maximum=60.0
    )

    costmap_frame: str = _parameter("odom", "Frame of the grids: continuous and axis-aligned, such as odom.")
    base_frame: str = _parameter("base_link", "Frame of the robot; its plane z = ground_height is the ground.")
    ground_height: float = _parameter(0.0, "Height of the ground in base_frame.", unit="m", minimum=-10.0, maximum=10.0)
    pose_source: str = _parameter(
        "auto",
        "Where the camera's pose comes from: tf, odom (topic odom and the camera_ parameters), or auto (tf where "
        "tf2_ros is installed).",
        choices=("auto", "tf", "odom"),
    )
    pose_tolerance: float = _parameter(
        0.1,
        "How long to wait for a transform, or how much older than the image odometry may be.",
        unit="s",
        minimum=0.0,
        maximum=10.0,
    )
    camera_x: float = _mount("Camera forward of base_frame's origin, for pose_source odom.", "m")
    camera_y: float = _mount("Camera to the left of base_frame's origin, for pose_source odom.", "m")
    camera_z: float = _mount("Camera above base_frame's origin, for pose_source odom.", "m", 1.0)
    camera_roll: float = _mount("Camera's turn about its viewing direction, for pose_source odom.", "rad")
    camera_pitch: float = _mount("Camera's tilt, down is positive, for pose_source odom.", "rad")
    camera_yaw: float = _mount("Camera's turn to the left, for pose_source odom.", "rad")
    costmap_width: float = _parameter(
        20.0, "Extent of the grids along x.", unit="m", minimum=1.0, maximum=200.0, live=True
    )
    costmap_height: float = _parameter(
        20.0, "Extent of the grids along y.", unit="m", minimum=1.0, maximum=200.0, live=True
    )
    costmap_resolution: float = _parameter(0.1, "Side of a cell.", unit="m", minimum=0.01, maximum=2.0, live=True)
    costmap_min_range: float = _parameter(
        0.5, "Ground nearer to the camera's foot point than this is left out.", unit="m", minimum=0.0, maximum=50.0,
        live=True,
    )  # fmt: skip
    costmap_max_range: float = _parameter(
        12.0, "Ground further from the camera's foot point than this is left out.", unit="m", minimum=1.0,
        maximum=100.0, live=True,
    )  # fmt: skip
    costmap_min_confidence: float = _parameter(
        0.0, "Pixels less certain than this say nothing about the ground.", minimum=0.0, maximum=1.0, live=True
    )
    costmap_min_obstacle_height: float = _parameter(
        0.15, "What does not rise this high above the ground is no obstacle but noise.", unit="m", minimum=0.0,
        maximum=2.0, live=True,
    )  # fmt: skip
    costmap_hit: float = _parameter(
        1.2, "Log-odds that one image adds to a cell it speaks for.", minimum=0.1, maximum=10.0, live=True
    )
    costmap_miss: float = _parameter(
        0.7, "Log-odds that one image takes from a cell it speaks against.", minimum=0.0, maximum=10.0, live=True
    )
    costmap_decay: float = _parameter(
        10.0, "Time in which evidence fades to 37 %; 0: never.", unit="s", minimum=0.0, maximum=3600.0, live=True
    )
    costmap_timeout: float = _parameter(
        1.0, "Without an image that adds something for this long, cleared grids go out.", unit="s", minimum=0.1,
        maximum=60.0, live=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            check_value(name, value)
        if self.costmap_min_range >= self.costmap_max_range:
            raise ParameterError(
                f"costmap_min_range must be below costmap_max_range, {self.costmap_max_range} m, "
                f"is {self.costmap_min_range}"
            )
        cells = self.costmap_width * self.costmap_height / self.costmap_resolution**2
        if cells > MAX_CELLS:
            raise ParameterError(
                f"costmap_width x costmap_height / costmap_resolution^2 must be at most {MAX_CELLS} cells, "
                f"is {cells:.0f}"
            )

    def as_dict(self) -> Dict[str, Any]:
        """Parameter name to value, in the order of definition."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def changed(self, changes: Mapping[str, Any]) -> NodeConfig:
        """A copy with some values changed.

        Raises:
            ParameterError: a name is unknown or a value breaks its rule; the message says which.
        """
        for name in changes:
            rule_of(name)
        return replace(self, **changes)


def rule_of(name: str) -> Rule:
    """Rule of a parameter.

    Raises:
        ParameterError: there is no such parameter.
    """
    for entry in fields(NodeConfig):
        if entry.name == name:
            rule: Rule = entry.metadata["rule"]
            return rule
    raise ParameterError(f"there is no parameter '{name}'")


def default_of(name: str) -> Any:
    """Default value of a parameter; its type is the parameter's type."""
    rule_of(name)
    return next(entry.default for entry in fields(NodeConfig) if entry.name == name)


def check_value(name: str, value: Any) -> None:
    """Check one value against its parameter's type and rule.

    Raises:
        ParameterError: the message names the parameter, the rule and the value.
    """
    rule = rule_of(name)
    expected = type(default_of(name))
    if type(value) is not expected:
        raise ParameterError(f"{name} must be of type {expected.__name__}, is {value!r} ({type(value).__name__})")
    unit = f" {rule.unit}" if rule.unit else ""
    if rule.choices and value not in rule.choices:
        raise ParameterError(f"{name} must be one of {', '.join(map(str, rule.choices))}, is {value!r}")
    if expected is float and not math.isfinite(value):
        raise ParameterError(f"{name} must be a finite number, is {value!r}")
    if rule.minimum is not None and value < rule.minimum:
        raise ParameterError(f"{name} must be at least {rule.minimum}{unit}, is {value!r}")
    if rule.maximum is not None and value > rule.maximum:
        raise ParameterError(f"{name} must be at most {rule.maximum}{unit}, is {value!r}")
    if rule.multiple_of and value % rule.multiple_of:
        raise ParameterError(f"{name} must be a multiple of {rule.multiple_of}{unit}, is {value!r}")
