"""The robot around the node: camera, calibration and odometry, and what its costmaps show."""

import math
import time
from array import array
from functools import lru_cache

import numpy as np
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.time import Time
from robot import LATCHED, make_image
from scene import BOX, GRASS, PERSON, ROAD, SKY, Box, mount, render
from sensor_msgs.msg import CameraInfo
from waiting import wait_until

from espnet_ros.classes import load_class_table
from espnet_ros.costmap.camera import CameraModel
from espnet_ros.types import ImageSize

CAMERA = CameraModel(ImageSize(120, 160), 100.0, 100.0, 79.5, 59.5)
CITYSCAPES = load_class_table("cityscapes")
CLASS_OF = np.zeros(256, np.uint8)
CLASS_OF[[ROAD, GRASS, BOX, PERSON, SKY]] = [
    CITYSCAPES.names.index(n) for n in ("road", "terrain", "car", "person", "sky")
]
MS = 1_000_000  # ns
MINUTE = 60_000  # ms
SCENE = [Box(6.0, 8.0, -1.0, 1.0, 1.5)]
PARAMETERS = {
    "input_height": 120,
    "input_width": 160,
    "pose_source": "odom",
    "camera_z": 1.4,
    "camera_pitch": math.radians(10),
    "costmap_timeout": 0.6,
    "costmap_origin_step": 0.0,
    "costmap_max_rate": 0.0,
}


KEEPING = {
    **PARAMETERS,
    "costmap_timeout": 60.0,
    "diagnostics_period": 0.1,
    "costmap_decay": 0.0,
    "costmap_frame": "/odom",
    "base_frame": "/base_link",
}
"""A node whose map fades only when it must."""


class Vehicle:
    """The robot around the node: camera, calibration and odometry with one clock."""

    pose_topic = Odometry, "odom"

    def __init__(self, robot):
        self.robot = robot
        self.x = self.y = 0.0
        self.odometry_frame = "odom"
        self.calibration = calibration()
        node = robot.node
        self._camera_info = node.create_publisher(CameraInfo, "camera_info", 10)
        self._poses = node.create_publisher(*self.pose_topic, 10)
        wait_until(self._is_heard, "the node listens to camera_info and to poses")
        self.costmaps = robot.listen("costmap", OccupancyGrid, LATCHED)
        self.cars = robot.listen("costmap/vehicle", OccupancyGrid, LATCHED)
        self.labels = robot.listen("label_image")

    def _is_heard(self):
        return self._camera_info.get_subscription_count() > 0 and self._poses.get_subscription_count() > 0

    def see(self, boxes=SCENE, odometry_late_by=0.0, with_odometry=True, stamp=None, frame_id="camera_optical_frame"):
        """Publish one image with what belongs to it; returns its stamp. Stamps are nanoseconds, by default now."""
        now = self.robot.node.get_clock().now() if stamp is None else Time(nanoseconds=stamp)
        image = make_image(height=120, width=160, frame_id=frame_id)
        image.data = _pixels(tuple(boxes))
        image.header.stamp = now.to_msg()
        self.calibration.header = image.header
        self._camera_info.publish(self.calibration)
        if with_odometry:
            self.send_odometry(now.nanoseconds + round(odometry_late_by * 1e9))
        self.robot.camera().publish(image)
        return image.header.stamp

    def send_odometry(self, stamp):
        """Publish the robot's pose with a stamp in nanoseconds."""
        odometry = Odometry(child_frame_id="base_link")
        odometry.header.frame_id = self.odometry_frame
        odometry.header.stamp.sec, odometry.header.stamp.nanosec = stamp // 10**9, stamp % 10**9
        odometry.pose.pose.position.x, odometry.pose.pose.position.y = self.x, self.y
        odometry.pose.pose.orientation.w = 1.0
        self._poses.publish(odometry)

    def see_until(self, recorder, condition, what, **how):
        """Publish images until a message of a topic fulfils a condition; returns that message."""

        def found():
            self.see(**how)
            return next((m for m in reversed(recorder.messages) if condition(m)), None)

        return _poll_slowly(found, what)

    def problem(self, text, **how):
        """Publish images until /diagnostics says this of the costmap."""

        def found():
            self.see(**how)
            status = self.robot.diagnostic("costmap")
            return status if status and text in status[0].message else None

        return _poll_slowly(found, f"/diagnostics says '{text}'")


