"""Compares our engines with the published pipeline: time, ratio and agreement of labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from espnet_ros.benchmark.interleaved import Timing, measure_interleaved
from espnet_ros.engines import EngineSpec, build_engine
from espnet_ros.segmenter import Segmenter

REFERENCE = "published pipeline, eager PyTorch"


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        name: what ran.
        alpha: ESP blocks at the third level.
        timing: of image to label map.
        speedup: median of the published pipeline divided by this one's.
        agreement: share of pixels with the published pipeline's label, 0..1.
    """

    name: str
    alpha: int
    timing: Timing
    speedup: float
    agreement: float


def compare_engines(
    spec: EngineSpec,
    variants: Sequence[str],
    images: Sequence[np.ndarray],
    rounds: int,
    on_round: Callable[[], Any] = lambda: None,
) -> List[Contender]:
    """Time the published pipeline and our engines on the same images, interleaved.

    Args:
        spec: network, size and threads; its backend and precision are replaced.
        variants: ``backend/precision`` of our engines.
        images: (H, W, 3) uint8 BGR; one image a round, in turn.
        rounds: counted calls of each.
        on_round: called after each round.
    """
    # The reference is all that needs the network in torch.
    from espnet_ros.benchmark.published import PublishedPipeline

    reference = PublishedPipeline(spec.checkpoint, spec.input_size)
    segmenters = {variant: Segmenter(build_engine(_with_variant(spec, variant))) for variant in variants}
    pipelines: Dict[str, Callable[[np.ndarray], np.ndarray]] = {REFERENCE: reference}
    for variant, segmenter in segmenters.items():
        pipelines[variant] = lambda image, run=segmenter: run.segment(image).labels  # type: ignore[misc]
    agreement = {name: _agreement(reference, run, images) for name, run in pipelines.items()}
    turns = {name: _in_turn(run, images) for name, run in pipelines.items()}
    timings = measure_interleaved(turns, rounds, on_round)
    for segmenter in segmenters.values():
        segmenter.close()
    base = timings[REFERENCE].median
    return [
        Contender(name, spec.checkpoint.alpha, timing, base / timing.median, agreement[name])
        for name, timing in timings.items()
    ]


def format_table(rows: Sequence[Contender]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| alpha | engine | median ms | best ms | frames/s | times as fast | same labels |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        median = row.timing.median
        lines.append(
            f"| {row.alpha} | {row.name} | {median * 1e3:.1f} | {row.timing.best * 1e3:.1f} | {1 / median:.1f} "
            f"| {row.speedup:.2f} | {row.agreement:.2%} |"
        )
    return "\n".join(lines)


def _with_variant(spec: EngineSpec, variant: str) -> EngineSpec:
    backend, _, precision = variant.partition("/")
    return replace(spec, backend=backend, precision=precision or "auto")


def _in_turn(run: Callable[[np.ndarray], np.ndarray], images: Sequence[np.ndarray]) -> Callable[[], np.ndarray]:
    calls = 0

    def call() -> np.ndarray:
        nonlocal calls
        calls += 1
        return run(images[calls % len(images)])

    return call


def _agreement(
    reference: Callable[[np.ndarray], np.ndarray],
    run: Callable[[np.ndarray], np.ndarray],
    images: Sequence[np.ndarray],
) -> float:
    """Share of equal labels over all images, at the reference's size."""
    equal = total = 0
    for image in images:
        expected, labels = reference(image), run(image)
        rows = np.arange(expected.shape[0]) * labels.shape[0] // expected.shape[0]
        columns = np.arange(expected.shape[1]) * labels.shape[1] // expected.shape[1]
        equal += int(np.count_nonzero(labels[np.ix_(rows, columns)] == expected))
        total += expected.size
    return equal / total
