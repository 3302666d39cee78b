"""The lifecycle node: camera images in, label images and costmaps out."""

from __future__ import annotations

import sys
from typing import Any, Dict, List, Optional, Union

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from espnet_ros.config import NodeConfig
from espnet_ros.engines.memory import share_free_memory
from espnet_ros.errors import ParameterError, describe_error
from espnet_ros.ros.conversions import image_from_msg
from espnet_ros.ros.costmap_output import CostmapOutput
from espnet_ros.ros.health_publisher import HealthPublisher
from espnet_ros.ros.lifecycle import StopRequest, SturdyLifecycleNode
from espnet_ros.ros.log_handler import show_core_logs
from espnet_ros.ros.node_parameters import NodeParameters
from espnet_ros.ros.publishers import CAMERA_QOS, ImagePublishers
from espnet_ros.runtime.engine_exchange import EngineExchange, EngineState
from espnet_ros.runtime.engine_parameters import changes_engine, check_change
from espnet_ros.runtime.health import NodeHealth
from espnet_ros.runtime.image_errors import ImageErrors
from espnet_ros.runtime.image_worker import ENGINE_FAILED, NO_LISTENER, Dropped, EngineTime, ImageCounts, ImageWorker
from espnet_ros.runtime.power_control import PowerControl

_STALENESS_CHECKED_EVERY = 0.1  # s
_SIGNALS_SEEN_EVERY = 0.1  # s
_POWER_EVERY = 1.0  # s; the governor's rules are made for it
_JOIN_TIMEOUT = 20.0  # s, for an image or an engine's building under way when the node ends


