"""Publishes one camera's costmap topics."""

from __future__ import annotations

import threading
import time
from typing import Dict, NamedTuple, Optional

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from espnet_ros.classes import ClassTable
from espnet_ros.config import NodeConfig, names_where
from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.costmap import Costmap, CostmapSettings
from espnet_ros.costmap.grid import FusionRules
from espnet_ros.costmap.layers import layers_from_table
from espnet_ros.costmap.rectification import is_rectified
from espnet_ros.errors import CameraError, PoseError, describe_error
from espnet_ros.headers import NANOSECONDS, RESTART_AFTER, is_stamped, stamp_nanoseconds
from espnet_ros.ros.camera_calibration import CalibrationCache
from espnet_ros.ros.costmap_publishers import CostmapPublishers
from espnet_ros.ros.poses import CameraPose, PoseSource, make_pose_source
from espnet_ros.ros.publishers import CAMERA_QOS
from espnet_ros.runtime.health import CostmapHealth
from espnet_ros.runtime.image_worker import Dropped, ImageWorker
from espnet_ros.types import ImageSize, Segmentation

_PARAMETERS = names_where(lambda rule: rule.changes_costmap)
_WARNING_PERIOD = 5.0  # s
_JOIN_TIMEOUT = 0.5  # s, for an image in progress when the costmap is closed
_ADDED = Dropped("added")
_NOT_ADDED = Dropped("not added")


class _LabelledImage(NamedTuple):
    header: Header
    segmentation: Segmentation
    generation: int


