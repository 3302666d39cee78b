"""Pose of the camera at an image's stamp: from tf, or from odometry and a fixed mount."""

from __future__ import annotations

import importlib.util
import threading
import time
from abc import ABC, abstractmethod
from typing import Any, Dict, NamedTuple, Optional, Set

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from std_msgs.msg import Header

from espnet_ros.config import NodeConfig
from espnet_ros.costmap.pose import OdometryBuffer, mount_matrix, pose_matrix
from espnet_ros.errors import PoseError
from espnet_ros.headers import clean_frame, describe_restart, is_restart, is_stamped, stamp_nanoseconds

_ODOMETRY_QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)


class CameraPose(NamedTuple):
    """Pose of the camera at one time.

    Attributes:
        base_from_camera: (4, 4) pose of the optical frame in the base frame.
        odom_from_base: (4, 4) pose of the base in the costmap frame.
    """

    base_from_camera: np.ndarray
    odom_from_base: np.ndarray


class PoseSource(ABC):
    """Provides the camera's pose at any recent time, and notices when time starts again.

    Attributes:
        jumps: number of jumps so far: restarts of time, and of the odometry. After a jump, earlier poses are invalid.
        last_jump: description of the last jump; "" if there was none.
    """

    def __init__(self) -> None:
        self.jumps = 0
        self.last_jump = ""
        self._newest_image: Optional[int] = None
        self._jumped_at = float("-inf")
        # Poses arrive in the executor's thread, lookups come from the costmap's.
        self._lock = threading.RLock()

    def at(self, header: Header) -> CameraPose:
        """Return the camera's pose for an image.

        Raises:
            PoseError: the pose is unknown.
        """
        stamp = stamp_nanoseconds(header)
        with self._lock:
            if self._newest_image is not None and is_stamped(stamp) and is_restart(stamp, self._newest_image):
                self.restart(f"images: {describe_restart(stamp, self._newest_image)}")
            jumps = self.jumps
        pose = self._find(header)
        with self._lock:
            if jumps != self.jumps:
                raise PoseError(f"the image is from before a jump: {self.last_jump}")
            # Images without a pose do not count: their stamps may be wild.
            self._newest_image = max(stamp, self._newest_image or stamp)
        return pose

    def restart(self, reason: str) -> None:
        """Forget all poses, as time has started again, and count a jump. Called in any thread."""
        with self._lock:
            self._forget()
            self._count_jump(reason)

    def follow_clock(self) -> None:
        """Restart, as the node's clock went back; not if stamps have told so within the last second."""
        if time.monotonic() - self._jumped_at >= 1.0:
            self.restart("the node's clock went back, or changed between system and simulated time")

    def _count_jump(self, reason: str) -> None:
        self._newest_image = None
        self._jumped_at = time.monotonic()
        self.jumps += 1
        self.last_jump = reason

    @abstractmethod
    def close(self) -> None:
        """Unsubscribe."""

    @abstractmethod
    def _find(self, header: Header) -> CameraPose:
        """Return the camera's pose for an image, or raise PoseError. The lock is not held."""

    @abstractmethod
    def _forget(self) -> None:
        """Forget all poses. The lock is held."""


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

    poses = TfPoses(tf2_ros.Buffer(), tf2_ros.TransformException, config)
    poses.listener = tf2_ros.TransformListener(poses, node)
    return poses


class OdometryPoses(PoseSource):
    """Poses from odometry on ``odom`` and the camera's mount from the parameters."""

    def __init__(self, node: Node, config: NodeConfig) -> None:
        super().__init__()
        self._node = node
        self._frame = config.costmap_frame
        self._buffer = OdometryBuffer(config.pose_tolerance)
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

    def take(self, message: Odometry) -> None:
        """Add an odometry message; a subscription callback. An invalid message makes the next lookup fail."""
        if clean_frame(message.header.frame_id) != self._frame:
            self._last_error = f"odometry must be in costmap_frame '{self._frame}', is in '{message.header.frame_id}'"
            return
        position, orientation = message.pose.pose.position, message.pose.pose.orientation
        try:
            with self._lock:
                jumps = self._buffer.jumps
                self._buffer.add(
                    stamp_nanoseconds(message.header),
                    (position.x, position.y, position.z),
                    (orientation.x, orientation.y, orientation.z, orientation.w),
                )
                if self._buffer.jumps != jumps:
                    self._count_jump(self._buffer.last_jump)
            self._last_error = None
        except PoseError as error:
            self._last_error = f"odometry: {error}"

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _find(self, header: Header) -> CameraPose:
        if self._last_error is not None:
            raise PoseError(self._last_error)
        with self._lock:
            return CameraPose(self._mount, self._buffer.at(stamp_nanoseconds(header)))

    def _forget(self) -> None:
        self._buffer.clear()


