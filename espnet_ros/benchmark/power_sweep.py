"""Measure networks in the board's power modes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from espnet_ros.benchmark.power_board import BoardKeeper, Interruptions
from espnet_ros.benchmark.power_networks import SweepNetwork
from espnet_ros.benchmark.power_point import Draw, Run, measure_idle, measure_run, run_frames
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
        seconds: measured time per point.
        settle: seconds before each measurement that do not count.
        rest: seconds per mode for measuring idle power; 0 for none.
        rate: maximum frames per second; 0 for no limit.
        period: seconds between two telemetry readings.
    """

    seconds: float
    settle: float
    rest: float
    rate: float
    period: float


@dataclass(frozen=True)
class PowerPoint:
    """Measurements of one network in one mode. Unknown values are NaN, "" or None.

    Attributes:
        mode: name in the board's table; "" on a machine without modes.
        alpha, size, backend, precision: of the network.
        run: speed and power.
        idle_watts: idle power of the device in this mode.
        mean_iou: of the labels, 0..1.
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
        """Energy per frame, without the idle power of the device."""
        if not self.run.draw.watts:
            return math.nan
        return self.run.draw.joules_per_frame * (1 - self.idle_watts / self.run.draw.watts)


@dataclass
class PowerSweep:
    """Results of a sweep so far.

    Attributes:
        points: in the order of measurement.
        left_out: reasons why something was not measured, by name.
    """

    points: List[PowerPoint] = field(default_factory=list)
    left_out: Dict[str, str] = field(default_factory=dict)

    def add(self, mode: str, network: SweepNetwork, run: Run, at_rest: Draw) -> None:
        """Add a point. Its idle power is left out if it cannot be right.

        Args:
            mode: as in ``PowerPoint``.
            network: the measured one.
            run: speed and power.
            at_rest: idle power in this mode.
        """
        config, watts, idle = network.config, run.draw.watts, at_rest.watts
        if at_rest.covers != run.draw.covers:
            idle = math.nan  # the two cover different things
        elif idle > watts and not math.isclose(idle, watts, rel_tol=1e-6):
            self.left_out[f"idle power of {f'{mode} {network}'.strip()}"] = (
                f"{idle:.2f} W idle must be at most the {watts:.2f} W under load; another program was busy"
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
    networks: Sequence[SweepNetwork],
    sampler: TelemetrySampler,
    settings: SweepSettings,
    sweep: PowerSweep,
    on_step: Callable[[str], Any] = lambda text: None,
    on_point: Callable[[], Any] = lambda: None,
) -> None:
    """Measure every network in every mode, and restore the initial mode of the board.

    Modes that the board refuses are left out. The mode is also restored after Ctrl-C, SIGTERM and SIGHUP.

    Args:
        board: to switch; a machine without modes is measured as it is.
        modes: of the board; empty on a machine without modes.
        networks: measured in each mode.
        sampler: source of power readings.
        settings: of the measurements.
        sweep: gets the results.
        on_step: called with a description of the next step.
        on_point: called after each point.

    Raises:
        PowerError: the initial mode could not be restored, or something else sets modes.
        EngineError: a network failed.
    """
    images = {network.size: street_images(network.size) for network in networks}
    with Interruptions() as interruptions, BoardKeeper(board, interruptions) as keeper:
        for mode in modes or (None,):
            name = "" if mode is None else mode.name
            if mode is not None:
                on_step(f"switching to {mode}")
                try:
                    keeper.enter(mode)
                except PowerError as error:
                    sweep.left_out[f"mode {mode}"] = str(error)
                    continue
            at_rest = Draw()
            if settings.rest:
                on_step(f"{name} idle".strip())
                measure_idle(sampler, settings.period, settings.settle)
                at_rest = measure_idle(sampler, settings.period, settings.rest)
            for network in networks:
                on_step(f"{name} {network}".strip())
                run = _measure_network(network, images[network.size], sampler, settings)
                if mode is not None:
                    keeper.require(mode)
                sweep.add(name, network, run, at_rest)
                on_point()


def _measure_network(
    network: SweepNetwork, images: Sequence[np.ndarray], sampler: TelemetrySampler, settings: SweepSettings
) -> Run:
    segmenter = network.build()
    try:
        run_frames(segmenter, images, settings.settle, settings.rate)
        return measure_run(segmenter, images, settings.seconds, settings.rate, sampler, settings.period)
    finally:
        segmenter.close()
