"""What replaces a costmap that must not be trusted any longer: grids without obstacles, and clouds without points."""

from __future__ import annotations

from array import array
from typing import Any, Dict

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from espnet_ros.msg import ClassLayer, CostmapHeartbeat, CostmapLayers
from espnet_ros.ros.grid_messages import ray_ends_to_msg, xy_to_msg

_FREE, _UNKNOWN = 0, 255  # of a byte; as int8, unknown is -1
HEARTBEAT_TOPIC = "costmap_heartbeat"
"""Topic of the node's heartbeat, in the node's private namespace."""
HEARTBEAT_PERIOD = 0.2
"""Time between two heartbeats, in seconds."""


def cleared_grids(heartbeat: CostmapHeartbeat, stamp: Time) -> Dict[str, Any]:
    """Return the cleared grids, and the message of all layers, by topic.

    Args:
        heartbeat: describes the costmaps.
        stamp: of the grids.
    """
    described = heartbeat.cleared
    header = Header(stamp=stamp, frame_id=described.header.frame_id)
    cells = described.info.width * described.info.height
    free, unknown = (array("b", bytes([value]) * cells) for value in (_FREE, _UNKNOWN))
    layers = [
        ClassLayer(
            name=layer.name, kind=layer.kind, cost=layer.cost, class_ids=layer.class_ids,
            class_names=layer.class_names, data=unknown,
        )
        for layer in described.layers
    ]  # fmt: skip
    grids: Dict[str, Any] = {
        topic: OccupancyGrid(header=header, info=described.info, data=unknown) for topic in heartbeat.layer_topics
    }
    grids[heartbeat.layers_topic] = CostmapLayers(header=header, info=described.info, layers=layers, merged=free)
    grids[heartbeat.costmap_topic] = OccupancyGrid(header=header, info=described.info, data=free)
    return grids


def cleared_clouds(heartbeat: CostmapHeartbeat, stamp: Time) -> Dict[str, PointCloud2]:
    """Return the clouds that end the obstacles of the costmaps, by topic.

    Args:
        heartbeat: describes the clouds.
        stamp: of the clouds.
    """
    header = Header(stamp=stamp, frame_id=heartbeat.base_frame)
    clouds = {topic: xy_to_msg(header, np.zeros((0, 2)), 0.0) for topic in heartbeat.points_topics}
    clouds[heartbeat.clearing_topic] = ray_ends_to_msg(header, heartbeat.clearing_range, heartbeat.clearing_cell)
    return clouds
