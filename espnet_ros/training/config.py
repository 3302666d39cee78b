"""What a training run is: every key of its config file with default, rule and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from espnet_ros.config import SIZE_MULTIPLE, Rule
from espnet_ros.types import ImageSize


def _rule(description: str, **rule: Any) -> Dict[str, Rule]:
    return {"rule": Rule(description, **rule)}


def _key(default: Any, description: str, **rule: Any) -> Any:
    return field(default=default, metadata=_rule(description, **rule))


_SIDES: Dict[str, Any] = {"minimum": 16, "maximum": 8192, "multiple_of": SIZE_MULTIPLE}
"""Rule for the height and width of what a network learns from."""


@dataclass(frozen=True)
class SyntheticSource:
    """Drives through procedural streets, one a seed."""

    first_seed: int = field(metadata=_rule("Seed of the first street.", minimum=0))
    seeds: int = _key(1, "Number of streets, with the seeds that follow.", minimum=1, maximum=100_000)
    frames: int = _key(10, "Frames of each street.", minimum=1, maximum=2000)
    spacing: float = _key(5.0, "Distance from frame to frame.", unit="m", minimum=0.1, maximum=50.0)
    camera_height: Tuple[float, float] = _key(
        (1.4, 1.4), "Each street has its own camera height in this range.", unit="m", minimum=0.2, maximum=5.0
    )
    camera_pitch: Tuple[float, float] = _key(
        (0.0, 0.0), "Likewise its pitch, positive looking down.", unit="rad", minimum=-0.5, maximum=0.5
    )


@dataclass(frozen=True)
class Augmentation:
    """Random changes of each training image; ranges are (least, most), zeros switch a change off."""

    scale: Tuple[float, float] = _key((1.0, 1.0), "Zoom, drawn evenly in its logarithm.", minimum=0.1, maximum=10.0)
    aspect: float = _key(0.0, "Width against height changes by up to this share.", minimum=0.0, maximum=0.9)
    rotation: float = _key(0.0, "Roll of up to this, either way.", unit="rad", minimum=0.0, maximum=1.6)
    flip: float = _key(0.5, "Probability of a left-right flip.", minimum=0.0, maximum=1.0)
    brightness: float = _key(0.0, "Factor 1 - b .. 1 + b.", minimum=0.0, maximum=0.95)
    contrast: float = _key(0.0, "Factor 1 - c .. 1 + c, around the training mean.", minimum=0.0, maximum=0.95)
    saturation: float = _key(0.0, "Factor 1 - s .. 1 + s.", minimum=0.0, maximum=1.0)
    hue: float = _key(0.0, "Turn of the hue, either way.", unit="rad", minimum=0.0, maximum=3.15)
    gray: float = _key(0.0, "Probability of losing all colour.", minimum=0.0, maximum=1.0)
    blur: float = _key(0.0, "Probability of a Gaussian blur.", minimum=0.0, maximum=1.0)
    blur_sigma: Tuple[float, float] = _key((0.5, 1.5), "Of the blur.", unit="pixel", minimum=0.1, maximum=2.0)
    noise: float = _key(0.0, "Highest standard deviation of Gaussian noise, of 255.", minimum=0.0, maximum=100.0)


@dataclass(frozen=True)
class Source:
    """Labelled images: a folder or synthetic streets, one of the two."""

    name: str = _key("", "What reports call it; empty: the folder's name, or 'synthetic'.")
    folder: str = _key(
        "",
        "Folder with images/ and labels/ (same stems; one 8-bit class id a pixel, 255 unlabelled). Relative to the"
        " config file; $VARIABLES are filled in.",
    )
    synthetic: Optional[SyntheticSource] = field(default=None, metadata=_rule("Streets to draw instead of a folder."))
    share: float = _key(0.0, "Part of each batch, relative to other sources; 0: by number of images.", minimum=0.0)
    augmentation: Optional[Augmentation] = field(
        default=None, metadata=_rule("Random changes of its images in training; none: the run's.")
    )


@dataclass(frozen=True)
class Sources:
    """What is learnt from and what is measured on."""

    train: Tuple[Source, ...] = field(metadata=_rule("Sources to learn from."))
    validation: Tuple[Source, ...] = _key((), "Sources to measure on; the first one's mean IoU chooses the best.")
    hold_out: Tuple[str, ...] = _key(
        (), "Training images whose names start so are not learnt from but reported, as 'hold_out'."
    )
    mean_bgr: Optional[Tuple[float, float, float]] = _key(
        None, "Mean of the pixels 0..255, blue first; none: of the training images.", minimum=0.0, maximum=255.0
    )
    std_bgr: Optional[Tuple[float, float, float]] = _key(
        None, "Their standard deviation; none: of the training images.", minimum=1.0, maximum=255.0
    )
    cache: str = _key("", "Folder that keeps drawn streets between runs; empty: they are drawn in each run.")


@dataclass(frozen=True)
class Loss:
    """Cross entropy, and what goes with it."""

    class_weighting: str = _key(
        "enet",
        "none, enet (1 / log(1.02 + frequency)), or median (median frequency / frequency).",
        choices=("none", "enet", "median"),
    )
    weighting_power: float = _key(1.0, "Class weights are raised to this: 0.5 softens them.", minimum=0.0, maximum=1.0)
    ignored_weight: float = _key(
        0.0,
        "Weight of classes that the table ignores ('void'); 0: their pixels are left out. The mean IoU counts what is"
        " predicted on them as wrong, so a network that can say 'void' scores higher.",
        minimum=0.0,
        maximum=10.0,
    )
    label_smoothing: float = _key(0.0, "Share of each target spread over all classes.", minimum=0.0, maximum=0.5)
    ohem_share: float = _key(
        1.0, "Only this share of the pixels, those of highest loss, counts.", minimum=0.01, maximum=1.0
    )
    lovasz_weight: float = _key(
        0.0, "Weight of the Lovász-softmax loss beside cross entropy.", minimum=0.0, maximum=10.0
    )
    encoder_weight: float = _key(
        0.0, "Weight of cross entropy on the encoder's scores, at an eighth of the size.", minimum=0.0, maximum=10.0
    )


@dataclass(frozen=True)
class Stage:
    """One pass of training with its own network and schedule."""

    network: str = _key("espnet", "espnet, or espnet_c: the encoder alone.", choices=("espnet", "espnet_c"))
    epochs: int = _key(0, "Length in epochs; 0: steps says it.", minimum=0, maximum=100_000)
    steps: int = _key(0, "Length in batches; 0: epochs says it.", minimum=0, maximum=100_000_000)
    batch_size: int = _key(16, "Images a step.", minimum=1, maximum=4096)
    crop: Optional[ImageSize] = field(
        default=None, metadata=_rule("Height and width of what is learnt from at once; none: the run's.", **_SIDES)
    )
    optimizer: str = _key(
        "adamw",
        "adamw, adam, sgd (momentum 0.9, Nesterov), or muon (for convolutions; AdamW for the rest).",
        choices=("adamw", "adam", "sgd", "muon"),
    )
    learning_rate: float = _key(2e-3, "Highest learning rate.", minimum=1e-8, maximum=10.0)
    warmup_steps: int = _key(0, "Steps over which the learning rate rises from 0.", minimum=0)
    schedule: str = _key(
        "cosine", "Its fall: cosine, poly (power 0.9) or constant.", choices=("cosine", "poly", "constant")
    )
    weight_decay: float = _key(1e-4, "Of convolutions; norms and PReLU have none.", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run. The same config on the same machine gives the same weights."""

    name: str = field(metadata=_rule("Name of the run, and of its output folder."))
    classes: str = field(
        metadata=_rule("Class table: a shipped one's name, or a YAML file's path relative to the config file.")
    )
    alpha: int = field(metadata=_rule("ESP blocks at the third level.", choices=(3, 5, 8)))
    input_size: ImageSize = field(
        metadata=_rule(
            "Height and width of the network's input; other images are resized.",
            **_SIDES,
        )
    )
    sources: Sources = field(metadata=_rule("Images."))
    stages: Tuple[Stage, ...] = field(
        metadata=_rule("Each starts from the one before; the paper has two, espnet_c and then espnet.")
    )
    crop: Optional[ImageSize] = field(
        default=None, metadata=_rule("Height and width of what is learnt from at once; none: input_size.", **_SIDES)
    )
    skip_channels: int = _key(
        16, "What of the first level meets the decoder: 16, or 19 with the image.", choices=(16, 19)
    )
    seed: int = _key(0, "Of everything random.", minimum=0, maximum=2**31 - 1)
    init: str = _key("", "Weights to start from; tensors of the same name and shape are taken.")
    loss: Loss = field(default=Loss(), metadata=_rule("What is made small."))
    augmentation: Augmentation = field(
        default=Augmentation(), metadata=_rule("Random changes of the images of sources that have none of their own.")
    )
    ema_decay: float = _key(
        0.999, "Of the averaged weights that are measured and kept; 0: no average.", minimum=0.0, maximum=0.99999
    )
    clip_norm: float = _key(0.0, "Longest gradient; 0: any.", minimum=0.0)
    nonfinite: str = _key("stop", "A step with NaN or infinity: stop, or skip it.", choices=("stop", "skip"))
    max_skipped: int = _key(10, "With skip: as many in a row stop the run.", minimum=1)
    validate_every: int = _key(10, "Epochs between validations.", minimum=1)
    precision: str = _key(
        "auto",
        "auto (bf16 on a GPU that has it, else fp32), fp32, bf16 or fp16.",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    memory_format: str = _key(
        "auto", "auto, contiguous or channels_last.", choices=("auto", "contiguous", "channels_last")
    )
    compile: bool = _key(False, "Whether torch.compile makes the network faster, after minutes of work.")
    deterministic: bool = _key(True, "Whether a GPU uses only repeatable algorithms.")
    threads: int = _key(0, "CPU threads of torch; 0: its own choice.", minimum=0, maximum=1024)

    @property
    def crop_size(self) -> ImageSize:
        """What is learnt from at once."""
        return self.crop or self.input_size
