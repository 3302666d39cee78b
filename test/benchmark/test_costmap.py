import numpy as np
import pytest

pytest.importorskip("rclpy", reason="builds messages: needs ROS 2 (rclpy)")

from espnet_ros.benchmark.costmap import measure_costmap, street_labels
from espnet_ros.classes import load_class_table
from espnet_ros.ros.grid_messages import list_messages


def test_every_layer_of_the_table_occurs_in_the_labels():
    table = load_class_table("cityscapes")
    layers = {table.classes[label].layer for label in np.unique(street_labels(table))}
    assert layers >= {"road", "sidewalk", "terrain", "structure", "pole", "vegetation", "person", "vehicle"}


def test_a_frame_takes_4_ms_with_the_table_warm_and_40_when_the_camera_moves():
    messages = []

    def build(costmap, stamp):
        messages[:] = list_messages(costmap, stamp)

    # another process may take the core for a while: the best of some medians is this code's own
    runs = [measure_costmap(build, rounds=25) for _ in range(6)]
    assert len(messages) == 9
    assert all(len(message.data) == 200 * 200 for message in messages)
    assert min(run["table warm"].median for run in runs) <= 4e-3
    assert min(run["camera moves every frame"].median for run in runs) <= 40e-3
