"""The lifecycle node ``espnet``: camera images in, label images and costmaps out."""

from __future__ import annotations

import sys
from typing import Any, Dict, List, Optional, Union

from espnet_ros.stopping import Stopped, exit_at_once, exit_on_interrupt, is_stop_requested, run_until_stopped

if __name__ == "__main__":
    exit_on_interrupt()  # the imports below take a second

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image

from espnet_ros.config import NodeConfig
from espnet_ros.engines.memory import share_free_memory
from espnet_ros.errors import ParameterError, describe_error
from espnet_ros.ros.bond import Bond
from espnet_ros.ros.cleared_costmap import HEARTBEAT_PERIOD
from espnet_ros.ros.conversions import image_from_msg
from espnet_ros.ros.costmap_output import CostmapOutput
from espnet_ros.ros.health_publisher import HealthPublisher
from espnet_ros.ros.image_input import ImageInput, image_topic
from espnet_ros.ros.lifecycle import RobustLifecycleNode, StopSignals, spin_until_stopped
from espnet_ros.ros.log_folder import find_log_problem
from espnet_ros.ros.log_handler import show_core_logs
from espnet_ros.ros.node_parameters import NodeParameters
from espnet_ros.ros.parameters import TypedParameterNode, init_ros
from espnet_ros.ros.publishers import ImagePublishers
from espnet_ros.runtime.engine_exchange import EngineExchange, EngineState
from espnet_ros.runtime.engine_parameters import changes_engine, check_change
from espnet_ros.runtime.health import NodeHealth
from espnet_ros.runtime.image_errors import ImageErrors
from espnet_ros.runtime.image_worker import ENGINE_FAILED, NO_LISTENER, Dropped, EngineTime, ImageCounts, ImageWorker
from espnet_ros.runtime.power_control import PowerControl
from espnet_ros.runtime.shared_memory import find_shared_memory_problem

_COSTMAP_CHECK_PERIOD = 0.1  # s
_POWER_PERIOD = 1.0  # s; the governor's rules are tuned for it
_JOIN_TIMEOUT = 20.0  # s, for an image or an engine build in progress when the node is destroyed
_STOP_TIMEOUT = 0.5  # s, for an engine build when the process is to end


