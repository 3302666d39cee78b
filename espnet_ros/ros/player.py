"""Publish frames to a running node over DDS, and receive its answers."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from typing import Any, Callable, Iterable, Iterator, Optional

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from espnet_ros.demo.costmaps import CostmapRecorder
from espnet_ros.demo.drive import DriveRecorder
from espnet_ros.demo.switcher import AlphaSwitcher
from espnet_ros.errors import NodeError
from espnet_ros.evaluation.frames import Frame
from espnet_ros.headers import stamp_nanoseconds
from espnet_ros.image_encoding import decode_ids
from espnet_ros.msg import CostmapLayers, EngineStatus
from espnet_ros.ros.camera_odometry_messages import camera_to_msg, odometry_to_msg
from espnet_ros.ros.conversions import image_to_msg
from espnet_ros.ros.log_folder import log_arguments
from espnet_ros.ros.node_process import NodeProcess
from espnet_ros.ros.publishers import CAMERA_QOS, LATCHED_QOS

FRAME_ID = "camera_optical_frame"
_ANSWERS_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_COSTMAPS_QOS = QoSProfile(
    depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_ODOMETRY_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_ODOMETRY_PER_IMAGE = 4
_POLL_S = 0.05
_PROBE_PERIOD_S = 0.5
_READY_TIMEOUT_S = 300.0
_QUIET_S = 1.0
_STATUS_TIMEOUT_S = 2.0
_SERVICE_TIMEOUT_S = 30.0


class Player:
    """Acts as the camera of the node in the same ROS domain.

    Args:
        node: an rclpy node to publish and subscribe with.
        costmaps: records costmaps; its track is published as odometry and calibration. None for images alone.
    """

    def __init__(self, node: Any, costmaps: Optional[CostmapRecorder] = None) -> None:
        self._clock = node.get_clock()
        self._images = node.create_publisher(Image, "image", CAMERA_QOS)
        self._costmaps = costmaps
        if costmaps is not None:
            self._cameras = node.create_publisher(CameraInfo, "camera_info", CAMERA_QOS)
            self._odometry = node.create_publisher(Odometry, "odom", _ODOMETRY_QOS)
            node.create_subscription(CostmapLayers, "/espnet/costmap_layers", self._on_costmap, _COSTMAPS_QOS)
        self._recorder: Optional[DriveRecorder] = None
        self._switcher: Optional[AlphaSwitcher] = None
        self._set_parameters = node.create_client(SetParameters, "/espnet/set_parameters")
        self._probe_answered = threading.Event()
        self.status: Any = None
        """The newest espnet_ros/EngineStatus; None before the first one."""
        node.create_subscription(Image, "/espnet/label_image", self._on_labels, _ANSWERS_QOS)
        node.create_subscription(EngineStatus, "/espnet/engine_status", self._on_status, LATCHED_QOS)

    def wait_until_ready(self, process: NodeProcess, probe: np.ndarray, on_change: Callable[[str], None]) -> None:
        """Wait until the node answers an image and offers its parameters.

        Args:
            process: the node.
            probe: (H, W, 3) uint8 BGR, published repeatedly until it is answered.
            on_change: gets a line when the engine's state changes.

        Raises:
            NodeError: the node exited, its engine cannot be built, or it does not answer in time.
        """
        deadline = time.monotonic() + _READY_TIMEOUT_S
        next_probe, last_message = 0.0, ""
        while not self._probe_answered.wait(_POLL_S):
            process.require_running()
            status = self.status
            if status is not None and status.message and status.message != last_message:
                last_message = status.message
                on_change(last_message)
            if status is not None and status.state == EngineStatus.FAILED:
                raise NodeError(f"the node's engine cannot be built: {status.message}")
            now = time.monotonic()
            if now > deadline:
                raise NodeError(f"the node did not answer within {_READY_TIMEOUT_S:.0f} s (see {process.log})")
            if status is not None and status.state == EngineStatus.ACTIVE and now >= next_probe:
                self._images.publish(self._image_message(probe))
                next_probe = now + _PROBE_PERIOD_S
        if not self._set_parameters.wait_for_service(_SERVICE_TIMEOUT_S):
            raise NodeError(
                f"the node offered no parameter service within {_SERVICE_TIMEOUT_S:.0f} s (see {process.log})"
            )

    def request_alpha(self, alpha: int, on_refusal: Callable[[str], None]) -> None:
        """Request another alpha, as ``ros2 param set /espnet alpha`` does, and return immediately.

        Args:
            alpha: ESP blocks at the network's third level.
            on_refusal: called in another thread with the reason if the node refuses.
        """

        def on_response(answer: Any) -> None:
            (result,) = answer.result().results
            if not result.successful:
                on_refusal(result.reason)

        request = Parameter("alpha", value=alpha).to_parameter_msg()
        self._set_parameters.call_async(SetParameters.Request(parameters=[request])).add_done_callback(on_response)

    def play(
        self,
        frames: Iterable[Frame],
        rate: float,
        recorder: DriveRecorder,
        process: NodeProcess,
        switcher: AlphaSwitcher,
        on_sent: Callable[[], None],
    ) -> None:
        """Publish frames at a fixed rate, also while the node switches its alpha.

        Args:
            frames: to publish; a frame that is read late is published late, and none is skipped.
            rate: in Hz.
            recorder: records frames and answers.
            process: the node.
            switcher: requests the alphas; gets each status of the node, starting with the newest.
            on_sent: called after each frame.

        Raises:
            NodeError: the node exited.
            DatasetError: a frame cannot be read.
        """
        switcher.on_status(self.status)
        self._recorder, self._switcher = recorder, switcher
        due = time.monotonic()
        for index, frame in enumerate(frames):
            self._wait_until_due(index, due, 1.0 / rate)
            due = max(due, time.monotonic() - 1.0 / rate) + 1.0 / rate
            process.require_running()
            switcher.before_frame(index)
            message = self._image_message(frame.image)
            self._publish_pose_and_camera(index, frame.name, message.header)
            recorder.record_sent(frame, stamp_nanoseconds(message.header), time.monotonic())
            self._images.publish(message)
            on_sent()

    def wait_for_last_answers(self, recorder: DriveRecorder) -> None:
        """Wait until every frame is answered or no more answers come, then for the next status of the node."""
        quiet_s = max(_QUIET_S, 5 * (recorder.recent_latency() or 0.0))
        answered = -1
        while answered != recorder.answered:
            answered = recorder.answered
            self._wait_for(lambda: recorder.answered == recorder.sent, quiet_s)
        before = self.status
        self._wait_for(lambda: self.status is not before, _STATUS_TIMEOUT_S)

    def _wait_until_due(self, index: int, due: float, period: float) -> None:
        """Wait until a frame is due; publish odometry meanwhile."""
        if self._costmaps is not None and index:
            for step in range(1, _ODOMETRY_PER_IMAGE):
                share = step / _ODOMETRY_PER_IMAGE
                left = due - (1 - share) * period - time.monotonic()
                if left > 0:  # a late player skips it
                    time.sleep(left)
                    header = Header(stamp=self._clock.now().to_msg())
                    self._odometry.publish(odometry_to_msg(header.stamp, self._costmaps.track.before(index, share)))
        time.sleep(max(0.0, due - time.monotonic()))

    def _publish_pose_and_camera(self, index: int, name: str, header: Header) -> None:
        """Publish the pose and the calibration of the camera, before its image."""
        if self._costmaps is None:
            return
        track = self._costmaps.track
        self._costmaps.record_sent(name, stamp_nanoseconds(header))
        self._odometry.publish(odometry_to_msg(header.stamp, track.poses[index]))
        self._cameras.publish(camera_to_msg(header, track.camera))

    def _image_message(self, image: np.ndarray) -> Image:
        header = Header(stamp=self._clock.now().to_msg(), frame_id=FRAME_ID)
        return image_to_msg(header, image, "bgr8")

    def _on_labels(self, message: Image) -> None:
        now = time.monotonic()
        self._probe_answered.set()
        if self._recorder is not None:
            self._recorder.record_answer(stamp_nanoseconds(message.header), decode_ids(message), now)

    def _on_costmap(self, message: CostmapLayers) -> None:
        costmaps, names = self._costmaps, [layer.name for layer in message.layers]
        if costmaps is None or not names or names != costmaps.layer_names:
            return
        info = message.info
        percent = np.stack([np.frombuffer(layer.data, np.int8) for layer in message.layers])
        costmaps.record_layers(
            stamp_nanoseconds(message.header),
            percent.reshape(-1, info.height, info.width),
            (info.origin.position.x, info.origin.position.y),
            float(info.resolution),
        )

    def _on_status(self, message: EngineStatus) -> None:
        self.status = message
        if self._switcher is not None:
            self._switcher.on_status(message)

    @staticmethod
    def _wait_for(is_done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not is_done() and time.monotonic() < deadline:
            time.sleep(_POLL_S)


@contextmanager
def open_player(domain_id: int, costmaps: Optional[CostmapRecorder] = None) -> Iterator[Player]:
    """Open a player in a ROS domain, with a thread that receives; both end with the block."""
    context = rclpy.Context()
    # Python handles Ctrl-C, so that it unwinds through the blocks that stop the node.
    rclpy.init(
        args=log_arguments(), context=context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO
    )
    node = rclpy.create_node("espnet_player", context=context)
    player = Player(node, costmaps)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    listener = threading.Thread(target=_spin, args=(executor,), name="player")
    listener.start()
    try:
        yield player
    finally:
        executor.shutdown()
        rclpy.try_shutdown(context=context)
        listener.join()
        node.destroy_node()


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException):
        executor.spin()
