"""From parameters to an engine's spec, and to a segmenter that is ready to use."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple, Union

from espnet_ros.calibration import calibration_images, check_calibration
from espnet_ros.classes import load_class_table
from espnet_ros.config import SIZE_MULTIPLE, NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.engines.base import EngineSpec
from espnet_ros.model.checkpoint import Checkpoint, list_registry, locate_checkpoint, select_checkpoint
from espnet_ros.segmenter import Segmenter
from espnet_ros.types import ImageSize


def load_segmenter(
    alpha: int = 8,
    weights: Union[str, Path] = "street",
    backend: str = "auto",
    *,
    network: str = "espnet",
    precision: str = "auto",
    input_height: int = 0,
    input_width: int = 0,
    classes: Union[str, Path] = "auto",
    threads: int = 0,
    min_confidence: float = 0.0,
    calibration: Union[str, Path] = "",
    engine_cache: Union[str, Path] = "",
    weights_dir: Union[str, Path] = "",
    show_progress: bool = False,
) -> Segmenter:
    """Load a network and return the segmenter that runs it.

    The parameters are those of the ROS node. The first call with new parameters builds an engine, which takes seconds
    to minutes. Later calls load it from the engine cache.

    Args:
        alpha: number of ESP blocks at the network's third level: 3, 5 or 8. More is more accurate and slower.
        weights: a family of ``list_weights`` (``street`` is shipped, others are downloaded), a single checkpoint's
            name, or the path of a .pth or .safetensors file.
        backend: ``auto`` (the fastest that works on this machine), ``tensorrt``, ``native``, ``openvino``,
            ``onnxruntime``, ``torch`` or ``fake``.
        network: ``espnet`` (full decoder) or ``espnet_c`` (encoder only, upsampled by 8).
        precision: ``auto``, ``fp32``, ``fp16``, ``bf16`` or ``int8``. Each backend offers a subset.
        input_height: height that images are resized to for the network, a multiple of 8. 0 uses the height that the
            weights were trained at, or keeps that shape if ``input_width`` is set.
        input_width: width, see ``input_height``.
        classes: class table: ``auto`` (the one that the weights were trained for), ``cityscapes``, ``camvid``, or the
            path of a YAML file.
        threads: number of CPU threads; 0 uses all cores.
        min_confidence: pixels with a lower confidence, 0 to 1, are labelled ``UNLABELLED``. 0 labels every pixel.
        calibration: folder of images, or bag, that engines are calibrated with; "" uses the synthetic street.
        engine_cache: folder of built engines; "" uses ``~/.cache/espnet_ros/engines``.
        weights_dir: folder that is searched first for published weights; "" uses ``$ESPNET_WEIGHTS_DIR``.
        show_progress: draw a progress bar on stderr during a download.

    Raises:
        ParameterError: a parameter breaks its rule.
        WeightsError: the weights are unknown, unreadable, do not fit the network, or cannot be downloaded.
        ClassTableError: the class table is unknown or malformed, or does not fit the weights.
        DatasetError: the calibration images cannot be read.
        EngineError: no backend can run the network on this machine; the message has each backend's reason.
    """
    config = NodeConfig(
        alpha=alpha,
        weights=str(weights),
        backend=backend,
        network=network,
        precision=precision,
        input_height=input_height,
        input_width=input_width,
        classes=str(classes),
        threads=threads,
        min_confidence=float(min_confidence),
        calibration=str(calibration),
        engine_cache=str(engine_cache),
        weights_dir=str(weights_dir),
    )
    return build_segmenter(config, show_progress)


def build_segmenter(config: NodeConfig, show_progress: bool = False) -> Segmenter:
    """Return a segmenter for a configuration; ``load_segmenter`` for callers that have a ``NodeConfig``.

    Args:
        config: the node's parameters.
        show_progress: draw a progress bar on stderr during a download.

    Raises:
        EspnetError: as in ``load_segmenter``, except ``ParameterError``.
    """
    return Segmenter(build_engine(resolve_spec(config, show_progress)), config.min_confidence)


def list_weights() -> Tuple[Checkpoint, ...]:
    """Return the checkpoints that ``load_segmenter`` knows by name: the shipped ones first, then the published ones.

    A checkpoint whose ``path`` is None is searched for on this machine when it is loaded, and downloaded if it is not
    there.
    """
    return list_registry()


def resolve_spec(config: NodeConfig, show_progress: bool = False, *, download_missing: bool = True) -> EngineSpec:
    """Find the weights, the class table and the input size of a configuration. Builds nothing.

    Published weights that are not on this machine are downloaded, except for the backend ``fake``, which reads none.

    Args:
        config: the node's parameters.
        show_progress: draw a progress bar on stderr during a download.
        download_missing: download weights that are not on this machine. Without them, no engine can be built from the
            spec.

    Raises:
        WeightsError: the weights are unknown or unreadable, or cannot be downloaded.
        ClassTableError: the class table is unknown or malformed, or does not fit the weights.
        DatasetError: there are no calibration images.
    """
    check_calibration(config.calibration)
    checkpoint = select_checkpoint(config.weights, config.network, config.alpha)
    own_table = checkpoint.load_class_table()
    table = own_table if config.classes == "auto" else load_class_table(config.classes)
    table.require_size(len(own_table), f"checkpoint '{checkpoint.name}'")
    if config.backend != "fake":
        checkpoint = locate_checkpoint(checkpoint, config.weights_dir, show_progress, download_missing=download_missing)
    return EngineSpec(
        checkpoint=checkpoint,
        class_table=table,
        input_size=input_size(config.input_height, config.input_width, checkpoint.input_size),
        backend=config.backend,
        precision=config.precision,
        threads=config.threads,
        cache=config.engine_cache,
        calibration=calibration_images(config.calibration),
        workspace=config.tensorrt_workspace,
        log_level=config.tensorrt_log_level,
    )


def input_size(height: int, width: int, trained: ImageSize) -> ImageSize:
    """Return the network's input size.

    Args:
        height: requested height; 0 for none.
        width: requested width; 0 for none. If only one side is set, the other keeps the shape of ``trained``, because
            ``ros2 param set`` changes one parameter at a time.
        trained: size that the weights were trained at.
    """
    if height and not width:
        width = _nearest_multiple(height * trained.width / trained.height)
    elif width and not height:
        height = _nearest_multiple(width * trained.height / trained.width)
    return ImageSize(height, width) if height else trained


def _nearest_multiple(pixels: float) -> int:
    return max(1, round(pixels / SIZE_MULTIPLE)) * SIZE_MULTIPLE
