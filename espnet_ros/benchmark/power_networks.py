"""The networks of a power sweep: built and judged before the board is touched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Sequence

from espnet_ros.benchmark.street import JudgedFrames, is_street_table
from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.errors import EngineError
from espnet_ros.evaluation.report import evaluate, resolved_config
from espnet_ros.loading import resolve_spec
from espnet_ros.segmenter import Segmenter
from espnet_ros.types import ImageSize


@dataclass(frozen=True)
class SweptNetwork:
    """A network as it runs in every mode.

    Attributes:
        config: what to build it from; says the backend, the precision and the size that it has.
        mean_iou: of its labels, 0..1, on ``JudgedFrames``; NaN where not known.
    """

    config: NodeConfig
    mean_iou: float = math.nan

    @property
    def size(self) -> ImageSize:
        """That the network sees."""
        return ImageSize(self.config.input_height, self.config.input_width)

    def __str__(self) -> str:
        return f"alpha {self.config.alpha} at {self.size}, {self.config.backend} {self.config.precision}"

    def build(self) -> Segmenter:
        """Load it, built for the cores that are online now.

        Raises:
            EngineError: it cannot be built.
        """
        return Segmenter(build_engine(resolve_spec(self.config)))


@dataclass(frozen=True)
class Prepared:
    """What can be swept, and why the rest cannot, by name."""

    networks: Sequence[SweptNetwork]
    left_out: Dict[str, str]


def prepare_networks(
    configs: Sequence[NodeConfig],
    judged_frames: int,
    show: Callable[[Iterable[NodeConfig]], Iterable[NodeConfig]] = iter,
) -> Prepared:
    """Build each network, into the cache where its backend has one, and judge its labels.

    Labels do not depend on the power mode, so this is done once. What cannot be built is left out, and of several
    configurations that come to the same network one is kept.

    Args:
        configs: what to build; ``auto`` and sizes of 0 are replaced by what came of them.
        judged_frames: frames to judge by; 0: not at all.
        show: wraps the configurations, to show how far it is.

    Raises:
        WeightsError, ClassTableError: the weights cannot be had.
        EngineError: none of the networks can be built.
    """
    networks: List[SweptNetwork] = []
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
                networks.append(SweptNetwork(resolved, _judge(segmenter, judged_frames)))
        finally:
            segmenter.close()
    if not networks:
        raise EngineError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return Prepared(networks, left_out)


def _judge(segmenter: Segmenter, count: int) -> float:
    spec = segmenter.engine.spec
    if not count or not is_street_table(spec.class_table):
        return math.nan
    mean_iou = evaluate(segmenter, JudgedFrames(spec.input_size, count)).mean_iou
    return math.nan if mean_iou is None else mean_iou
