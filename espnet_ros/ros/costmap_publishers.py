"""Publishers of the costmap topics, and of the heartbeat by which ``espnet_costmap_guard`` knows that they live."""

from __future__ import annotations

import math
import time
from typing import Any, Dict, List

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from espnet_ros.classes import ClassTable
from espnet_ros.config import NodeConfig
from espnet_ros.costmap.grid import LETHAL, RollingGrid
from espnet_ros.costmap.layers import GroundEvidence
from espnet_ros.msg import CostmapHeartbeat, CostmapLayers
from espnet_ros.ros.cleared_costmap import HEARTBEAT_TOPIC, cleared_clouds, cleared_grids
from espnet_ros.ros.grid_messages import (
    contacts_to_msg,
    grid_to_msg,
    layers_to_msg,
    map_info,
    ray_ends_to_msg,
    xy_to_msg,
)
from espnet_ros.ros.publishers import LATCHED_QOS

_DELIVERY_TIMEOUT = 0.5  # s
_POINTS_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
_HEARTBEAT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
_DRIVEN_MEANWHILE = 5.0
"""Metres that the robot may drive between two clearing clouds: marks that have left the grid must still be reached."""


class CostmapPublishers:
    """Publishes grids, layers, points and heartbeat of one costmap. A topic without subscribers is not computed.

    Args:
        node: the node that publishes.
        config: the node's parameters.
        table: class table of the labels.
        grid: the grid to publish.
    """

    def __init__(self, node: Node, config: NodeConfig, table: ClassTable, grid: RollingGrid) -> None:
        self._node = node
        self._config = config
        self._table = table
        self._grid = grid
        create = node.create_publisher
        self._merged = create(OccupancyGrid, "~/costmap", LATCHED_QOS)
        self._layers: Dict[int, Any] = {
            index: create(OccupancyGrid, f"~/costmap/{layer.name}", LATCHED_QOS)
            for index, layer in enumerate(grid.layers)
        }
        self._together = create(CostmapLayers, "~/costmap_layers", LATCHED_QOS)
        self._contacts = create(PointCloud2, "~/points", _POINTS_QOS)
        self._obstacles = create(PointCloud2, "~/obstacle_points", _POINTS_QOS)
        self._clearing = create(PointCloud2, "~/clearing_points", _POINTS_QOS)
        self._heartbeat = create(CostmapHeartbeat, f"~/{HEARTBEAT_TOPIC}", _HEARTBEAT_QOS)
        self._description = self._describe()
        self._due_at = 0.0  # monotonic time, s

    def is_wanted(self) -> bool:
        """Return whether a costmap topic has a subscriber."""
        return any(publisher.get_subscription_count() > 0 for publisher in self._publishers())

    def publish(self, header: Header, evidence: GroundEvidence, odom_from_base: np.ndarray) -> None:
        """Publish what has subscribers, at most at ``costmap_max_rate`` what Nav2 reads.

        Args:
            header: provides the stamp.
            evidence: of the newest image.
            odom_from_base: (4, 4) pose of the base in the grid's frame.
        """
        in_base = Header(stamp=header.stamp, frame_id=self._config.base_frame)
        height = self._config.ground_height + self._config.costmap_min_obstacle_height
        if self._is_heard(self._contacts):
            self._contacts.publish(contacts_to_msg(in_base, evidence, height))
        in_grid = Header(stamp=header.stamp, frame_id=self._config.costmap_frame)
        info = map_info(self._grid, header.stamp)
        is_due, wants_all = self._take_turn(), self._is_heard(self._together)
        cells: Dict[int, np.ndarray] = {}
        for index, publisher in self._layers.items():
            is_wanted = is_due and self._is_heard(publisher)
            if is_wanted or wants_all:
                cells[index] = self._grid.occupancy(index)
            if is_wanted:
                publisher.publish(grid_to_msg(in_grid, info, cells[index]))
        wants_merged = is_due and self._is_heard(self._merged)
        wants_obstacles = is_due and self._is_heard(self._obstacles)
        merged = self._grid.merged() if wants_all or wants_merged or wants_obstacles else None
        if wants_merged and merged is not None:
            self._merged.publish(grid_to_msg(in_grid, info, merged))
        if wants_all and merged is not None:
            ordered = [cells[index] for index in sorted(cells)]
            self._together.publish(layers_to_msg(in_grid, info, self._grid.layers, ordered, merged, self._table))
        if wants_obstacles and merged is not None:
            centres = _in_base(self._grid.centres(merged == LETHAL), odom_from_base)
            self._obstacles.publish(xy_to_msg(in_base, centres, height))
        if is_due and self._is_heard(self._clearing):
            about = self._description
            self._clearing.publish(ray_ends_to_msg(in_base, about.clearing_range, about.clearing_cell))

    def _take_turn(self) -> bool:
        """Return whether ``costmap_max_rate`` allows grids now."""
        now, rate = time.monotonic(), self._config.costmap_max_rate
        if now < self._due_at:
            return False
        self._due_at = now + (1.0 / rate if rate > 0 else 0.0)
        return True

    def publish_cleared(self) -> None:
        """Publish cleared grids and clouds, also without subscribers: later ones receive the last grid (latched)."""
        stamp = self._node.get_clock().now().to_msg()
        heartbeat = self._now()
        messages = {**cleared_grids(heartbeat, stamp), **cleared_clouds(heartbeat, stamp)}
        for publisher in self._publishers():
            publisher.publish(messages[publisher.topic_name])

    def publish_heartbeat(self) -> None:
        """Tell `espnet_costmap_guard` that this node lives, and what a cleared costmap looks like."""
        if self._is_heard(self._heartbeat):
            self._heartbeat.publish(self._now())

    def _describe(self) -> CostmapHeartbeat:
        grid, step = self._grid, self._config.costmap_origin_step
        header, info = (
            Header(frame_id=self._config.costmap_frame),
            map_info(grid, self._node.get_clock().now().to_msg()),
        )
        empty = [np.zeros(0, np.int8)] * (len(grid.layers) + 1)
        heartbeat = CostmapHeartbeat(base_frame=self._config.base_frame)
        heartbeat.cleared = layers_to_msg(header, info, grid.layers, empty[1:], empty[0], self._table)
        heartbeat.costmap_topic = self._merged.topic_name
        heartbeat.layers_topic = self._together.topic_name
        heartbeat.layer_topics = [publisher.topic_name for publisher in self._layers.values()]
        heartbeat.points_topics = [publisher.topic_name for publisher in (self._contacts, self._obstacles)]
        heartbeat.clearing_topic = self._clearing.topic_name
        corner = math.hypot(self._config.costmap_width / 2 + step, self._config.costmap_height / 2 + step)
        heartbeat.clearing_range = corner + _DRIVEN_MEANWHILE
        heartbeat.clearing_cell = grid.resolution / 2
        return heartbeat

    def _now(self) -> CostmapHeartbeat:
        """Return the heartbeat with the place of the grid."""
        stamp = self._node.get_clock().now().to_msg()
        self._description.cleared.header.stamp = stamp
        self._description.cleared.info = map_info(self._grid, stamp)
        return self._description

    def close(self) -> None:
        """Destroy the publishers, after a last heartbeat."""
        if self._node.context.ok() and self._is_heard(self._heartbeat):
            self._description.is_last = True
            self._heartbeat.publish(self._now())
        deadline = time.monotonic() + _DELIVERY_TIMEOUT
        for publisher in (*self._publishers(), self._heartbeat):
            # Destroying a publisher discards undelivered messages, and the last one may be the cleared grid.
            if self._node.context.ok():
                publisher.wait_for_all_acked(Duration(seconds=max(deadline - time.monotonic(), 0.0)))
            self._node.destroy_publisher(publisher)

    @staticmethod
    def _is_heard(publisher: Any) -> bool:
        return bool(publisher.get_subscription_count() > 0)

    def _publishers(self) -> List[Any]:
        return [
            self._merged, self._together, self._contacts, self._obstacles, self._clearing, *self._layers.values(),
        ]  # fmt: skip


def _in_base(xy: np.ndarray, odom_from_base: np.ndarray) -> np.ndarray:
    """Convert (N, 2) points on the ground from the grid's frame to the base frame."""
    height = odom_from_base[2, 3]
    offsets = np.column_stack([xy, np.full(len(xy), height)]) - odom_from_base[:3, 3]
    return np.asarray((offsets @ odom_from_base[:3, :3])[:, :2])
