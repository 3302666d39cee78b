"""Pose of the camera at an image's stamp: from tf, or from odometry and a fixed mount."""

from __future__ import annotations

import importlib.util
import threading
from typing import Any, NamedTuple, Optional

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from std_msgs.msg import Header
from typing_extensions import Protocol

from espnet_ros.config import NodeConfig
from espnet_ros.costmap.pose import NANOSECONDS, OdometryBuffer, mount_matrix, pose_matrix
from espnet_ros.errors import PoseError

_ODOMETRY_QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)


class CameraPose(NamedTuple):
    """Pose of the camera at one time.

    Attributes:
        base_from_camera: (4, 4) pose of the optical frame in the base frame.
        odom_from_base: (4, 4) pose of the base in the costmap frame.
    """

    base_from_camera: np.ndarray
    odom_from_base: np.ndarray


class PoseSource(Protocol):
    """Provides the camera's pose at any recent time."""

    @property
    def jumps(self) -> int:
        """Number of jumps so far. After a jump, earlier poses are invalid."""

    @property
    def last_jump(self) -> str:
        """Description of the last jump; "" if there was none."""

    def at(self, header: Header) -> CameraPose:
        """Return the camera's pose for an image.

        Raises:
            PoseError: the pose is unknown.
        """

    def close(self) -> None:
        """Unsubscribe."""


def make_pose_source(node: Node, config: NodeConfig) -> PoseSource:
    """Return the source selected by ``pose_source``; ``auto`` selects tf if tf2_ros is installed.

    Raises:
        PoseError: tf is selected, but tf2_ros is not installed.
    """
    has_tf = importlib.util.find_spec("tf2_ros") is not None
    if config.pose_source == "tf" and not has_tf:
        raise PoseError("pose_source 'tf' needs the Python package tf2_ros, which is not installed; use 'odom'")
    if config.pose_source == "odom" or not has_tf:
        return OdometryPoses(node, config)
    import tf2_ros

    buffer = tf2_ros.Buffer()
    return TfPoses(buffer, tf2_ros.TransformException, config, tf2_ros.TransformListener(buffer, node))


class OdometryPoses:
    """Poses from odometry on ``odom`` and the camera's mount from the parameters."""

    def __init__(self, node: Node, config: NodeConfig) -> None:
        self._node = node
        self._frame = config.costmap_frame
        self._buffer = OdometryBuffer(config.pose_tolerance)
        self._lock = threading.Lock()  # odometry arrives in the executor's thread, lookups come from the worker's
        self._last_error: Optional[str] = None
        self._mount = mount_matrix(
            config.camera_x,
            config.camera_y,
            config.camera_z - config.ground_height,
            config.camera_roll,
            config.camera_pitch,
            config.camera_yaw,
        )
        self._subscription = node.create_subscription(Odometry, "odom", self.take, _ODOMETRY_QOS)

    @property
    def jumps(self) -> int:
        """Number of odometry jumps so far."""
        return self._buffer.jumps

    @property
    def last_jump(self) -> str:
        """Description of the last jump."""
        return self._buffer.last_jump

    def take(self, message: Odometry) -> None:
        """Add an odometry message; a subscription callback. An invalid message makes the next lookup fail."""
        if message.header.frame_id.lstrip("/") != self._frame:
            self._last_error = f"odometry must be in costmap_frame '{self._frame}', is in '{message.header.frame_id}'"
            return
        position, orientation = message.pose.pose.position, message.pose.pose.orientation
        try:
            with self._lock:
                self._buffer.add(
                    stamp_nanoseconds(message.header),
                    (position.x, position.y, position.z),
                    (orientation.x, orientation.y, orientation.z, orientation.w),
                )
            self._last_error = None
        except PoseError as error:
            self._last_error = f"odometry: {error}"

    def at(self, header: Header) -> CameraPose:
        """See `PoseSource.at`."""
        if self._last_error is not None:
            raise PoseError(self._last_error)
        with self._lock:
            return CameraPose(self._mount, self._buffer.at(stamp_nanoseconds(header)))

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)


class TfPoses:
    """Poses from tf.

    Args:
        buffer: a tf2_ros.Buffer.
        error_type: tf2_ros.TransformException.
        config: frame names, and how long to wait for a transform.
        listener: the listener that fills the buffer; `close` unregisters it.
    """

    def __init__(self, buffer: Any, error_type: Any, config: NodeConfig, listener: Any = None) -> None:
        self.jumps = 0  # tf2 itself discards transforms from before a jump of the clock
        self.last_jump = ""
        self._buffer = buffer
        self._error_type = error_type
        self._config = config
        self._listener = listener

    def at(self, header: Header) -> CameraPose:
        """See `PoseSource.at`. Waits up to ``pose_tolerance`` seconds for a late transform."""
        base = self._config.base_frame
        base_from_camera = self._look_up(base, header.frame_id, header)
        base_from_camera[2, 3] -= self._config.ground_height
        return CameraPose(base_from_camera, self._look_up(self._config.costmap_frame, base, header))

    def close(self) -> None:
        """Unsubscribe."""
        if self._listener is not None:
            self._listener.unregister()

    def _look_up(self, target: str, source: str, header: Header) -> np.ndarray:
        try:
            found = self._buffer.lookup_transform(
                target, source, Time.from_msg(header.stamp), Duration(seconds=self._config.pose_tolerance)
            )
        except self._error_type as error:
            raise PoseError(f"no transform from '{source}' to '{target}' at the image's stamp: {error}") from error
        position, rotation = found.transform.translation, found.transform.rotation
        return pose_matrix((position.x, position.y, position.z), (rotation.x, rotation.y, rotation.z, rotation.w))


def stamp_nanoseconds(header: Header) -> int:
    """Return a header's stamp in nanoseconds."""
    return int(header.stamp.sec) * NANOSECONDS + int(header.stamp.nanosec)
