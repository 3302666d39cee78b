"""A bag with tf that plays again and again under simulated time, over DDS, with stand-ins for the buffers of tf2."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from tf_vehicle import PARAMETERS, TfVehicle, tf_environment
from vehicle import MS, answer, cells
from waiting import wait_until

START, TICK, PERIOD = 1_700_000_000_000, 20, 200  # ms: of the bag, between transforms and clocks, between images
LENGTHS = [2000, 11_000, 2000, 2000, 2000, 2000]  # ms; a buffer that is not cleared ignores what is 10 s older
LANE = 9.0
"""Metres from each round to the next, so that only a map that was cleared lacks the car of the round before."""


class Player:
    """Plays rounds of a bag: the clock and transforms, and images in lockstep with their labels."""

    def __init__(self, robot):
        self.vehicle = TfVehicle(robot)
        self._clock = robot.node.create_publisher(Clock, "/clock", 10)
        wait_until(lambda: self._clock.get_subscription_count() > 0, "the node listens to /clock")

    def play(self, number, length):
        """Play a round. Returns, for each image, milliseconds since the round's start and its grid, or None."""
        vehicle, grids = self.vehicle, []
        vehicle.x = LANE * number
        for ms in range(0, length + 1, TICK):
            stamp = (START + ms) * MS
            self._clock.publish(Clock(clock=Time(nanoseconds=stamp).to_msg()))
            if ms % PERIOD == 0:
                vehicle.labels.messages.clear()
                vehicle.costmaps.messages.clear()
                sent = vehicle.see(stamp=stamp - TICK // 2 * MS, with_odometry=False)  # before the transform after it
            vehicle.send_odometry(stamp)
            if ms % PERIOD == 0:
                wait_until(lambda: any(m.header.stamp == sent for m in vehicle.labels.messages), "labels")  # noqa: B023
                grids.append((ms, answer(vehicle.costmaps, sent)))
        return grids


def _cars(grid):
    """(N,) places of lethal cells along x, in metres."""
    columns = np.nonzero(cells(grid) == 100)[1]
    return grid.info.origin.position.x + (columns + 0.5) * grid.info.resolution


@pytest.mark.parametrize("distro", ["humble", "jazzy", "jazzy_with_node"])
def test_five_loops_keep_every_label_and_have_their_own_costmap_within_a_second(distro, start_node, make_robot):
    node = start_node({**PARAMETERS, "use_sim_time": True}, distro, environment=tf_environment(distro))
    robot = make_robot(distro)
    wait_until(lambda: robot.state() == "active", "the node is active")
    player = Player(robot)
    player.vehicle.see_until(player.vehicle.labels, lambda m: True, "the node hears images", stamp=(START - 500) * MS)
    for number, length in enumerate(LENGTHS):
        grids = player.play(number, length)
        places = [(ms, _cars(grid)) for ms, grid in grids if grid]
        first = next((ms for ms, cars in places if cars.size), None)
        assert first is not None and first <= 1000, (number, first, node.log)
        for ms, cars in places:
            assert (cars > LANE * number).all(), (number, ms, cars)
