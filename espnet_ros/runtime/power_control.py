"""Power management of the node: the power mode, telemetry, and the governor, which sets the node's parameters."""

from __future__ import annotations

import logging
import math
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from espnet_ros.board.host import host_root
from espnet_ros.config import NodeConfig
from espnet_ros.engines.base import Engine
from espnet_ros.errors import EspnetError
from espnet_ros.governor.governor_binding import GovernorBinding, NodeState, choose_cost_model, parameter_changes
from espnet_ros.governor.throughput_meter import ThroughputMeter
from espnet_ros.governor.types import Observation
from espnet_ros.runtime.engine_request import EngineRequest
from espnet_ros.runtime.image_worker import NO_LISTENER, AnsweredImage, ImageCounts
from espnet_ros.runtime.mode_control import ModeControl
from espnet_ros.runtime.parameter_store import ParameterStore
from espnet_ros.telemetry.frame_statistics import DEFAULT_WINDOW, FrameStatistics, FrameSummary
from espnet_ros.telemetry.sampler import TelemetrySampler, TelemetrySnapshot, default_sources
from espnet_ros.telemetry.thresholds import ThresholdViolation, check_frames, check_reading

_logger = logging.getLogger(__name__)


class PowerReport(NamedTuple):
    """Snapshot of the node's power management.

    Attributes:
        modes: the power mode and the board's mode.
        telemetry: the measurements; None if telemetry is off or the node is not configured.
        frames: statistics of the last 10 s; None while the node is not active.
        dropped: images dropped since activation.
        violations: values beyond a warning or error threshold.
        governor: the parameter ``governor``.
        binding: the governor's target and decisions.
        governor_problem: why the governor cannot decide; "" if it can.
    """

    modes: ModeControl
    telemetry: Optional[TelemetrySnapshot]
    frames: Optional[FrameSummary]
    dropped: int
    violations: List[ThresholdViolation]
    governor: str
    binding: GovernorBinding
    governor_problem: str


