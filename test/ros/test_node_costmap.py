"""The costmap of the node, over DDS. The fake engine reads labels off the brightness, so they are known exactly."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import OccupancyGrid
from robot import LATCHED, RELIABLE
from scene import Box
from sensor_msgs.msg import CameraInfo, PointCloud2
from vehicle import CITYSCAPES, PARAMETERS, Vehicle, at, calibration, car, cells, has_car
from waiting import wait_until

from espnet_ros.msg import ClassLayer, CostmapLayers


@pytest.fixture(scope="module")
def node(start_node):
    return start_node(PARAMETERS)


@pytest.fixture(scope="module")
def vehicle(node, make_robot):
    robot = make_robot()
    wait_until(lambda: robot.state() == "active", "the node is active")
    return Vehicle(robot)


def test_the_merged_grid_has_lethal_graded_and_free_cells_where_they_are(vehicle):
    grid = vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    assert at(grid, 4.05, 0.05) == 0
    assert at(grid, 6.05, 4.05) == 70  # terrain
    assert at(grid, 9.05, 0.05) == 0  # in the car's shadow: unknown
    assert set(np.unique(cells(grid)).tolist()) == {0, 70, 100}


def test_a_grid_has_the_stamp_of_its_image_and_lies_on_whole_cells_of_odom(vehicle):
    stamp = vehicle.see()
    grid = wait_until(lambda: next((m for m in vehicle.costmaps.messages if m.header.stamp == stamp), None), "its grid")
    assert grid.header.frame_id == "odom"
    assert (grid.info.width, grid.info.height) == (200, 200)
    assert grid.info.resolution == pytest.approx(0.1)
    assert (grid.info.origin.position.x, grid.info.origin.position.y) == (pytest.approx(-10.0), pytest.approx(-10.0))
    assert grid.info.origin.orientation.w == 1.0


def test_a_layer_has_the_probability_of_its_class_and_unknown_elsewhere(vehicle):
    def sure(message):
        """Evidence grows image by image, the car's and the free road's each at its own rate."""
        return car(message) > 90 and 0 <= at(message, 4.05, 0.05) < 20

    cars = vehicle.see_until(vehicle.cars, sure, "the car is in its layer and the road before it is not")
    assert at(cars, 9.05, 0.05) == -1


def test_all_layers_come_in_one_message(vehicle):
    together = vehicle.robot.listen("costmap_layers", CostmapLayers, LATCHED)
    message = vehicle.see_until(together, lambda m: True, "costmap_layers")
    vehicle.robot.unlisten(together)
    layers = {layer.name: layer for layer in message.layers}
    assert list(layers) == ["road", "sidewalk", "structure", "pole", "vegetation", "terrain", "person", "vehicle"]
    assert (layers["vehicle"].kind, layers["vehicle"].cost) == (ClassLayer.STANDING, 100)
    assert list(layers["person"].class_names) == ["person", "rider"]
    assert list(layers["person"].class_ids) == [11, 12]
    assert (layers["road"].kind, layers["terrain"].cost) == (ClassLayer.FLAT, 70)
    assert all(len(layer.data) == len(message.merged) == 200 * 200 for layer in message.layers)
    assert (message.info.width, message.header.frame_id) == (200, "odom")


def test_contacts_come_as_points_of_the_base_frame_with_their_class(vehicle):
    clouds = vehicle.robot.listen("points", PointCloud2, RELIABLE)
    cloud = vehicle.see_until(clouds, lambda m: m.width > 5, "points")
    vehicle.robot.unlisten(clouds)
    assert cloud.header.frame_id == "base_link"
    assert [(field.name, field.offset) for field in cloud.fields] == [
        ("x", 0), ("y", 4), ("z", 8), ("class_id", 12), ("confidence", 13),
    ]  # fmt: skip
    raw = np.frombuffer(cloud.data, np.uint8).reshape(cloud.width, cloud.point_step)
    x, y, z = (raw[:, start : start + 4].copy().view(np.float32)[:, 0] for start in (0, 4, 8))
    assert np.median(np.abs(x - 6.0)) < 0.2
    assert np.abs(y).max() < 1.2
    assert z == pytest.approx(0.15)
    assert set(raw[:, 12]) == {CITYSCAPES.names.index("car")}


def test_what_was_seen_stays_in_place_while_the_robot_drives(vehicle):
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    vehicle.x = 0.57
    shifted = [Box(6.0 - 0.57, 8.0 - 0.57, -1.0, 1.0, 1.5)]
    moved = vehicle.see_until(
        vehicle.costmaps, lambda m: m.info.origin.position.x > -9.9, "the grid moves", boxes=shifted
    )
    assert has_car(moved)
    assert moved.info.origin.position.x == pytest.approx(-9.5)
    vehicle.x = 0.0
    vehicle.see_until(vehicle.costmaps, lambda m: m.info.origin.position.x < -9.9, "the grid moves back")


def test_when_images_end_a_cleared_grid_goes_out_and_diagnostics_say_why(vehicle):
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    wait_until(lambda: not cells(vehicle.costmaps.last).any(), "a cleared grid", timeout=5)
    wait_until(lambda: (cells(vehicle.cars.last) == -1).all(), "a cleared layer", timeout=5)
    found = wait_until(
        lambda: (d := vehicle.robot.diagnostic("costmap")) and "cleared" in d[0].message and d, "a diagnostic"
    )
    assert found[0].message == "cleared after 0.6 s without an update: no image was labelled"
    assert found[0].level == DiagnosticStatus.WARN
    late = vehicle.robot.listen("costmap", OccupancyGrid, LATCHED)
    assert not cells(wait_until(lambda: late.last, "what a late reader gets")).any()
    vehicle.robot.unlisten(late)
    vehicle.see_until(vehicle.costmaps, has_car, "the car is back")


def test_at_a_low_max_rate_the_costmap_does_not_flicker(vehicle):
    assert vehicle.robot.set(max_rate=0.8) == ""  # an image every 1.25 s, and a timeout of 0.6 s
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    vehicle.costmaps.messages.clear()

    def three_images():
        vehicle.see()
        return len({(m.header.stamp.sec, m.header.stamp.nanosec) for m in vehicle.costmaps.messages}) > 3

    wait_until(three_images, "three images in the costmap")
    assert all(has_car(message) for message in vehicle.costmaps.messages)
    assert vehicle.robot.set(max_rate=0.0) == ""


def test_a_calibration_of_zeros_gives_no_grid_but_a_diagnostic_and_labels_go_on(vehicle, node):
    vehicle.calibration = CameraInfo(height=120, width=160)
    count = len(vehicle.labels.messages)
    status, _ = vehicle.problem("camera fx must be above 0 pixel, is 0.0")
    assert status.level == DiagnosticStatus.WARN
    assert node.log.count("costmap: camera fx must be above 0 pixel, is 0.0") == 1
    assert len(vehicle.labels.messages) > count
    vehicle.calibration.k = [math.nan] * 9
    vehicle.problem("camera fx must be a finite number, is nan")
    vehicle.calibration = calibration()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is back")


def test_odometry_from_the_future_gives_no_grid_but_a_diagnostic(vehicle):
    wait_until(lambda: not cells(vehicle.costmaps.last).any(), "a cleared grid", timeout=5)
    vehicle.problem("odometry must be at most 0.1 s older than the image", with_odometry=False)
    count = len(vehicle.costmaps.messages)
    vehicle.see(odometry_late_by=30.0)
    vehicle.problem("odometry must reach back to the image's stamp", with_odometry=False)
    assert len(vehicle.costmaps.messages) == count


def test_an_odometry_that_jumps_empties_the_grid_and_is_named(vehicle):
    # the odometry of the test before is ahead: its clock goes back now, which is a jump of its own
    vehicle.see_until(vehicle.costmaps, has_car, "the car is back")
    vehicle.x = 40.0
    moved = vehicle.see_until(
        vehicle.costmaps, lambda m: m.info.origin.position.x > 20, "the grid is elsewhere", boxes=[]
    )
    assert (cells(moved) != 100).all()
    status, values = vehicle.problem("images added", boxes=[])
    assert status.level == DiagnosticStatus.OK
    assert "odometry jumped: it moved 40.0 m" in values["last_pose_jump"]
    vehicle.x = 0.0


def test_with_only_labels_listened_to_the_costmap_costs_nothing(vehicle):
    robot = vehicle.robot
    for recorder in (vehicle.costmaps, vehicle.cars):
        robot.unlisten(recorder)
    _, before = vehicle.problem("nobody listens")
    for _ in range(5):
        vehicle.see()
    _, after = vehicle.problem("nobody listens")
    assert after["updates"] == before["updates"]
    vehicle.costmaps = robot.listen("costmap", OccupancyGrid, LATCHED)
    vehicle.cars = robot.listen("costmap/vehicle", OccupancyGrid, LATCHED)


def test_when_the_readers_are_gone_nobody_listens_and_nothing_is_wrong(vehicle, node):
    robot = vehicle.robot
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    warnings = node.log.count("costmap cleared")
    for recorder in (vehicle.costmaps, vehicle.cars):
        robot.unlisten(recorder)
    wait_until(lambda: robot.diagnostic("costmap")[0].message == "nobody listens", "a diagnostic")
    first = len(robot.diagnostics.messages)
    end = robot.diagnostics.times[-1] + 3 * PARAMETERS["costmap_timeout"]
    wait_until(lambda: robot.diagnostics.times[-1] > end, "diagnostics after the costmap's time-out")
    statuses = [each for message in robot.diagnostics.messages[first:] for each in message.status]
    costmap = {(each.level, each.message) for each in statuses if each.name.endswith(": costmap")}
    assert costmap == {(DiagnosticStatus.OK, "nobody listens")}
    assert node.log.count("costmap cleared") == warnings
    vehicle.costmaps = robot.listen("costmap", OccupancyGrid, LATCHED)
    vehicle.cars = robot.listen("costmap/vehicle", OccupancyGrid, LATCHED)


def test_a_change_of_resolution_is_live_and_a_bad_one_is_refused(vehicle):
    reason = vehicle.robot.set(costmap_min_range=20.0)
    assert reason == "costmap_min_range must be below costmap_max_range, 12.0 m, is 20.0"
    assert vehicle.robot.set(costmap_resolution=0.2) == ""
    grid = vehicle.see_until(vehicle.costmaps, lambda m: m.info.width == 100 and m.data.count(100), "coarse cells")
    assert grid.info.resolution == pytest.approx(0.2)
    assert vehicle.robot.set(costmap_resolution=0.1) == ""


def test_a_costmap_made_anew_clears_what_the_old_one_left(vehicle):
    vehicle.costmaps.messages.clear()  # grids of the tests before lie elsewhere
    vehicle.see_until(vehicle.costmaps, lambda m: m.info.width == 200 and has_car(m), "the car is in the costmap")
    assert vehicle.robot.set(costmap_decay=9.0) == ""
    wait_until(lambda: not cells(vehicle.costmaps.last).any(), "a cleared grid", timeout=5)
    wait_until(lambda: (cells(vehicle.cars.last) == -1).all(), "a cleared layer", timeout=5)


def test_deactivation_clears_the_grid(vehicle):
    vehicle.costmaps.messages.clear()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    assert vehicle.robot.change_state("deactivate")
    wait_until(lambda: not cells(vehicle.costmaps.last).any(), "a cleared grid", timeout=5)
    assert vehicle.robot.change_state("activate")
    vehicle.costmaps.messages.clear()
    vehicle.see_until(vehicle.costmaps, has_car, "the car is back")


def test_a_killed_node_leaves_a_cleared_grid(vehicle, node):
    vehicle.see_until(vehicle.costmaps, has_car, "the car is in the costmap")
    assert node.end() == 0
    wait_until(lambda: not cells(vehicle.costmaps.last).any(), "a cleared grid", timeout=5)


def test_a_camera_that_looks_at_the_sky_makes_no_obstacle(start_node, make_robot):
    start_node({**PARAMETERS, "camera_pitch": math.radians(-60)}, namespace="sky")
    robot = make_robot("sky")
    wait_until(lambda: robot.state() == "active", "the node is active")
    vehicle = Vehicle(robot)
    vehicle.problem("camera must see ground between 0.5 and 12.0 m, sees none")
    assert all(not cells(message).any() for message in vehicle.costmaps.messages)
