"""The keys of a training config, each with default, rule and description."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from espnet_ros.config import SIZE_MULTIPLE, Rule, rule_of
from espnet_ros.types import ImageSize


def _rule(description: str, **rule: Any) -> Dict[str, Rule]:
    return {"rule": Rule(description, **rule)}


def _key(default: Any, description: str, **rule: Any) -> Any:
    return field(default=default, metadata=_rule(description, **rule))


_SIDES: Dict[str, Any] = {"minimum": 16, "maximum": 8192, "multiple_of": SIZE_MULTIPLE}
"""Rule for the height and width of a network's input."""


@dataclass(frozen=True)
class SyntheticSource:
    """Drives through procedural streets, one per seed."""

    first_seed: int = field(metadata=_rule("Seed of the first street.", minimum=0))
    seeds: int = _key(1, "Number of streets, with consecutive seeds.", minimum=1, maximum=100_000)
    frames: int = _key(10, "Frames of each street.", minimum=1, maximum=2000)
    spacing: float = _key(5.0, "Distance between frames.", unit="m", minimum=0.1, maximum=50.0)
    camera_height: Tuple[float, float] = _key(
        (1.4, 1.4), "Range of the camera height, drawn once per street.", unit="m", minimum=0.2, maximum=5.0
    )
    camera_pitch: Tuple[float, float] = _key(
        (0.0, 0.0),
        "Range of the camera pitch, drawn once per street; positive looks down.",
        unit="rad",
        minimum=-0.5,
        maximum=0.5,
    )


@dataclass(frozen=True)
class Augmentation:
    """Random changes of each training image. Ranges are (least, most); 0 disables a change."""

    scale: Tuple[float, float] = _key((1.0, 1.0), "Zoom factor, log-uniform.", minimum=0.1, maximum=10.0)
    aspect: float = _key(0.0, "Maximum relative change of the width.", minimum=0.0, maximum=0.9)
    rotation: float = _key(0.0, "Maximum rotation in either direction.", unit="rad", minimum=0.0, maximum=1.6)
    flip: float = _key(0.5, "Probability of a left-right flip.", minimum=0.0, maximum=1.0)
    brightness: float = _key(0.0, "Factor 1 - b .. 1 + b.", minimum=0.0, maximum=0.95)
    contrast: float = _key(0.0, "Factor 1 - c .. 1 + c, around the training mean.", minimum=0.0, maximum=0.95)
    saturation: float = _key(0.0, "Factor 1 - s .. 1 + s.", minimum=0.0, maximum=1.0)
    hue: float = _key(0.0, "Maximum hue rotation in either direction.", unit="rad", minimum=0.0, maximum=3.15)
    gray: float = _key(0.0, "Probability of removing all colour.", minimum=0.0, maximum=1.0)
    blur: float = _key(0.0, "Probability of a Gaussian blur.", minimum=0.0, maximum=1.0)
    blur_sigma: Tuple[float, float] = _key(
        (0.5, 1.5), "Standard deviation of the blur.", unit="pixel", minimum=0.1, maximum=2.0
    )
    noise: float = _key(
        0.0, "Maximum standard deviation of Gaussian noise, for pixel values 0..255.", minimum=0.0, maximum=100.0
    )


@dataclass(frozen=True)
class Source:
    """Labelled images: either a folder or synthetic streets."""

    name: str = _key("", "Name in reports. Empty uses the folder's name, or 'synthetic'.")
    folder: str = _key(
        "",
        "Folder with images/ and labels/ (same stems; one 8-bit class id per pixel, 255 unlabelled). Relative to the"
        " config file; $VARIABLES are expanded.",
    )
    synthetic: Optional[SyntheticSource] = field(default=None, metadata=_rule("Synthetic streets instead of a folder."))
    share: float = _key(
        0.0, "Share of each batch, relative to other sources. 0 uses the number of images.", minimum=0.0
    )
    augmentation: Optional[Augmentation] = field(
        default=None, metadata=_rule("Augmentation of its training images. None uses that of the run.")
    )


@dataclass(frozen=True)
class Sources:
    """Training and validation images."""

    train: Tuple[Source, ...] = field(metadata=_rule("Sources of training images."))
    validation: Tuple[Source, ...] = _key(
        (), "Sources to validate on. The mean IoU of the first one selects the best weights."
    )
    hold_out: Tuple[str, ...] = _key(
        (), "Prefixes of image names to exclude from training and to validate on, as 'hold_out'."
    )
    mean_bgr: Optional[Tuple[float, float, float]] = _key(
        None, "Mean pixel value 0..255, blue first. None uses that of the training images.", minimum=0.0, maximum=255.0
    )
    std_bgr: Optional[Tuple[float, float, float]] = _key(
        None, "Standard deviation of the pixels. None uses that of the training images.", minimum=1.0, maximum=255.0
    )
    cache: str = _key("", "Folder that caches rendered streets between runs. Empty disables the cache.")


