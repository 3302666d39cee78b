"""Sweeps the board's power modes and the networks, and keeps what each point of it was measured to cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from espnet_ros.benchmark.power_board import BoardKeeper, Interruptions
from espnet_ros.benchmark.power_networks import SweptNetwork
from espnet_ros.benchmark.power_point import Draw, Run, measure_rest, measure_run, run_frames
from espnet_ros.benchmark.street import street_images
from espnet_ros.board.jetson import Board
from espnet_ros.board.nvpmodel import Mode
from espnet_ros.errors import PowerError
from espnet_ros.telemetry.sampler import TelemetrySampler
from espnet_ros.types import ImageSize


@dataclass(frozen=True)
class SweepSettings:
    """How each point is measured.

    Attributes:
        seconds: that count, a point.
        settle: seconds before each measurement that do not count.
        rest: seconds in each mode in which the watts at rest are measured; 0: they are not.
        rate: frames a second at most; 0: as many as the network can.
        period: seconds between two readings of the telemetry.
    """

    seconds: float
    settle: float
    rest: float
    rate: float
    period: float


@dataclass(frozen=True)
class PowerPoint:
    """One network in one mode. What is not known is NaN, "" or None.

    Attributes:
        mode: name in the board's table; "" on a machine without modes.
        alpha, size, backend, precision: of the network.
        run: how it ran.
        idle_watts: of the device in this mode, before the network ran.
        mean_iou: of its labels, 0..1.
    """

    mode: str
    alpha: int
    size: ImageSize
    backend: str
    precision: str
    run: Run
    idle_watts: float = math.nan
    mean_iou: float = math.nan

    @property
    def joules_above_idle(self) -> float:
        """Energy of a frame without what the device draws at rest."""
        if not self.run.draw.watts:
            return math.nan
        return self.run.draw.joules_per_frame * (1 - self.idle_watts / self.run.draw.watts)


@dataclass
class PowerSweep:
    """What a sweep has measured so far.

    Attributes:
        points: in the order of measuring.
        left_out: what was not measured, and why.
    """

    points: List[PowerPoint] = field(default_factory=list)
    left_out: Dict[str, str] = field(default_factory=dict)

    def add(self, mode: str, network: SweptNetwork, run: Run, at_rest: Draw) -> None:
        """Keep a point. Watts at rest that cannot be those of this point are left out.

        Args:
            mode: as in ``PowerPoint``.
            network: that ran.
            run: how it ran.
            at_rest: what the device drew in this mode before.
        """
        config, watts, idle = network.config, run.draw.watts, at_rest.watts
        if at_rest.covers != run.draw.covers:
            idle = math.nan  # watts of two things cannot be compared
        elif idle > watts and not math.isclose(idle, watts, rel_tol=1e-6):
            self.left_out[f"watts at rest of {f'{mode} {network}'.strip()}"] = (
                f"{idle:.2f} W at rest must be at most the {watts:.2f} W while it ran; something else was at work"
            )
            idle = math.nan
        self.points.append(
            PowerPoint(
                mode=mode,
                alpha=config.alpha,
                size=network.size,
                backend=config.backend,
                precision=config.precision,
                run=run,
                idle_watts=min(idle, watts) if not math.isnan(watts) else math.nan,
                mean_iou=network.mean_iou,
            )
        )


def sweep_board(
    board: Board,
    modes: Sequence[Mode],
    networks: Sequence[SweptNetwork],
    sampler: TelemetrySampler,
    settings: SweepSettings,
    sweep: PowerSweep,
    on_step: Callable[[str], Any] = lambda text: None,
    on_point: Callable[[], Any] = lambda: None,
) -> None:
    """Measure every network in every mode, and leave the board in the mode that it was found in.

    A mode that the board refuses is left out. Ctrl-C, SIGTERM and SIGHUP set the board back too.

    Args:
        board: what has the modes; where they do not apply, its one state is measured.
        modes: of the board; empty where they do not apply.
        networks: what runs in each.
        sampler: tells the watts.
        settings: how.
        sweep: what was measured goes there.
        on_step: told what comes next.
        on_point: called after each point.

    Raises:
        PowerError: the board could not be set back, or something else sets modes.
        EngineError: a network failed.
    """
    images = {network.size: street_images(network.size) for network in networks}
    with Interruptions() as interruptions, BoardKeeper(board, interruptions) as keeper:
        for mode in modes or (None,):
            name = "" if mode is None else mode.name
            if mode is not None:
                on_step(f"{mode}: switching")
                try:
                    keeper.enter(mode)
                except PowerError as error:
                    sweep.left_out[f"mode {mode}"] = str(error)
                    continue
            at_rest = Draw()
            if settings.rest:
                on_step(f"{name} at rest".strip())
                measure_rest(sampler, settings.period, settings.settle)
                at_rest = measure_rest(sampler, settings.period, settings.rest)
            for network in networks:
                on_step(f"{name} {network}".strip())
                run = _measure_network(network, images[network.size], sampler, settings)
                if mode is not None:
                    keeper.require(mode)
                sweep.add(name, network, run, at_rest)
                on_point()


def _measure_network(
    network: SweptNetwork, images: Sequence[np.ndarray], sampler: TelemetrySampler, settings: SweepSettings
) -> Run:
    segmenter = network.build()
    try:
        run_frames(segmenter, images, settings.settle, settings.rate)
        return measure_run(segmenter, images, settings.seconds, settings.rate, sampler, settings.period)
    finally:
        segmenter.close()