class PowerControl:
    """Owns the power mode, the telemetry and the governor of a node.

    `add_image` may be called in any thread, all other methods in one. Only `configure` and `undo_configure` wait for
    the board; nothing waits for a sensor.

    Args:
        parameters: the node's parameters; the governor sets them.
        changed: called in another thread when ``modes.update`` has something to do.
    """

    def __init__(self, parameters: ParameterStore, changed: Callable[[], None]) -> None:
        self.modes = ModeControl(parameters, changed)
        self._parameters = parameters
        self._binding = GovernorBinding()
        self._sampler: Optional[TelemetrySampler] = None
        self._frames: Optional[FrameStatistics] = None
        self._meter: Optional[ThroughputMeter] = None
        self._active_since = 0.0
        self._counts = ImageCounts()
        self._governor_problem = ""
        self._violations: List[ThresholdViolation] = []

    # Lifecycle

    def configure(self, config: NodeConfig) -> None:
        """Start telemetry and, if ``power_mode`` names a mode, switch to it.

        Raises:
            PowerError: see `ModeControl.configure`.
        """
        self.release()
        self.modes.configure(config)
        if config.telemetry:
            sources = default_sources(config.telemetry_period, host_root())
            self._sampler = TelemetrySampler(sources, config.telemetry_period)

    def start(self) -> None:
        """Confirm the power mode and start polling the board."""
        self.modes.engine_ready()
        self.modes.start()

    def undo_configure(self) -> None:
        """Restore board and parameters after the rest of the configuration failed."""
        self.modes.undo_configure()
        self.release()

    def activate(self) -> None:
        """Start the frame statistics."""
        now = time.monotonic()
        self._active_since, self._counts = now, ImageCounts()
        self._meter, self._frames = ThroughputMeter(now), FrameStatistics(now)
        self._binding.reset()

    def deactivate(self) -> None:
        """Stop the frame statistics and the governor."""
        self._meter = self._frames = None
        self._binding.reset()
        self._governor_problem = ""

    def release(self) -> None:
        """Stop telemetry and release the board."""
        self.deactivate()
        self.modes.close()
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None

    # Parameters

    def validate(self, config: NodeConfig, changes: Mapping[str, Any], engine: Optional[Engine]) -> Mapping[str, Any]:
        """Check a change of parameters that is not stored yet. Has no side effects.

        Returns:
            The parameters that a new power mode would set besides ``changes``.

        Raises:
            PowerError: a power mode is unknown, or the governor's table cannot be used.
        """
        if changes.get("governor_modes"):
            self.modes.list_board_modes(changes["governor_modes"])
        if changes.get("governor_table") and engine is not None:
            choose_cost_model(changes["governor_table"], self._node_state(config, engine, ()))
        return self.modes.validate(changes)

    # Images

    def add_image(self, image: AnsweredImage) -> None:
        """Add an answered image to the statistics."""
        frames, meter = self._frames, self._meter
        if frames is not None and meter is not None:
            frames.add_frame(image.finished, image.latency)
            meter.add(image.latency, image.busy)

    # Every second

    def tick(self, config: NodeConfig, counts: ImageCounts, engine: Optional[Engine], is_replacing: bool) -> None:
        """Update the statistics and thresholds, and run the governor. Call once a second.

        Args:
            config: the node's parameters.
            counts: image counts since activation.
            engine: the engine in use.
            is_replacing: whether another engine is being built.
        """
        now = time.monotonic()
        telemetry = self._sampler.latest() if self._sampler is not None else None
        reading = None if telemetry is None or telemetry.stalled else telemetry.reading
        self._violations = [] if reading is None else check_reading(config, reading)
        frames, meter = self._frames, self._meter
        if frames is None or meter is None:
            return
        if reading is not None:
            frames.add_reading(reading.stamp, reading.watts_total)
        frames.add_dropped(now, counts.dropped - self._counts.dropped)
        unread = counts.drop_reasons.get(NO_LISTENER, 0) - self._counts.drop_reasons.get(NO_LISTENER, 0)
        self._counts = counts
        check_rate = now - self._active_since >= DEFAULT_WINDOW and not unread and counts.received > 0
        self._violations += check_frames(config, frames.summary(now), check_rate)
        seen = meter.measure(now, counts.received)
        observation = Observation(
            time=now,
            input_rate=seen.input_rate,
            output_rate=seen.output_rate,
            frame_time=seen.frame_time,
            latency=seen.latency,
            watts=math.nan if reading is None else reading.watts_total,
            temperature=math.nan if reading is None else reading.temperature,
            throttled=reading is not None and bool(reading.throttled),
            switching=is_replacing or self.modes.is_switching,
        )
        self._govern(config, engine, observation)

    def report(self, config: NodeConfig) -> PowerReport:
        """Return a snapshot for the status topics."""
        return PowerReport(
            modes=self.modes,
            telemetry=None if self._sampler is None else self._sampler.latest(),
            frames=None if self._frames is None else self._frames.summary(time.monotonic()),
            dropped=self._counts.dropped,
            violations=self._violations,
            governor=config.governor,
            binding=self._binding,
            governor_problem=self._governor_problem,
        )

    def _govern(self, config: NodeConfig, engine: Optional[Engine], observation: Observation) -> None:
        self._governor_problem = ""
        if config.governor == "off" or engine is None:
            self._binding.reset()
            return
        try:
            state = self._node_state(config, engine, self.modes.list_board_modes(config.governor_modes))
            if not observation.switching:
                self._binding.update(config, state, observation.time)
            decision = self._binding.decide(observation)
            if decision is not None and decision.changed:
                _logger.info("governor: %s", decision.reason)
                self._carry_out(state, parameter_changes(decision.option, state), decision.option.mode)
        except EspnetError as error:
            self._governor_problem = str(error)

    def _carry_out(self, state: NodeState, changes: Dict[str, Any], mode: Optional[str]) -> None:
        if mode is not None and mode != state.mode:
            self.modes.request_board_mode(mode)
        self._parameters.set(changes)

    def _node_state(self, config: NodeConfig, engine: Engine, modes: Tuple[str, ...]) -> NodeState:
        checkpoint = engine.spec.checkpoint
        other_alphas = (request.config.alpha for request in EngineRequest(config).other_alphas())
        return NodeState(
            alpha=checkpoint.alpha,
            alphas=(checkpoint.alpha, *other_alphas),
            size=(engine.spec.input_size.height, engine.spec.input_size.width),
            precision=engine.precision,
            max_rate=config.max_rate,
            mode=self.modes.board_mode or None,
            modes=modes,
        )
