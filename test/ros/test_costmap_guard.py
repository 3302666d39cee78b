"""The node is killed while Nav2 has its costmaps: the guard clears them. All over DDS, in processes of their own."""

import signal

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from robot import LATCHED, NodeProcess
from sensor_msgs.msg import PointCloud2
from vehicle import PARAMETERS, Vehicle, cells, has_car
from waiting import wait_until

from espnet_ros.msg import CostmapLayers

AS_STATIC_LAYER = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
"""The subscription of StaticLayer (nav2_costmap_2d 1.3.13) with its default, map_subscribe_transient_local."""
AS_OBSTACLE_LAYER = qos_profile_sensor_data
SPACE = "guarded"


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    log = tmp_path_factory.mktemp("guard") / "log.txt"
    process = NodeProcess(log, {}, SPACE, program=("-m", "espnet_ros.ros.costmap_guard"))
    yield process
    if process.is_alive():
        process.end()


@pytest.fixture(scope="module")
def start(start_node):
    """Starts the node, again after each kill."""
    return lambda: start_node({**PARAMETERS, "costmap_timeout": 60.0}, SPACE)


@pytest.fixture(scope="module")
def vehicle(guard, start, make_robot):
    robot = make_robot(SPACE)
    robot.first_node = start()
    wait_until(lambda: robot.state() == "active", "the node is active")
    return Vehicle(robot)


@pytest.fixture(scope="module")
def nav2(vehicle):
    """What the layers of Nav2 receive."""
    robot = vehicle.robot
    return {
        "costmap": robot.listen("costmap", OccupancyGrid, AS_STATIC_LAYER),
        "layers": robot.listen("costmap_layers", CostmapLayers, LATCHED),
        **{name: robot.listen(name, PointCloud2, AS_OBSTACLE_LAYER) for name in ("points", "obstacle_points")},
        "clearing_points": robot.listen("clearing_points", PointCloud2, AS_OBSTACLE_LAYER),
    }


def guards_heartbeats(vehicle):
    return vehicle.robot.node.count_subscribers(f"/{SPACE}/espnet/costmap_heartbeat")


def grids_of_a_late_reader(vehicle, ends_with_a_new_one=True):
    """All grids that a subscriber gets that comes now: the latched ones of every publisher, and perhaps a new one."""
    late = vehicle.robot.listen("costmap", OccupancyGrid, AS_STATIC_LAYER)
    wait_until(lambda: late.messages, "a latched grid")
    if ends_with_a_new_one:  # what is latched comes before it
        vehicle.see_until(late, lambda m: m.header.stamp != late.messages[0].header.stamp, "a new grid")
    vehicle.robot.unlisten(late)
    return late.messages


def test_while_the_node_lives_the_guard_has_no_grid_that_a_late_reader_could_get(vehicle, nav2):
    wait_until(lambda: guards_heartbeats(vehicle) == 1, "the guard listens")
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    wait_until(
        lambda: len(vehicle.robot.node.get_publishers_info_by_topic(f"/{SPACE}/espnet/costmap")) == 2,
        "the guard is ready to publish",
    )
    assert all(has_car(grid) for grid in grids_of_a_late_reader(vehicle))


def test_after_sigkill_every_costmap_is_cleared(vehicle, nav2, guard):
    vehicle.see_until(nav2["obstacle_points"], lambda m: m.width > 5, "the car is in the points")
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    last = vehicle.costmaps.last
    nav2["clearing_points"].messages.clear()
    vehicle.robot.first_node.end(signal.SIGKILL)
    wait_until(lambda: not cells(nav2["costmap"].last).any(), "a cleared grid")
    wait_until(lambda: (cells(vehicle.cars.last) == -1).all(), "a cleared layer")
    wait_until(lambda: not any(nav2["layers"].last.merged), "all layers cleared")
    wait_until(lambda: not nav2["points"].last.width and not nav2["obstacle_points"].last.width, "no points")
    wait_until(lambda: nav2["clearing_points"].messages, "rays that clear the marks")
    cleared = nav2["costmap"].last
    assert (cleared.header.frame_id, cleared.info.origin) == (last.header.frame_id, last.info.origin)
    assert (cleared.info.width, cleared.info.height) == (last.info.width, last.info.height)
    assert nav2["layers"].last.layers[0].class_names == ["road"]
    assert "no heartbeat of /guarded/espnet/costmap for 1 s" in guard.log


def test_a_late_reader_gets_the_cleared_grid_while_the_node_is_away(vehicle):
    grids = grids_of_a_late_reader(vehicle, ends_with_a_new_one=False)
    assert not any(cells(grid).any() for grid in grids)


def test_when_the_node_is_back_the_cleared_grids_are_withdrawn(vehicle, start, guard):
    vehicle.robot.second_node = start()
    wait_until(lambda: "the heartbeat of the costmap is back" in guard.log, "the guard hears the new node")
    wait_until(lambda: vehicle.robot.state() == "active", "the node is active")
    vehicle.costmaps.messages.clear()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap again")
    for _ in range(3):
        assert all(has_car(grid) for grid in grids_of_a_late_reader(vehicle))


def test_a_node_that_hangs_is_cleared_too_and_takes_over_when_it_goes_on(vehicle, guard):
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    node = vehicle.robot.second_node
    node.send(signal.SIGSTOP)
    try:
        wait_until(lambda: not cells(vehicle.costmaps.last).any(), "a cleared grid")
    finally:
        node.send(signal.SIGCONT)
    wait_until(lambda: guard.log.count("the heartbeat of the costmap is back") == 2, "the guard hears the node again")
    vehicle.costmaps.messages.clear()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is back")


def test_deactivate_clears_grid_and_points_without_the_guard(vehicle, nav2, guard):
    vehicle.see_until(nav2["obstacle_points"], lambda m: m.width > 5, "the car is in the points")
    nav2["clearing_points"].messages.clear()
    assert vehicle.robot.change_state("deactivate")
    wait_until(lambda: not cells(nav2["costmap"].last).any(), "a cleared grid")
    wait_until(lambda: not nav2["obstacle_points"].last.width, "no points")
    wait_until(lambda: nav2["clearing_points"].messages, "rays that clear the marks")
    assert guard.log.count("no heartbeat") == 2


def test_a_guard_that_is_stopped_right_after_the_kill_still_clears(guard, vehicle):
    assert vehicle.robot.change_state("activate")
    vehicle.costmaps.messages.clear()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is back")
    vehicle.robot.second_node.end(signal.SIGKILL)
    assert guard.end() == 0  # as a launch ends that fails with its node
    wait_until(lambda: not cells(vehicle.costmaps.last).any(), "a cleared grid")
    assert "Traceback" not in guard.log


@pytest.mark.parametrize(
    "environment",
    [
        {"ROS_LOG_DIR": "/proc/x"},
        {"ROS_LOG_DIR": "", "ROS_HOME": "", "HOME": ""},
    ],
    ids=["a log folder that cannot be written", "no home"],
)
def test_the_guard_starts_without_a_place_for_log_files(tmp_path, make_robot, environment):
    space = "without_log_files"
    program = ("-m", "espnet_ros.ros.costmap_guard")
    guard = NodeProcess(tmp_path / "log.txt", {}, space, environment, program)
    node = make_robot(space).node
    try:
        wait_until(
            lambda: node.count_subscribers(f"/{space}/espnet/costmap_heartbeat") or not guard.is_alive(),
            "the guard listens",
        )
    finally:
        assert guard.end() == 0, guard.log
    assert "Traceback" not in guard.log