class CostmapOutput:
    """Adds images to the costmap, publishes grids, layers and contacts, and clears the grids when images stop.

    Images are added in a thread of their own, so that no label image waits for a transform. `update` is called in the
    image worker's thread, all other methods in the executor's; a lock serialises them.

    Args:
        node: the node that publishes.
        config: the node's parameters.
        table: class table of the labels.
        image_topic: full name of the images' topic.

    Raises:
        PoseError: the selected pose source is not installed.
    """

    def __init__(self, node: Node, config: NodeConfig, table: ClassTable, image_topic: str) -> None:
        self._node = node
        self._config = config
        self._table = table
        self._lock = threading.Lock()
        self._costmap = Costmap(layers_from_table(table), settings_from(config))
        self._poses: PoseSource = make_pose_source(node, config)
        self._calibration = CalibrationCache(
            is_rectified(config.image_is_rectified, image_topic),
            lambda text: self._warn("calibration", text),
        )
        self._images = ImageWorker(self._process, self._report_error, name="costmap")
        self._generation = 0  # counts what invalidates images that still wait
        self._jumps_seen = 0
        self._problem = self._cleared = ""
        self._warned_at: Dict[str, float] = {}
        self._updates = 0
        self._updated_at: Optional[float] = None
        self._info_subscription = node.create_subscription(
            CameraInfo, "camera_info", self._calibration.take, CAMERA_QOS
        )
        self._publishers = CostmapPublishers(node, config, table, self._costmap.grid)
        # Without arguments: the description of the jump that other callbacks get is broken in some releases of rclpy.
        self._clock_jump = node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-RESTART_AFTER), on_clock_change=True),
            pre_callback=self._poses.follow_clock,
        )
        self._images.start()

    def fits(self, config: NodeConfig, table: ClassTable) -> bool:
        """Return whether these parameters and classes need no new costmap."""
        is_same = all(getattr(config, name) == getattr(self._config, name) for name in _PARAMETERS)
        return is_same and table == self._table

    @property
    def needs_confidence(self) -> bool:
        """Whether `update` needs the confidence of the labels."""
        return self._costmap.needs_confidence

    def is_wanted(self) -> bool:
        """Return whether a costmap topic has a subscriber."""
        return self._publishers.is_wanted()

    def update(self, header: Header, segmentation: Segmentation) -> None:
        """Add one image and publish the topics that have subscribers, later and in another thread.

        The newest image wins. Errors of camera and pose are not raised, `health` reports them.
        """
        self._images.offer(_LabelledImage(header, segmentation, self._generation))

    def _process(self, image: _LabelledImage) -> Dropped:
        if image.segmentation.class_table != self._table:
            return _NOT_ADDED
        try:
            camera = self._calibration.camera(ImageSize(*image.segmentation.labels.shape))
            pose = self._pose(image.header)
            with self._lock:
                self._follow_jumps()
                if image.generation != self._generation:
                    return _NOT_ADDED
                self._add(image, camera, pose)
        except (CameraError, PoseError) as error:
            with self._lock:
                self._follow_jumps()
                if image.generation == self._generation:
                    self._problem = str(error)
                    self._warn(type(error).__name__, self._problem)
            return _NOT_ADDED
        return _ADDED

    def _report_error(self, error: Exception) -> None:
        if self._node.context.ok():
            self._problem = describe_error(error)
            self._warn(type(error).__name__, self._problem)

    def _warn(self, kind: str, text: str) -> None:
        """Log a warning, at most every 5 s for each kind."""
        now = time.monotonic()
        if now - self._warned_at.get(kind, float("-inf")) >= _WARNING_PERIOD:
            self._warned_at[kind] = now
            self._node.get_logger().warning(f"costmap: {text}")

    def _pose(self, header: Header) -> CameraPose:
        """Return the camera's pose for an image. Waits for a late transform; the lock is not held."""
        stamp = stamp_nanoseconds(header)
        if not is_stamped(stamp):
            raise PoseError(
                f"image must have a time stamp, has {stamp / NANOSECONDS:.0f}: its driver sets none, or uses simulated "
                "time without a /clock"
            )
        return self._poses.at(header)

    def _follow_jumps(self) -> bool:
        """Clear the costmap if time or the odometry has jumped. Return whether one has."""
        if self._poses.jumps == self._jumps_seen:
            return False
        self._jumps_seen = self._poses.jumps
        self._costmap.clear()
        self._warn("jump", f"cleared after a jump: {self._poses.last_jump}")
        return True

    def _add(self, image: _LabelledImage, camera: CameraModel, pose: CameraPose) -> None:
        evidence = self._costmap.update(
            image.segmentation.labels,
            image.segmentation.confidence,
            camera,
            pose.base_from_camera,
            pose.odom_from_base,
            stamp_nanoseconds(image.header),
        )
        self._problem = self._cleared = ""
        self._updates += 1
        self._updated_at = time.monotonic()
        self._publishers.publish(image.header, evidence, pose.odom_from_base)

    def clear_if_stale(self, timeout: float) -> bool:
        """Clear the costmap after a jump, or if its last update is older than ``timeout``.

        Args:
            timeout: in seconds.

        Returns:
            Whether it was cleared.
        """
        with self._lock:
            if self._follow_jumps() and self._updated_at is not None and self._node.context.ok():
                self._updated_at = None
                self._publishers.publish_cleared()
                return True
        updated_at = self._updated_at
        if updated_at is None or time.monotonic() - updated_at <= timeout:
            return False
        reason = (self._problem or "no image was labelled") if self.is_wanted() else "nobody listens"
        return self.clear(f"after {timeout:g} s without an update: {reason}")

    def clear(self, reason: str) -> bool:
        """Clear the costmap and publish it, so that no stale obstacle blocks the robot.

        Returns:
            Whether there was anything to clear.
        """
        with self._lock:
            self._generation += 1
            if self._updated_at is None or not self._node.context.ok():
                return False
            self._updated_at = None
            self._cleared = f"cleared {reason}"
            self._costmap.clear()
            self._publishers.publish_cleared()
            return True

    def begin(self) -> None:
        """Publish empty grids, which replace those of an earlier costmap.

        Nav2 also needs a first grid: it does not update a static layer that has never received one.
        """
        with self._lock:
            self._publishers.publish_heartbeat()  # first: the guard withdraws what it has published
            self._publishers.publish_cleared()

    def publish_heartbeat(self) -> None:
        """Tell `espnet_costmap_guard` that this node can still clear its costmap."""
        with self._lock:
            self._publishers.publish_heartbeat()

    def health(self) -> CostmapHealth:
        """Return the costmap's status."""
        return CostmapHealth(
            self._problem,
            self._cleared,
            self._poses.jumps,
            self._poses.last_jump,
            self._updates,
            self.is_wanted(),
            self._calibration.blind_share,
            self._calibration.image_is_rectified,
        )

    def close(self) -> None:
        """Destroy the publishers and subscriptions. An image that still waits for a transform is not added later."""
        self._clock_jump.unregister()
        with self._lock:
            self._generation += 1
        self._images.stop(_JOIN_TIMEOUT)
        with self._lock:
            self._poses.close()
            self._node.destroy_subscription(self._info_subscription)
            self._publishers.close()


def settings_from(config: NodeConfig) -> CostmapSettings:
    """Return the costmap settings of the parameters."""
    return CostmapSettings(
        size=(config.costmap_width, config.costmap_height),
        resolution=config.costmap_resolution,
        origin_step=config.costmap_origin_step,
        min_range=config.costmap_min_range,
        max_range=config.costmap_max_range,
        min_confidence=config.costmap_min_confidence,
        min_obstacle_height=config.costmap_min_obstacle_height,
        rules=FusionRules(hit=config.costmap_hit, miss=config.costmap_miss, decay=config.costmap_decay),
    )
