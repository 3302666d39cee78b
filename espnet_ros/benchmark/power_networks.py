"""The networks of a power sweep: built, and their accuracy measured, before the board is touched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Sequence

from espnet_ros.benchmark.street import EvaluationFrames, is_street_table
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.errors import EngineError
from espnet_ros.evaluation.report import evaluate, resolved_config
from espnet_ros.loading import build_segmenter, resolve_spec
from espnet_ros.segmenter import Segmenter
from espnet_ros.types import ImageSize


@dataclass(frozen=True)
class SweepNetwork:
    """A network that runs in every mode.

    Attributes:
        config: to build it from, with its actual backend, precision and size.
        mean_iou: of its labels on ``EvaluationFrames``, 0..1; NaN if unknown.
    """

    config: NodeConfig
    mean_iou: float = math.nan

    @property
    def size(self) -> ImageSize:
        """Size of the network's input."""
        return ImageSize(self.config.input_height, self.config.input_width)

    def __str__(self) -> str:
        return f"alpha {self.config.alpha} at {self.size}, {self.config.backend} {self.config.precision}"

    def build(self) -> Segmenter:
        """Build the engine for the cores that are online now, and return its segmenter.

        Raises:
            EngineError: it cannot be built.
        """
        return build_segmenter(self.config)


@dataclass(frozen=True)
class PreparedNetworks:
    """Networks that can be measured, and the reasons why others cannot, by name."""

    networks: Sequence[SweepNetwork]
    left_out: Dict[str, str]


def prepare_networks(
    configs: Sequence[NodeConfig],
    num_frames: int,
    show: Callable[[Iterable[NodeConfig]], Iterable[NodeConfig]] = iter,
) -> PreparedNetworks:
    """Build each network, into the engine cache if its backend uses it, and measure its accuracy.

    Labels do not depend on the power mode, so this is done once. Networks that cannot be built are left out. If several
    configurations resolve to the same network, one is kept.

    Args:
        configs: to build; ``auto`` and sizes of 0 are replaced by the resolved values.
        num_frames: frames to measure the accuracy on; 0 for none.
        show: wraps the configurations, to show progress.

    Raises:
        WeightsError, ClassTableError: the weights are unavailable.
        EngineError: none of the networks can be built.
    """
    networks: List[SweepNetwork] = []
    left_out: Dict[str, str] = {}
    for config in show(configs):
        spec = resolve_spec(config, show_progress=True)
        try:
            segmenter = Segmenter(build_engine(spec))
        except EngineError as error:
            name = f"alpha {config.alpha} at {spec.input_size}, {config.backend} {config.precision}"
            left_out[name] = str(error)
            continue
        try:
            built = resolved_config(segmenter.engine)
            resolved = config.changed(
                {key: built[key] for key in ("alpha", "backend", "precision", "input_height", "input_width")}
            )
            if all(resolved != network.config for network in networks):
                networks.append(SweepNetwork(resolved, _measure_accuracy(segmenter, num_frames)))
        finally:
            segmenter.close()
    if not networks:
        raise EngineError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return PreparedNetworks(networks, left_out)


def _measure_accuracy(segmenter: Segmenter, count: int) -> float:
    spec = segmenter.engine.spec
    if not count or not is_street_table(spec.class_table):
        return math.nan
    mean_iou = evaluate(segmenter, EvaluationFrames(spec.input_size, count)).mean_iou
    return math.nan if mean_iou is None else mean_iou
