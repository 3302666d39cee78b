"""From parameters to what an engine is built from: the one step that the node and the command line share."""

from __future__ import annotations

from espnet_ros.classes import load_class_table
from espnet_ros.config import SIZE_MULTIPLE, NodeConfig
from espnet_ros.engines.base import EngineSpec
from espnet_ros.model.checkpoint import locate_checkpoint, select_checkpoint
from espnet_ros.types import ImageSize


def resolve_spec(config: NodeConfig, show_progress: bool = False) -> EngineSpec:
    """Find the weights, the class table and the input size that ``config`` asks for. Builds nothing.

    Registry weights that are not on this machine are downloaded, except for the backend ``fake``, which reads none.

    Args:
        config: the node's parameters.
        show_progress: draw a bar on stderr while weights are downloaded.

    Raises:
        WeightsError: the weights are unknown, cannot be read, or cannot be downloaded.
        ClassTableError: there is no such class table, it is malformed, or it does not fit the weights.
    """
    checkpoint = select_checkpoint(config.weights, config.network, config.alpha)
    own_table = checkpoint.load_class_table()
    table = own_table if config.classes == "auto" else load_class_table(config.classes)
    table.require_size(len(own_table), f"checkpoint '{checkpoint.name}'")
    if config.backend != "fake":
        checkpoint = locate_checkpoint(checkpoint, config.weights_dir, show_progress)
    return EngineSpec(
        checkpoint=checkpoint,
        class_table=table,
        input_size=input_size(config.input_height, config.input_width, checkpoint.input_size),
        backend=config.backend,
        precision=config.precision,
        threads=config.threads,
        cache=config.engine_cache,
        calibration=config.calibration,
        workspace=config.tensorrt_workspace,
        log_level=config.tensorrt_log_level,
    )


def input_size(height: int, width: int, trained: ImageSize) -> ImageSize:
    """Size the network sees. A side that is 0 follows from the other, in the shape of ``trained``.

    One side may be set alone, because a command line sets one parameter at a time.
    """
    if height and not width:
        width = _nearest_multiple(height * trained.width / trained.height)
    elif width and not height:
        height = _nearest_multiple(width * trained.height / trained.width)
    return ImageSize(height, width) if height else trained


def _nearest_multiple(pixels: float) -> int:
    return max(1, round(pixels / SIZE_MULTIPLE)) * SIZE_MULTIPLE