class EspnetNode(SturdyLifecycleNode):
    """Node ``espnet``.

    Raises:
        ParameterError: a parameter given at start breaks its rule.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__("espnet", **arguments)
        self._parameters_changed = self.create_guard_condition(self._apply_parameters)
        self._own_parameters = NodeParameters(self, self._check_change, self._parameters_changed.trigger)
        self._config = self._own_parameters.read()
        self._worker: Optional[ImageWorker] = None
        self._outputs: Optional[ImagePublishers] = None
        self._costmap: Optional[CostmapOutput] = None
        self._subscription: Optional[Any] = None
        self._image_errors = ImageErrors()
        self._health = HealthPublisher(self, self._describe_health)
        self._engine = EngineExchange(self._note_engine_news)
        self._power = PowerControl(self._own_parameters.set, self._parameters_changed.trigger)
        # Simulated time may stand still; the node's health is still worth knowing.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self._config.diagnostics_period, self.publish_health, clock=steady)
        self.create_timer(_STALENESS_CHECKED_EVERY, self._clear_stale_costmap, clock=steady)
        self.create_timer(_POWER_EVERY, self._look_at_power, clock=steady)

    # Lifecycle

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Build the first engine."""
        return self.run_transition("configure", self._configure)

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to take images."""
        return self.run_transition("activate", self._activate)

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more images; the engine stays."""
        return self.run_transition("deactivate", self._deactivate)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine."""
        return self.run_transition("clean up", self.release)

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, from any state."""
        return self.run_transition("shut down", self.release)

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything after a failed transition; the node can be configured again."""
        return self.run_transition("recover from an error", self.release)

    def _configure(self) -> None:
        try:
            self._power.configure(self._own_parameters.read())
            self._config = self._own_parameters.follow_weights()
            self._engine.build_first(self._config)
        except Exception as error:
            self._engine.fail(error)
            self._power.modes.undo_configure()
            self._power.release()
            raise
        self._power.modes.note_engine_in_use()
        self._power.modes.start()
        self._outputs = ImagePublishers(self)
        self._renew_costmap()
        self._announce_engine()

    def _activate(self) -> None:
        self._power.activate()
        self._worker = ImageWorker(self._answer, self._report, self._config.max_rate, answered=self._power.add_answer)
        self._image_errors = ImageErrors()
        self._worker.start()
        message_type, topic = self._input()
        self._subscription = self.create_subscription(message_type, topic, self.on_image, CAMERA_QOS)

    def _deactivate(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None:
            self._worker.stop(_JOIN_TIMEOUT)
        self._power.deactivate()
        if self._costmap is not None:
            self._costmap.clear("as the node was deactivated")

    def release(self) -> None:
        """Stop everything and free the engine; safe to call twice."""
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

    def join(self) -> None:
        """Wait for an engine that is still being built."""
        self._engine.join(_JOIN_TIMEOUT)

    # Images

    def on_image(self, message: Union[Image, CompressedImage]) -> None:
        """Keep the newest image for the worker."""
        if self._worker is not None:
            self._worker.offer(message)

    def _input(self) -> Any:
        if self._config.image_transport == "compressed":
            return CompressedImage, "image/compressed"
        return Image, "image"

    def _answer(self, message: Union[Image, CompressedImage]) -> Union[EngineTime, Dropped]:
        """Label one image and publish it, in the worker's thread.

        Returns:
            What the engine took, or why the image was not looked at.
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

    # Costmap

    def _renew_costmap(self) -> None:
        """Make the costmap anew where the classes or its parameters are others; the grids then begin empty."""
        engine = self._engine.engine
        if engine is None or self._outputs is None:
            return
        if self._costmap is not None:
            if self._costmap.fits(self._config, engine.spec.class_table):
                return
            self._costmap.clear("as its classes or parameters changed")
            self._costmap.close()
        self._costmap = CostmapOutput(self, self._config, engine.spec.class_table)
        self._costmap.begin()

    def _clear_stale_costmap(self) -> None:
        if self._costmap is not None and self._costmap.clear_if_stale():
            self.get_logger().warning(f"costmap {self._costmap.health().cleared}")
            self.publish_health()

    def _report(self, error: Exception) -> None:
        """Warn of an image that got no answer, in the worker's thread."""
        warning = self._image_errors.note(error)
        if warning and self.context.ok():
            self.get_logger().warning(warning)

    # Parameters

    def _check_change(self, config: NodeConfig, changes: Dict[str, Any]) -> None:
        """Raise for what cannot work; what can is applied once rclpy has stored it."""
        mode = self._power.plan(config, changes, self._engine.engine)
        check_change(config, {**(mode.values if mode else {}), **changes})
        self._power.modes.accept(mode, changes)

    def _apply_parameters(self) -> None:
        """Make the node as its parameters say; also called when there is news of the engine."""
        try:
            result = self._engine.take_result()
            if result is not None and result.error is not None:
                self.get_logger().error(f"the engine stays as it is: {describe_error(result.error)}")
                self._power.modes.undo(describe_error(result.error))
                if self._engine.config is not None:
                    self._own_parameters.restore_engine(self._engine.config)
            self._power.modes.advance()
            self._config = self._own_parameters.follow_weights()
            if self._worker is not None:
                self._worker.max_rate = self._config.max_rate
            self._engine.apply(self._config)
            # A build may have failed meanwhile, which the next call sees.
            if self._engine.config is not None and not changes_engine(self._engine.config, self._config):
                self._power.modes.note_engine_in_use()
            self._announce_engine()
            self._renew_costmap()
            if self._engine.report() != self._health.report_shown:
                self.publish_health()
        except Exception as error:  # the callback's edge
            self.get_logger().error(f"cannot apply parameters: {describe_error(error)}")

    def _note_engine_news(self) -> None:
        """See to it that what changed is published; called in any thread."""
        if self._engine.is_building_first:  # in a transition, which holds up all else
            self.publish_health()
        else:
            self._parameters_changed.trigger()

    # Power

    def _look_at_power(self) -> None:
        """Take in the last second, let the governor decide, and say how it is."""
        try:
            engine = self._engine.report()
            is_changing = engine.state == EngineState.REPLACING
            counts = ImageCounts() if self._worker is None else self._worker.counts()
            self._power.tick(self._config, counts, engine.engine, is_changing)
            self._health.publish_power(self._power.report(self._config))
        except Exception as error:  # the callback's edge
            self.get_logger().error(f"cannot look at power: {describe_error(error)}")

    # Health

    def _announce_engine(self) -> None:
        self._health.announce_engine(self._engine.engine, self._config.min_confidence)

    def publish_health(self) -> None:
        """Say how the node is."""
        self._health.publish()

    def _describe_health(self) -> NodeHealth:
        worker = self._worker
        return NodeHealth(
            report=self._engine.report(),
            is_active=self._subscription is not None,
            counts=ImageCounts() if worker is None else worker.counts(stale_after=self._config.image_timeout),
            last_refusal=self._image_errors.last_refusal,
            last_failure=self._image_errors.last_failure,
            image_topic=self.resolve_topic_name(self._input()[1]),
            image_timeout=self._config.image_timeout,
            costmap=None if self._costmap is None else self._costmap.health(),
            power=self._power.report(self._config),
        )


def main(args: Optional[List[str]] = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Returns:
        Exit code: 0 after a signal, 1 when a parameter given at start breaks its rule.
    """
    share_free_memory()
    stop = StopRequest()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    show_core_logs(rclpy.logging.get_logger("espnet"))
    try:
        node = EspnetNode()
    except ParameterError as error:
        rclpy.logging.get_logger("espnet").fatal(str(error))
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value and not stop.is_made:
            node.start_by_itself()
        while not stop.is_made:
            executor.spin_once(timeout_sec=_SIGNALS_SEEN_EVERY)
    except ExternalShutdownException:
        pass
    finally:
        executor.shutdown()
        node.release()  # while the context lives, so that the cleared grid gets out
        node.join()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
