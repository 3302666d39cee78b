"""Compare contenders for one network at one size: times, ratios, and agreement with the published pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Sequence, Tuple

import numpy as np

from espnet_ros.benchmark.contenders import REFERENCE, Contender, Pipeline, start_contender
from espnet_ros.benchmark.interleaved import Timing, measure_interleaved
from espnet_ros.engines import EngineSpec
from espnet_ros.errors import EngineError
from espnet_ros.types import ImageSize

_PAUSE = 0.1  # s; by default, ONNX Runtime's threads spin for tens of milliseconds after each call


@dataclass(frozen=True)
class Row:
    """Result of one contender for one network at one size.

    Attributes:
        name: on the command line.
        is_ours: whether it is one of our engines.
        title: description for reports.
        timing: of image to labels at the network's size.
        agreement: share of pixels with the label of the published pipeline, 0..1.
    """

    name: str
    is_ours: bool
    title: str
    timing: Timing
    agreement: float


@dataclass(frozen=True)
class Comparison:
    """Results for one network at one size.

    Attributes:
        alpha: ESP blocks at the third level.
        size: of the network's input.
        rows: the published pipeline, then the others in the requested order.
        absent: reasons why contenders did not run, by name.
    """

    alpha: int
    size: ImageSize
    rows: Tuple[Row, ...]
    absent: Dict[str, str]

    def over_published(self, row: Row) -> float:
        """Return how many times as fast as the published pipeline a row is, by medians."""
        return self.rows[0].timing.median / row.timing.median

    def over_best_runtime(self, row: Row) -> float:
        """Return how many times as fast as the fastest contender that is not ours a row is, by medians."""
        return min(other.timing.median for other in self.rows if not other.is_ours) / row.timing.median


def compare(
    spec: EngineSpec,
    names: Sequence[str],
    images: Sequence[np.ndarray],
    rounds: int,
    on_start: Callable[[str], Any] = lambda _name: None,
    on_round: Callable[[], Any] = lambda: None,
) -> Comparison:
    """Time contenders on the same images, interleaved, and compare their labels at the network's size.

    Args:
        spec: network, size and threads; its backend and precision are replaced.
        names: contenders; the published pipeline always runs.
        images: (H, W, 3) uint8 BGR; one per round, cycled.
        rounds: counted calls of each contender.
        on_start: called with each contender's name before it is loaded, converted or compiled, which may take minutes.
        on_round: called after each round.

    Raises:
        EspnetError: the published pipeline cannot run.
    """
    on_start(REFERENCE)
    contenders = [start_contender(REFERENCE, spec, images[0])]
    absent: Dict[str, str] = {}
    try:
        for name in names:
            if name == REFERENCE:
                continue
            on_start(name)
            try:
                contenders.append(start_contender(name, spec, images[0]))
            except EngineError as error:
                absent[name] = " ".join(str(error).split())
        expected = [contenders[0].run(image) for image in images]
        agreement = {each.name: _agreement(expected, each.run, images) for each in contenders}
        turns = {each.name: _cycle(each.run, images) for each in contenders}
        timings = measure_interleaved(turns, rounds, on_round, _PAUSE)
    finally:
        for each in contenders:
            each.close()
    rows = [_row(each, timings[each.name], agreement[each.name]) for each in contenders]
    return Comparison(spec.checkpoint.alpha, spec.input_size, tuple(rows), absent)


def _row(contender: Contender, timing: Timing, agreement: float) -> Row:
    return Row(contender.name, contender.is_ours, contender.title, timing, agreement)


def _cycle(run: Pipeline, images: Sequence[np.ndarray]) -> Callable[[], np.ndarray]:
    calls = 0

    def call() -> np.ndarray:
        nonlocal calls
        calls += 1
        return run(images[calls % len(images)])

    return call


def _agreement(expected: Sequence[np.ndarray], run: Pipeline, images: Sequence[np.ndarray]) -> float:
    """Return the share of equal labels over all images, 0..1."""
    equal = [np.count_nonzero(run(image) == labels) for image, labels in zip(images, expected)]
    return sum(equal) / sum(labels.size for labels in expected)
