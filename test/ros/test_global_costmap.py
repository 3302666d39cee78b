"""Our clouds in a model of Nav2's obstacle layer, with the shipped configuration of the global costmap."""

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

import yaml
from obstacle_layer import LETHAL, NO_INFORMATION, GlobalCostmap
from scene import TABLE
from std_msgs.msg import Header

from espnet_ros.config import NodeConfig
from espnet_ros.costmap.grid import FusionRules, RollingGrid
from espnet_ros.costmap.layers import GroundEvidence, layers_from_table
from espnet_ros.ros.costmap_publishers import CostmapPublishers

FILE = Path(__file__).resolve().parents[2] / "config" / "nav2_global_costmap.yaml"
GLOBAL = yaml.safe_load(FILE.read_text(encoding="utf-8"))["global_costmap"]["global_costmap"]["ros__parameters"]
LAYER = GLOBAL["semantic_layer"]
BOX = 2
SIZE, RESOLUTION, CORNER = 1400, 0.05, (-31.3, -33.7)  # a map of 70 m
OLD_LAYER = {
    "observation_sources": "espnet",
    "espnet": {
        "clearing": True, "min_obstacle_height": 0.0, "max_obstacle_height": 2.0, "obstacle_max_range": 12.0,
        "raytrace_max_range": 12.0,
    },
}  # fmt: skip


class Publisher:
    def __init__(self, topic):
        self.topic_name = topic
        self.last = None

    def publish(self, message):
        self.last = message

    def get_subscription_count(self):
        return 1


class Node:
    """What the publishers use of a node, without DDS."""

    def __init__(self):
        self.publishers = {}

    def create_publisher(self, kind, topic, qos):
        self.publishers[topic] = Publisher(topic)
        return self.publishers[topic]

    def get_clock(self):
        return self

    def now(self):
        return self

    def to_msg(self):
        return Header().stamp


class Robot:
    """A robot with our node, whose clouds reach the costmap, at a pose in the map; odometry drifts against the map."""

    def __init__(self, costmap, topics=None, **parameters):
        self.costmap = costmap
        self.topics = topics or {name: source["topic"].replace("/espnet", "~") for name, source in sources().items()}
        self.config = NodeConfig(**{"costmap_max_rate": 0.0, **parameters})
        step, resolution = self.config.costmap_origin_step, self.config.costmap_resolution
        size = (self.config.costmap_width, self.config.costmap_height)
        self.grid = RollingGrid(layers_from_table(TABLE), size, resolution, FusionRules(), step)
        self.node = Node()
        self.publishers = CostmapPublishers(self.node, self.config, TABLE, self.grid)
        self.pose = (0.0, 0.0, 0.0)
        self.map_from_odom = pose_matrix(1.37, -2.21, 0.3)
        self.now = 0.0

    def see(self, obstacles=()):
        """Add an image with obstacles at (x, y) in the base frame, and let the costmap update."""
        odom_from_base = np.linalg.inv(self.map_from_odom) @ pose_matrix(*self.pose)
        xy = np.array(obstacles, np.float32).reshape(-1, 2)
        layer = np.full(len(xy), BOX, np.uint8)
        nothing = np.empty(0, np.float32)
        evidence = GroundEvidence(
            nothing, nothing, np.empty(0, np.uint8), np.empty(0), xy[:, 0], xy[:, 1], layer, layer,
            np.full(len(xy), 255, np.uint8),
        )  # fmt: skip
        self.grid.center_on(*odom_from_base[:2, 3])
        self.grid.add(evidence, odom_from_base)
        self.publishers.publish(Header(), evidence, odom_from_base)
        self.deliver()

    def clear(self):
        """What the node does when images stop, and when it is deactivated."""
        self.grid.clear()
        self.publishers.publish_cleared()
        self.deliver()

    def deliver(self):
        self.now += 1.0
        for name, topic in self.topics.items():
            cloud = self.node.publishers[topic].last
            records = np.frombuffer(bytes(cloud.data), np.uint8).reshape(-1, cloud.point_step)
            points = records[:, :12].copy().view(np.float32).astype(float)
            in_map = points @ pose_matrix(*self.pose)[:3, :3].T + [*self.pose[:2], 0.0]
            self.costmap.sources[name].receive(in_map, self.pose[:2], self.now)
        self.costmap.update(self.now)


def sources():
    return {name: LAYER[name] for name in LAYER["observation_sources"].split()}


def pose_matrix(x, y, yaw):
    matrix = np.eye(4)
    matrix[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    matrix[:2, 3] = x, y
    return matrix


def empty_map():
    return np.zeros((SIZE, SIZE), np.uint8)


def ring(rng, count=150):
    """Obstacles anywhere within range of the camera, all around the robot."""
    angle, distance = rng.uniform(-math.pi, math.pi, count), rng.uniform(0.5, 12.0, count)
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle)])