@dataclass(frozen=True)
class Loss:
    """Cross entropy and additional losses."""

    class_weighting: str = _key(
        "enet",
        "none, enet (1 / log(1.02 + frequency)), or median (median frequency / frequency).",
        choices=("none", "enet", "median"),
    )
    weighting_power: float = _key(
        1.0, "Exponent of the class weights; values below 1 soften them.", minimum=0.0, maximum=1.0
    )
    ignored_weight: float = _key(
        0.0,
        "Weight of classes that the table ignores ('void'). 0 leaves their pixels out. The mean IoU counts other"
        " predictions on them as wrong, so a network that predicts 'void' scores higher.",
        minimum=0.0,
        maximum=10.0,
    )
    label_smoothing: float = _key(
        0.0, "Share of each target that is spread over all classes.", minimum=0.0, maximum=0.5
    )
    ohem_share: float = _key(
        1.0, "Share of the pixels, those with the highest loss, that counts.", minimum=0.01, maximum=1.0
    )
    lovasz_weight: float = _key(
        0.0, "Weight of the Lovász-softmax loss, added to cross entropy.", minimum=0.0, maximum=10.0
    )
    encoder_weight: float = _key(
        0.0, "Weight of cross entropy on the encoder's scores, at 1/8 resolution.", minimum=0.0, maximum=10.0
    )


@dataclass(frozen=True)
class Stage:
    """A stage of training with its own network and schedule."""

    network: str = _key("espnet", "espnet, or espnet_c (the encoder alone).", choices=("espnet", "espnet_c"))
    epochs: int = _key(0, "Length in epochs. 0 uses steps.", minimum=0, maximum=100_000)
    steps: int = _key(0, "Length in batches. 0 uses epochs.", minimum=0, maximum=100_000_000)
    batch_size: int = _key(16, "Images per step.", minimum=1, maximum=4096)
    crop: Optional[ImageSize] = field(
        default=None, metadata=_rule("Height and width of the training crops. None uses those of the run.", **_SIDES)
    )
    optimizer: str = _key(
        "adamw",
        "adamw, adam, sgd (momentum 0.9, Nesterov), or muon (for convolutions; AdamW for the rest).",
        choices=("adamw", "adam", "sgd", "muon"),
    )
    learning_rate: float = _key(2e-3, "Peak learning rate.", minimum=1e-8, maximum=10.0)
    warmup_steps: int = _key(0, "Steps of linear warm-up from 0.", minimum=0)
    schedule: str = _key(
        "cosine",
        "Decay of the learning rate: cosine, poly (power 0.9) or constant.",
        choices=("cosine", "poly", "constant"),
    )
    weight_decay: float = _key(
        1e-4, "Weight decay of convolutions; norms and PReLU have none.", minimum=0.0, maximum=1.0
    )


@dataclass(frozen=True)
class TrainingConfig:
    """A training run. The same config gives the same weights on the same machine."""

    name: str = field(metadata=_rule("Name of the run and its output folder."))
    classes: str = field(
        metadata=_rule("Class table: name of a shipped one, or path of a YAML file, relative to the config file.")
    )
    alpha: int = field(metadata=_rule("ESP blocks at the third level.", choices=rule_of("alpha").choices))
    input_size: ImageSize = field(
        metadata=_rule(
            "Height and width of the network's input. Images are resized to it.",
            **_SIDES,
        )
    )
    sources: Sources = field(metadata=_rule("Training and validation images."))
    stages: Tuple[Stage, ...] = field(
        metadata=_rule("Stages of training. Each starts from the previous one; the paper has espnet_c, then espnet.")
    )
    crop: Optional[ImageSize] = field(
        default=None, metadata=_rule("Height and width of the training crops. None uses input_size.", **_SIDES)
    )
    skip_channels: int = _key(
        16, "Channels of the first level that the decoder gets: 16, or 19 including the image.", choices=(16, 19)
    )
    seed: int = _key(0, "Seed of all random numbers.", minimum=0, maximum=2**31 - 1)
    init: str = _key("", "Weights to start from. Tensors of the same name and shape are copied.")
    loss: Loss = field(default=Loss(), metadata=_rule("Loss function."))
    augmentation: Augmentation = field(
        default=Augmentation(), metadata=_rule("Augmentation of sources without their own.")
    )
    ema_decay: float = _key(
        0.999,
        "Decay of the averaged weights, which are validated and saved. 0 disables averaging.",
        minimum=0.0,
        maximum=0.99999,
    )
    clip_norm: float = _key(0.0, "Maximum gradient norm. 0 disables clipping.", minimum=0.0)
    nonfinite: str = _key(
        "stop", "What to do on a non-finite loss or gradient: stop the run, or skip the step.", choices=("stop", "skip")
    )
    max_skipped: int = _key(10, "With skip: number of consecutive skipped steps that stops the run.", minimum=1)
    validate_every: int = _key(10, "Epochs between validations.", minimum=1)
    precision: str = _key(
        "auto",
        "auto (bf16 on a device that supports it, else fp32), fp32, bf16 or fp16.",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    memory_format: str = _key(
        "auto", "auto, contiguous or channels_last.", choices=("auto", "contiguous", "channels_last")
    )
    compile: bool = _key(False, "Use torch.compile: faster steps after minutes of compilation.")
    deterministic: bool = _key(True, "Use deterministic algorithms only, on a GPU.")
    threads: int = _key(0, "CPU threads of torch. 0 uses its default.", minimum=0, maximum=1024)

    @property
    def crop_size(self) -> ImageSize:
        """Height and width of the training crops."""
        return self.crop or self.input_size
