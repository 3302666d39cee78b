"""Publishes one camera's costmap topics."""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header

from espnet_ros.classes import ClassTable
from espnet_ros.config import NodeConfig, names_where
from espnet_ros.costmap.camera import CameraModel
from espnet_ros.costmap.costmap import Costmap, CostmapSettings
from espnet_ros.costmap.grid import UNKNOWN, FusionRules
from espnet_ros.costmap.layers import GroundEvidence, empty_evidence, layers_from_table
from espnet_ros.costmap.rectification import is_rectified
from espnet_ros.errors import CameraError, PoseError, describe_error
from espnet_ros.headers import NANOSECONDS, RESTART_AFTER, is_stamped, stamp_nanoseconds
from espnet_ros.msg import CostmapLayers
from espnet_ros.ros.camera_calibration import CalibrationCache
from espnet_ros.ros.grid_messages import contacts_to_msg, grid_to_msg, layers_to_msg, map_info
from espnet_ros.ros.poses import CameraPose, PoseSource, make_pose_source
from espnet_ros.ros.publishers import CAMERA_QOS, LATCHED_QOS
from espnet_ros.runtime.health import CostmapHealth
from espnet_ros.runtime.image_worker import Dropped, ImageWorker
from espnet_ros.types import ImageSize, Segmentation

_PARAMETERS = names_where(lambda rule: rule.changes_costmap)
_WARNING_PERIOD = 5.0  # s
_DELIVERY_TIMEOUT = 0.5  # s
_JOIN_TIMEOUT = 0.5  # s, for an image in progress when the costmap is closed
_ADDED = Dropped("added")
_NOT_ADDED = Dropped("not added")
_POINTS_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)


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
        self._grids_due_at = 0.0  # monotonic time, s
        self._info_subscription = node.create_subscription(
            CameraInfo, "camera_info", self._calibration.take, CAMERA_QOS
        )
        create = node.create_publisher
        self._merged = create(OccupancyGrid, "~/costmap", LATCHED_QOS)
        self._layers: Dict[int, Any] = {
            index: create(OccupancyGrid, f"~/costmap/{layer.name}", LATCHED_QOS)
            for index, layer in enumerate(self._costmap.layers)
        }
        self._together = create(CostmapLayers, "~/costmap_layers", LATCHED_QOS)
        self._points = create(PointCloud2, "~/points", _POINTS_QOS)
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
        return any(publisher.get_subscription_count() > 0 for publisher in self._publishers())

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
        self._publish(image.header, evidence)

    def _publish(self, header: Header, evidence: GroundEvidence) -> None:
        if self._points.get_subscription_count() > 0:
            in_base = Header(stamp=header.stamp, frame_id=self._config.base_frame)
            z = self._config.ground_height + self._config.costmap_min_obstacle_height
            self._points.publish(contacts_to_msg(in_base, evidence, z))
        grid = self._costmap.grid
        self._publish_grids(header, grid.occupancy, grid.merged, everything=False, is_due=self._take_turn())

    def _take_turn(self) -> bool:
        """Return whether ``costmap_max_rate`` allows grids now."""
        now, rate = time.monotonic(), self._config.costmap_max_rate
        if now < self._grids_due_at:
            return False
        self._grids_due_at = now + (1.0 / rate if rate > 0 else 0.0)
        return True

    def _publish_grids(
        self, header: Header, occupancy: Any, merged: Any, everything: bool, is_due: bool = True
    ) -> None:
        """Publish the grids.

        Args:
            header: provides the stamp.
            occupancy: returns a layer's grid for its index.
            merged: returns the merged grid.
            everything: also publish topics without subscribers; later subscribers receive the last message (latched).
            is_due: publish the single grids, not only the message with all layers.
        """
        in_grid = Header(stamp=header.stamp, frame_id=self._config.costmap_frame)
        info = map_info(self._costmap.grid, header.stamp)
        wants_all = everything or self._together.get_subscription_count() > 0
        cells: Dict[int, np.ndarray] = {}
        for index, publisher in self._layers.items():
            is_wanted = is_due and (everything or publisher.get_subscription_count() > 0)
            if is_wanted or wants_all:
                cells[index] = occupancy(index)
            if is_wanted:
                publisher.publish(grid_to_msg(in_grid, info, cells[index]))
        wants_merged = is_due and (everything or self._merged.get_subscription_count() > 0)
        if wants_all or wants_merged:
            merged_cells = merged()
            if wants_merged:
                self._merged.publish(grid_to_msg(in_grid, info, merged_cells))
            if wants_all:
                ordered = [cells[index] for index in sorted(cells)]
                self._together.publish(
                    layers_to_msg(in_grid, info, self._costmap.layers, ordered, merged_cells, self._table)
                )

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
                self._publish_empty()
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
            self._publish_empty()
            return True

    def begin(self) -> None:
        """Publish empty grids, which replace those of an earlier costmap.

        Nav2 also needs a first grid: it does not update a static layer that has never received one.
        """
        with self._lock:
            self._publish_empty()

    def _publish_empty(self) -> None:
        header = Header(stamp=self._node.get_clock().now().to_msg())
        shape = self._costmap.grid.rows, self._costmap.grid.columns
        self._publish_grids(
            header, lambda _index: np.full(shape, UNKNOWN, np.int8), lambda: np.zeros(shape, np.int8), everything=True
        )
        header.frame_id = self._config.base_frame
        self._points.publish(contacts_to_msg(header, empty_evidence(), 0.0))

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
            deadline = time.monotonic() + _DELIVERY_TIMEOUT
            for publisher in self._publishers():
                # Destroying a publisher discards undelivered messages, and the last one may be the cleared grid.
                if self._node.context.ok():
                    publisher.wait_for_all_acked(Duration(seconds=max(deadline - time.monotonic(), 0.0)))
                self._node.destroy_publisher(publisher)

    def _publishers(self) -> List[Any]:
        return [self._merged, self._together, self._points, *self._layers.values()]


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