@lru_cache
def _pixels(boxes):
    labels = render(CAMERA, mount(1.4, 10.0), boxes)
    brightness = np.ceil((CLASS_OF[labels] + 0.5) * 256 / len(CITYSCAPES)).astype(np.uint8)
    return array("B", np.repeat(brightness[..., None], 3, axis=2).tobytes())


def _poll_slowly(condition, what):
    def slowly():
        time.sleep(0.04)
        return condition()

    return wait_until(slowly, what)


def calibration():
    message = CameraInfo(height=120, width=160, distortion_model="plumb_bob")
    message.k = [100.0, 0.0, 79.5, 0.0, 100.0, 59.5, 0.0, 0.0, 1.0]
    return message


def cells(message):
    return np.array(message.data, np.int8).reshape(message.info.height, message.info.width)


def at(message, x, y):
    """Value of a grid at a place in its frame; -1, as for what was not seen, outside of it."""
    origin = message.info.origin.position
    column = int((x - origin.x) // message.info.resolution)
    row = int((y - origin.y) // message.info.resolution)
    inside = 0 <= row < message.info.height and 0 <= column < message.info.width
    return int(cells(message)[row, column]) if inside else -1


def car(message):
    """Largest value where the car touches the ground, to within half a pixel: 6 m ahead that is 13 cm."""
    return max(at(message, x, 0.05) for x in (5.85, 5.95, 6.05, 6.15))


def has_car(message):
    return car(message) == 100


def answer(output, stamp):
    """The message of an output with this stamp; None if there is none within half a second."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        found = next((message for message in output.messages if message.header.stamp == stamp), None)
        if found:
            return found
        time.sleep(0.005)
    return None


class Drive:
    """A vehicle with a clock of its own, in milliseconds, that has passed a car."""

    def __init__(self, vehicle):
        self.vehicle = vehicle
        self.robot = vehicle.robot
        self.now = 1_700_000_000_000

    def see(self, ms=33, **how):
        """Publish an image ``ms`` after the newest one, and wait until it is labelled or seems lost."""
        self.now += ms
        labels = self.vehicle.labels
        labels.messages.clear()
        stamp = self.vehicle.see(stamp=self.now * MS, **how)
        answer(labels, stamp)
        return stamp

    def pass_a_car(self):
        """See the car, then drive past it."""
        self.vehicle.x = 0.0
        self.robot_sees(has_car, "the car is in the costmap", ms=1000)
        self.vehicle.x = 9.0
        self.robot_sees(lambda m: m.info.origin.position.x > -2 and has_car(m), "the car is behind", ms=1000, boxes=[])

    def robot_sees(self, condition, what, ms=33, **how):
        """Publish images until the costmap of one fulfils a condition; returns that costmap."""
        self.vehicle.costmaps.messages.clear()

        def found():
            grid = answer(self.vehicle.costmaps, self.see(ms, **how))
            return grid if grid and condition(grid) else None

        return wait_until(found, what)

    def jumps(self):
        """Number of jumps and the last one, as the next diagnostics report them."""
        name = f"{self.robot.target.lstrip('/')}: costmap"

        def count():
            return sum(status.name == name for m in list(self.robot.diagnostics.messages) for status in m.status)

        before = count()
        wait_until(lambda: count() > before + 1, "diagnostics")
        _, values = self.robot.diagnostic("costmap")
        return int(values["pose_jumps"]), values["last_pose_jump"]