def test_the_points_alone_would_leave_their_marks_for_good():
    robot = Robot(GlobalCostmap(empty_map(), CORNER, RESOLUTION, OLD_LAYER), {"espnet": "~/points"})
    robot.see([(5.0, 0.3), (7.0, -2.0)])
    robot.clear()
    assert np.count_nonzero(robot.costmap.master == LETHAL) == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_cleared_costmap_ends_every_mark_wherever_the_robot_has_driven_meanwhile(seed):
    rng = np.random.default_rng(seed)
    robot = Robot(GlobalCostmap(empty_map(), CORNER, RESOLUTION, LAYER))
    robot.pose = (*rng.uniform(-8.0, 8.0, 2), rng.uniform(-math.pi, math.pi))
    robot.see(ring(rng))
    assert np.count_nonzero(robot.costmap.master == LETHAL) > 100
    x, y, yaw = robot.pose
    robot.pose = (x + rng.uniform(-3.5, 3.5), y + rng.uniform(-3.5, 3.5), yaw + rng.uniform(-1.0, 1.0))
    robot.clear()
    assert not robot.costmap.master.any()


def test_every_obstacle_is_marked_where_it_is_and_where_it_no_longer_is_the_mark_ends():
    robot = Robot(GlobalCostmap(empty_map(), CORNER, RESOLUTION, LAYER))
    robot.pose = (2.0, 1.0, 0.7)
    x, y = (pose_matrix(*robot.pose) @ [6.0, 1.0, 0.0, 1.0])[:2]
    robot.see([(6.0, 1.0)])
    ((row, column),) = np.argwhere(robot.costmap.master == LETHAL)
    at = CORNER[0] + (column + 0.5) * RESOLUTION, CORNER[1] + (row + 0.5) * RESOLUTION
    assert math.hypot(at[0] - x, at[1] - y) < 0.12
    robot.grid.clear()  # as if ground had been seen there
    robot.see([])
    assert not robot.costmap.master.any()


def test_while_the_robot_drives_the_global_costmap_has_the_obstacles_of_the_grid_and_no_others():
    robot = Robot(GlobalCostmap(empty_map(), CORNER, RESOLUTION, LAYER))
    rng = np.random.default_rng(3)
    for index in range(12):  # 2 m and one update a second
        robot.pose = (-11.0 + 2.0 * index, 0.4 * index, 0.2 + 0.05 * index)
        robot.see(ring(rng, 20))
        marks = np.count_nonzero(robot.costmap.master == LETHAL)
        lethal = np.count_nonzero(robot.grid.merged() == 100)
        assert 0.95 * lethal <= marks <= lethal  # two centres may share a cell of a map that is turned
    robot.clear()
    assert not robot.costmap.master.any()


def test_unknown_cells_of_the_map_stay_unknown_and_its_walls_stay():
    static = empty_map()
    static[600:700, :] = NO_INFORMATION
    static[:, 900] = LETHAL
    robot = Robot(GlobalCostmap(static.copy(), CORNER, RESOLUTION, LAYER))
    robot.see([(5.0, 0.3)])
    robot.clear()
    assert np.array_equal(robot.costmap.master, static)


def test_humble_has_no_such_method_and_its_rays_make_unknown_cells_free():
    static = empty_map()
    static[600:700, :] = NO_INFORMATION
    robot = Robot(GlobalCostmap(static.copy(), CORNER, RESOLUTION, LAYER, distro="humble"))
    robot.see([(5.0, 0.3)])
    assert np.array_equal(robot.costmap.master, static), "method 2 does nothing on Humble"
    layer = {**LAYER, "combination_method": 1}
    robot = Robot(GlobalCostmap(static.copy(), CORNER, RESOLUTION, layer, distro="humble"))
    robot.see([(5.0, 0.3)])
    assert np.count_nonzero(robot.costmap.master == LETHAL) == 1
    robot.clear()
    assert not (robot.costmap.master == LETHAL).any()
    assert np.count_nonzero(robot.costmap.master == NO_INFORMATION) < np.count_nonzero(static == NO_INFORMATION)


def test_the_ranges_of_the_shipped_file_reach_the_corners_of_our_grid_and_5_m_further():
    config = NodeConfig()
    corner = math.hypot(config.costmap_width / 2 + 1.0, config.costmap_height / 2 + 1.0)
    assert corner <= LAYER["espnet_obstacles"]["obstacle_max_range"]
    assert corner + 5.0 <= LAYER["espnet_clearing"]["raytrace_max_range"]
    assert {source["topic"] for source in sources().values()} == {"/espnet/obstacle_points", "/espnet/clearing_points"}


@pytest.mark.parametrize("seed", range(3))
def test_the_rays_cross_every_cell_within_their_reach(seed):
    rng = np.random.default_rng(seed)
    costmap = GlobalCostmap(empty_map(), CORNER, RESOLUTION, LAYER)
    costmap.costs[:] = LETHAL
    robot = Robot(costmap)
    robot.pose = (*rng.uniform(-10.0, 10.0, 2), rng.uniform(-math.pi, math.pi))
    robot.clear()
    rows, columns = np.nonzero(costmap.costs == LETHAL)
    x, y = CORNER[0] + (columns + 0.5) * RESOLUTION, CORNER[1] + (rows + 0.5) * RESOLUTION
    assert np.hypot(x - robot.pose[0], y - robot.pose[1]).min() > 20.5