class TfPoses(PoseSource):
    """Poses from tf.

    A tf2_ros.TransformListener hands each transform to this class, which adds it to the buffer. When time starts again,
    the buffer must be cleared: it ignores transforms that are 10 s older than its newest, and would mix the others with
    those from before. tf2 itself clears it from Jazzy on, if it was made with the node and ``/clock`` goes back.

    Args:
        buffer: a tf2_ros.Buffer.
        error_type: tf2_ros.TransformException.
        config: frame names, and how long to wait for a transform.

    Attributes:
        listener: the tf2_ros.TransformListener; `close` unregisters it.
    """

    def __init__(self, buffer: Any, error_type: Any, config: NodeConfig) -> None:
        super().__init__()
        self.listener: Any = None
        self._buffer = buffer
        self._error_type = error_type
        self._config = config
        self._camera_frame = ""
        self._parents: Dict[str, str] = {}
        self._newest: Dict[str, int] = {}  # stamps by child frame: broadcasters date differently, some into the future
        self._static: Dict[str, Any] = {}

    def set_transform(self, transform: Any, authority: str) -> None:
        """Add a transform of /tf; the listener calls it."""
        child, stamp = clean_frame(transform.child_frame_id), stamp_nanoseconds(transform.header)
        with self._lock:
            self._static.pop(child, None)
            self._parents[child] = clean_frame(transform.header.frame_id)
            newest = self._newest.get(child, stamp)
            if is_stamped(stamp):
                if not is_restart(stamp, newest):
                    self._newest[child] = max(stamp, newest)
                else:
                    if child in self._frames_between():
                        self.restart(f"transforms of '{child}': {describe_restart(stamp, newest)}")
                    self._newest[child] = stamp
            self._buffer.set_transform(transform, authority)

    def set_transform_static(self, transform: Any, authority: str) -> None:
        """Add a transform of /tf_static; the listener calls it."""
        child = clean_frame(transform.child_frame_id)
        with self._lock:
            self._static[child] = transform, authority
            self._parents[child] = clean_frame(transform.header.frame_id)
            self._buffer.set_transform_static(transform, authority)

    def close(self) -> None:
        """Unsubscribe."""
        if self.listener is not None:
            self.listener.unregister()

    def _find(self, header: Header) -> CameraPose:
        """See `PoseSource.at`. Waits up to ``pose_tolerance`` seconds for a late transform."""
        self._camera_frame, base = clean_frame(header.frame_id), self._config.base_frame
        if not self._camera_frame:
            raise PoseError(f"image must have a frame_id that tf knows, has '{header.frame_id}'")
        base_from_camera = self._look_up(base, self._camera_frame, header)
        base_from_camera[2, 3] -= self._config.ground_height
        return CameraPose(base_from_camera, self._look_up(self._config.costmap_frame, base, header))

    def _forget(self) -> None:
        self._newest.clear()
        self._buffer.clear()
        for transform, authority in self._static.values():  # whatever this release's clear() does with them
            self._buffer.set_transform_static(transform, authority)

    def _frames_between(self) -> Set[str]:
        """Return the frames whose transforms to their parents lie between camera, base and costmap frame.

        The clocks of other frames, such as those of another robot on the same /tf, say nothing about this map.
        """
        frames = self._camera_frame, self._config.base_frame, self._config.costmap_frame
        camera, base, fixed = (self._ancestors(frame) for frame in frames)
        return (camera ^ base) | (base ^ fixed)

    def _ancestors(self, frame: str) -> Set[str]:
        """Return a frame and all above it, without the root."""
        found: Set[str] = set()
        while frame in self._parents and frame not in found:
            found.add(frame)
            frame = self._parents[frame]
        return found

    def _look_up(self, target: str, source: str, header: Header) -> np.ndarray:
        try:
            found = self._buffer.lookup_transform(
                target, source, Time.from_msg(header.stamp), Duration(seconds=self._config.pose_tolerance)
            )
        except self._error_type as error:
            raise PoseError(f"no transform from '{source}' to '{target}' at the image's stamp: {error}") from error
        position, rotation = found.transform.translation, found.transform.rotation
        return pose_matrix((position.x, position.y, position.z), (rotation.x, rotation.y, rotation.z, rotation.w))
