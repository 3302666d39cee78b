"""The node while stamps jitter, repeat, are missing, come from the future and start again, over DDS.

The map remembers a car that the camera has passed, so that only a map that was kept shows it.
"""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from vehicle import KEEPING, MINUTE, MS, Drive, Vehicle, answer, cells, has_car
from waiting import wait_until


@pytest.fixture(scope="module")
def node(start_node):
    return start_node(KEEPING)


@pytest.fixture(scope="module")
def driver(node, make_robot):
    robot = make_robot()
    wait_until(lambda: robot.state() == "active", "the node is active")
    return Drive(Vehicle(robot))


@pytest.fixture
def drive(driver):
    driver.pass_a_car()
    return driver


@pytest.mark.parametrize("steps", [(33, -5, 38, 33), (0, 0, 0, 33), (33, -900, 933), (500, -450, 50, 50, 400)], ids=str)
def test_jitter_and_repeated_stamps_keep_the_map(drive, steps):
    before = drive.jumps()
    for step in steps:
        drive.see(step, boxes=[])
    assert has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
    assert drive.jumps() == before


def test_images_without_a_stamp_are_labelled_and_reported_and_the_map_stays(drive):
    before, labels = drive.jumps(), len(drive.vehicle.labels.messages)
    status, _ = drive.vehicle.problem("image must have a time stamp, has 0", stamp=0, with_odometry=False)
    assert status.level == DiagnosticStatus.WARN
    assert len(drive.vehicle.labels.messages) > labels
    assert has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
    assert drive.jumps() == before


def test_odometry_without_a_stamp_is_reported_and_the_map_stays(drive):
    before = drive.jumps()
    drive.vehicle.send_odometry(0)
    drive.vehicle.problem("odometry: stamp must be above 0", with_odometry=False)
    assert has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
    assert drive.jumps() == before


@pytest.mark.parametrize("ahead", [5_000, 60 * MINUTE])
def test_one_image_from_the_future_is_labelled_and_the_map_stays(drive, ahead):
    before = drive.jumps()
    drive.vehicle.problem("odometry must be at most", stamp=(drive.now + ahead) * MS, with_odometry=False)
    for step in (33, -4, 33, 33):
        drive.see(step, boxes=[])
    assert has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
    assert drive.jumps() == before


def test_odometry_from_the_future_costs_one_clearing(drive):
    count, _ = drive.jumps()
    drive.vehicle.send_odometry((drive.now + 60 * MINUTE) * MS)
    assert not has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
    for step in (33, 33, -4, 33):
        drive.see(step, boxes=[])
    assert drive.jumps() == (count + 1, "odometry jumped: its time went back by 3600.0 s")


@pytest.mark.parametrize("back", [1_500, 10 * MINUTE])
def test_a_bag_that_starts_again_clears_the_map_once_and_says_so(drive, node, back):
    count, _ = drive.jumps()
    drive.see(-back, boxes=[])
    assert not has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
    drive.pass_a_car()
    found, text = drive.jumps()
    assert found == count + 1
    assert "time went back by" in text
    assert "costmap: cleared after a jump: odometry jumped: its time went back by" in node.log
    said = [s.message for m in drive.robot.diagnostics.messages for s in m.status if s.name.endswith(": costmap")]
    assert f"cleared after a jump: {text}" in said


def test_images_of_which_the_clock_was_set_back_alone_clear_the_map_once(drive):
    count, _ = drive.jumps()
    for step in (-5 * MINUTE, 33, 33, -2):
        drive.see(step, boxes=[], with_odometry=False)
    found, text = drive.jumps()
    assert found == count + 1
    assert text.startswith("images: time went back by ")
    assert not has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))


def test_a_step_forwards_keeps_the_map(drive):
    before = drive.jumps()
    drive.see(10 * MINUTE, boxes=[])
    assert has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))
    assert drive.jumps() == before


def test_a_slash_before_a_frame_makes_no_difference(drive):
    drive.vehicle.odometry_frame = "/odom"
    grid = drive.robot_sees(lambda m: True, "a costmap", boxes=[], frame_id="/camera_optical_frame")
    drive.vehicle.odometry_frame = "odom"
    assert has_car(grid)
    assert grid.header.frame_id == "odom"
    labels = answer(drive.vehicle.labels, grid.header.stamp)
    assert labels.header.frame_id == "camera_optical_frame"


def test_sim_time_works_without_a_clock_and_a_clock_that_goes_back_clears_the_map_without_an_image(
    start_node, make_robot
):
    node = start_node({**KEEPING, "use_sim_time": True}, namespace="sim")
    robot = make_robot("sim")
    wait_until(lambda: robot.state() == "active", "the node is active")
    drive = Drive(Vehicle(robot))
    drive.pass_a_car()
    assert drive.jumps() == (0, "none")
    assert robot.diagnostic("images")[0].message == "use_sim_time is set, but no time has come on /clock"
    clock = robot.node.create_publisher(Clock, "/clock", 10)
    wait_until(lambda: clock.get_subscription_count() > 0, "the node listens to /clock")

    def tick(seconds):
        clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))

    wait_until(lambda: tick(1000) or _stamp_of_diagnostics(robot) == 1000, "simulated time is 1000 s")
    drive.pass_a_car()
    assert drive.jumps() == (0, "none")
    drive.vehicle.costmaps.messages.clear()
    wait_until(lambda: tick(5) or drive.vehicle.costmaps.last, "a costmap, without an image")
    assert not cells(drive.vehicle.costmaps.last).any()
    count, text = drive.jumps()
    assert (count, text) == (1, "the node's clock went back, or changed between system and simulated time")
    assert f"costmap: cleared after a jump: {text}" in node.log
    assert not has_car(drive.robot_sees(lambda m: True, "a costmap", boxes=[]))


def _stamp_of_diagnostics(robot):
    names = [m for m in robot.diagnostics.messages if m.status[0].name.startswith("sim/espnet")]
    return names[-1].header.stamp.sec if names else None
