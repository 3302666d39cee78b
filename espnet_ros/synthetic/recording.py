"""Save synthetic drives: as a rosbag2 with the topics of a robot, or as folders of images and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable, Iterator

import cv2
import numpy as np

from espnet_ros.costmap.pose import quaternion_of
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag_storage import STORE
from espnet_ros.evaluation.bag_writer import (
    FRAME_ID,
    FRAME_TOPICS,
    BagMessage,
    frame_messages,
    stamped_header,
    write_bag,
)
from espnet_ros.evaluation.frames import Frame
from espnet_ros.synthetic.drive import Mount, StreetFrame

ODOM_TOPIC = "/odom"
ODOM_FRAME = "odom"
BASE_FRAME = "base_link"

_TOPICS = {
    **FRAME_TOPICS,
    ODOM_TOPIC: "nav_msgs/msg/Odometry",
    "/tf": "tf2_msgs/msg/TFMessage",
    "/tf_static": "tf2_msgs/msg/TFMessage",
}


def record_drive(frames: Iterable[StreetFrame], mount: Mount, path: Path, storage: str = "mcap") -> int:
    """Write a drive as a rosbag2.

    The bag has the images, labels and camera_info of ``create_bag``, nav_msgs/Odometry on /odom, the same pose on /tf
    (odom to base_link), and the camera's mount on /tf_static (base_link to the optical frame).

    Args:
        frames: of one drive, in order.
        mount: pose of the camera on the robot.
        path: folder to create; it must not exist.
        storage: ``mcap`` or ``sqlite3``.

    Returns:
        Number of frames written.

    Raises:
        DatasetError: the folder exists or cannot be written.
    """
    count = 0

    def messages() -> Iterator[BagMessage]:
        nonlocal count
        for frame in frames:
            if count == 0:
                fixed = _transform(mount.base_from_camera, frame.stamp_ns, BASE_FRAME, FRAME_ID)
                yield BagMessage("/tf_static", frame.stamp_ns, fixed)
            yield BagMessage(
                "/tf", frame.stamp_ns, _transform(frame.odom_from_base, frame.stamp_ns, ODOM_FRAME, BASE_FRAME)
            )
            yield BagMessage(ODOM_TOPIC, frame.stamp_ns, _odometry(frame))
            yield from frame_messages(Frame(str(frame.index), frame.stamp_ns, frame.image, frame.labels), frame.camera)
            count += 1

    write_bag(messages(), path, storage, _TOPICS, latched=("/tf_static",))
    return count


def save_folders(frames: Iterable[StreetFrame], folder: Path, prefix: str = "") -> int:
    """Write a drive as PNG files of the same names in ``images`` and ``labels`` below a folder.

    Args:
        frames: of one drive.
        folder: created if missing; files of the same names are replaced.
        prefix: prepended to the file names, for several drives in one folder.

    Returns:
        Number of frames written.

    Raises:
        DatasetError: a file cannot be written.
    """
    count = 0
    for frame in frames:
        name = f"{prefix}{frame.index:06d}.png"
        for kind, pixels in (("images", frame.image), ("labels", frame.labels)):
            _save(folder / kind / name, pixels)
        count += 1
    return count


def _save(path: Path, pixels: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise DatasetError(f"image {path}: cannot be written: {error.strerror}") from error


def _transform(pose: np.ndarray, stamp_ns: int, parent: str, child: str) -> Any:
    types = STORE.types
    x, y, z = pose[:3, 3].tolist()
    transform = types["geometry_msgs/msg/Transform"](
        translation=types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z), rotation=_quaternion(pose[:3, :3])
    )
    stamped = types["geometry_msgs/msg/TransformStamped"](
        header=stamped_header(stamp_ns, parent), child_frame_id=child, transform=transform
    )
    return types["tf2_msgs/msg/TFMessage"](transforms=[stamped])


def _odometry(frame: StreetFrame) -> Any:
    types = STORE.types
    vector = types["geometry_msgs/msg/Vector3"]
    x, y, z = frame.odom_from_base[:3, 3].tolist()
    pose = types["geometry_msgs/msg/Pose"](
        position=types["geometry_msgs/msg/Point"](x=x, y=y, z=z), orientation=_quaternion(frame.odom_from_base[:3, :3])
    )
    twist = types["geometry_msgs/msg/Twist"](
        linear=vector(x=frame.speed, y=0.0, z=0.0), angular=vector(x=0.0, y=0.0, z=frame.yaw_rate)
    )
    return types["nav_msgs/msg/Odometry"](
        header=stamped_header(frame.stamp_ns, ODOM_FRAME),
        child_frame_id=BASE_FRAME,
        pose=types["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36)),
        twist=types["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=np.zeros(36)),
    )


def _quaternion(rotation: np.ndarray) -> Any:
    x, y, z, w = quaternion_of(rotation)
    return STORE.types["geometry_msgs/msg/Quaternion"](x=x, y=y, z=z, w=w)