class EspnetNode(TypedParameterNode, RobustLifecycleNode):
    """Connects topics, parameters and lifecycle to `espnet_ros.runtime`.

    Args:
        transport_problem: why images may not arrive, for /diagnostics; "" if nothing is wrong.
        **arguments: arguments of rclpy's node.

    Raises:
        ParameterError: a parameter given at start breaks its rule.
    """

    def __init__(self, transport_problem: str = "", **arguments: Any) -> None:
        super().__init__("espnet", **arguments)
        self._transport_problem = transport_problem
        self._has_news = self.create_guard_condition(self._apply_parameters)
        self._node_parameters = NodeParameters(self, self._check_change, self._has_news.trigger)
        self._config = self._node_parameters.read()
        self._worker: Optional[ImageWorker] = None
        self._outputs: Optional[ImagePublishers] = None
        self._costmap: Optional[CostmapOutput] = None
        self._input: Optional[ImageInput] = None
        self._image_errors = ImageErrors()
        self._health = HealthPublisher(self, self._describe_health)
        self._engine = EngineExchange(self._notice_engine_change)
        self._bond = Bond(self)
        self._power = PowerControl(self._node_parameters, self._has_news.trigger)
        # Simulated time may stand still, but the node's health must still be published.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self._config.diagnostics_period, self.publish_health, clock=steady)
        self.create_timer(_COSTMAP_CHECK_PERIOD, self._clear_stale_costmap, clock=steady)
        self.create_timer(HEARTBEAT_PERIOD, self._publish_heartbeat, clock=steady)
        self.create_timer(_POWER_PERIOD, self._update_power, clock=steady)

    # Lifecycle

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Set the power mode and build the first engine."""
        return self.run_transition("configure", self._configure)

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Start processing images."""
        return self.run_transition("activate", self._activate)

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Stop processing images; keep the engine."""
        return self.run_transition("deactivate", self._deactivate)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine."""
        return self.run_transition("clean up", self.release)

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, from any state."""
        return self.run_transition("shut down", self.release)

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything after a failed transition, so that the node can be configured again."""
        return self.run_transition("recover from an error", self.release)

    def _configure(self) -> None:
        self._node_parameters.take_changes()  # what was set until now is part of the configuration
        try:
            self._power.configure(self._node_parameters.read())
            self._config = self._node_parameters.follow_weights()
            config = self._config
            run_until_stopped(lambda: self._engine.build_first(config))
        except (Exception, Stopped) as error:
            self._engine.fail(error)
            self._power.undo_configure()
            raise
        self._power.start()
        self._outputs = ImagePublishers(self)
        self._update_costmap()
        self._announce_engine()

    def _activate(self) -> None:
        self._power.activate()
        self._worker = ImageWorker(
            self._process_image, self._warn_of_image_error, self._config.max_rate, answered=self._power.add_image
        )
        self._image_errors = ImageErrors()
        self._worker.start()
        self._input = ImageInput(self, self._config.image_transport, self._worker.offer)
        camera_info = self.resolve_topic_name("camera_info")
        self.get_logger().info(f"active: subscribed to {self._image_topic()}; for costmaps, to {camera_info}")
        self._bond.start(self._config.bond_heartbeat_period)

    def _deactivate(self) -> None:
        self._bond.stop()
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._worker is not None:
            self._worker.stop(_JOIN_TIMEOUT)
        self._power.deactivate()
        if self._costmap is not None:
            self._costmap.clear("as the node was deactivated")

    def release(self) -> None:
        """Stop everything and free the engine. Safe to call twice."""
        self._deactivate()
        self._engine.release()
        self._power.release()
        self._health.forget_engine()
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        if self._costmap is not None:
            self._costmap.close()
            self._costmap = None

    def join(self) -> bool:
        """Wait for an engine build in progress, which ends at a stop. Return False if it does not heed the stop."""
        return self._engine.join(_STOP_TIMEOUT if is_stop_requested() else _JOIN_TIMEOUT)

    # Images

    def _image_topic(self) -> str:
        return image_topic(self, self._config.image_transport)

    def _process_image(self, message: Union[Image, CompressedImage]) -> Union[EngineTime, Dropped]:
        """Segment one image and publish the results. Runs in the worker's thread.

        Returns:
            The engine's time for the image, or why it was dropped.
        """
        outputs, costmap = self._outputs, self._costmap
        if outputs is None:
            return Dropped(NO_LISTENER)
        wanted = outputs.wanted()
        wants_costmap = costmap is not None and costmap.is_wanted()
        if not any(wanted) and not wants_costmap:
            return Dropped(NO_LISTENER)
        if self._engine.is_broken:
            return Dropped(ENGINE_FAILED)
        image = image_from_msg(message)
        with_confidence = wanted.confidence or (costmap is not None and wants_costmap and costmap.needs_confidence)
        segmentation = self._engine.segment(image.pixels, image.channel_order, with_confidence)
        outputs.publish(message.header, image, segmentation, wanted, self._config.overlay_opacity)
        if costmap is not None and wants_costmap:
            costmap.update(message.header, segmentation)
        return EngineTime(segmentation.times.infer, segmentation.engine_number)

    def _warn_of_image_error(self, error: Exception) -> None:
        warning = self._image_errors.add(error)
        if warning and self.context.ok():
            self.get_logger().warning(warning)

    # Costmap

    def _update_costmap(self) -> None:
        """Replace the costmap by an empty one if its classes or parameters have changed."""
        engine = self._engine.engine
        if engine is None or self._outputs is None:
            return
        if self._costmap is not None and self._costmap.fits(self._config, engine.spec.class_table):
            return
        if self._costmap is not None:
            self._costmap.clear("as its classes or parameters changed")
            self._costmap.close()
        self._costmap = CostmapOutput(self, self._config, engine.spec.class_table, self._image_topic())
        self._costmap.begin()

    def _clear_stale_costmap(self) -> None:
        if self._costmap is not None and self._costmap.clear_if_stale(self._config.longest_costmap_gap):
            health = self._costmap.health()
            if health.cleared and health.is_wanted:
                self.get_logger().warning(f"costmap {health.cleared}")
            self.publish_health()

    def _publish_heartbeat(self) -> None:
        if self._costmap is not None and self.context.ok():
            self._costmap.publish_heartbeat()

    # Parameters: validated before they are stored, applied afterwards

    def _check_change(self, config: NodeConfig, changes: Dict[str, Any]) -> None:
        mode_values = self._power.validate(config, changes, self._engine.engine)
        check_change(config, {**mode_values, **changes})

    def _apply_parameters(self) -> None:
        """Act on stored parameters, a finished engine build, and the board's answers."""
        try:
            changes = self._node_parameters.take_changes()
            engine_error = self._engine.take_error()
            if engine_error:
                self.get_logger().error(f"keeping the current engine: {engine_error}")
                self._node_parameters.restore_engine(self._engine.config, changes)
            self._power.modes.update(changes, engine_error)
            self._config = self._node_parameters.follow_weights()
            if self._worker is not None:
                self._worker.max_rate = self._config.max_rate
            self._engine.apply(self._config)
            if self._engine.config is not None and not changes_engine(self._engine.config, self._config):
                self._power.modes.engine_ready()
            self._announce_engine()
            self._update_costmap()
            if self._engine.report() != self._health.last_report:
                self.publish_health()
        except Exception as error:  # an exception here would end the node
            self.get_logger().error(f"cannot apply parameters: {describe_error(error)}")

    def _notice_engine_change(self) -> None:
        """Publish the engine's new status. Called in any thread."""
        if self._engine.is_building_first:  # the transition blocks the executor
            self.publish_health()
        else:
            self._has_news.trigger()

    # Power

    def _update_power(self) -> None:
        """Update the power statistics, run the governor, and publish the status."""
        try:
            report, worker = self._engine.report(), self._worker
            counts = ImageCounts() if worker is None else worker.counts()
            self._power.tick(self._config, counts, report.engine, report.state == EngineState.REPLACING)
            self._health.publish_power(self._power.report(self._config))
        except Exception as error:  # an exception here would end the node
            self.get_logger().error(f"cannot update the power status: {describe_error(error)}")

    # Health

    def _announce_engine(self) -> None:
        self._health.announce_engine(self._engine.engine, self._config.min_confidence)

    def publish_health(self) -> None:
        """Publish the node's status."""
        self._health.publish()

    def _describe_health(self) -> NodeHealth:
        timeout, images = self._config.image_timeout, self._input
        counts = ImageCounts() if self._worker is None else self._worker.counts(stale_after=timeout)
        return NodeHealth(
            report=self._engine.report(),
            is_active=images is not None,
            counts=counts,
            last_refusal=self._image_errors.last_refusal,
            last_failure=self._image_errors.last_failure,
            image_topic=self._image_topic(),
            silence_reason="" if images is None else images.explain_silence(counts.silence, timeout),
            missing_share=0.0 if images is None else images.missing_share(),
            transport_problem=self._transport_problem,
            costmap=None if self._costmap is None else self._costmap.health(),
            power=self._power.report(self._config),
            waits_for_clock=self.get_parameter("use_sim_time").value and self.get_clock().now().nanoseconds == 0,
        )


def main(args: Optional[List[str]] = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Returns:
        Exit code: 0 after a signal, 1 if ROS refuses the arguments or a parameter given at start breaks its rule.
    """
    share_free_memory()
    stop = StopSignals()
    transport_problem, log_problem = find_shared_memory_problem(), find_log_problem()
    logger = rclpy.logging.get_logger("espnet")
    try:
        init_ros(list(sys.argv if args is None else args))
        show_core_logs(logger)
        for problem in filter(None, (transport_problem, log_problem)):
            logger.warning(problem)
        node = EspnetNode(transport_problem)
        show_core_logs(node.get_logger())  # its level is set by the node's full name
    except ParameterError as error:
        logger.fatal(str(error))
        rclpy.try_shutdown()
        return 1
    try:
        if node.get_parameter("autostart").value and not stop.is_received:
            node.autostart()
        else:
            node.explain_start()
        spin_until_stopped(node, stop)
    finally:
        node.release()  # while the context is valid, so that the cleared costmap is published
        is_idle = node.join()
        node.destroy_node()
        rclpy.try_shutdown()
        if is_stop_requested() and not is_idle:  # a library or the network holds the builder's thread
            exit_at_once(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
