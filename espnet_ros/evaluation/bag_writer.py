"""Writes frames and other messages to bags, with the rosbags package instead of ROS."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from espnet_ros.costmap.camera import CameraModel, camera_info_fields
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag_storage import STORE
from espnet_ros.evaluation.frames import Frame
from espnet_ros.resources import expand_user
from espnet_ros.types import ImageSize

IMAGE_TOPIC = "/camera/image_raw"
LABEL_TOPIC = "/camera/label_image"
CAMERA_INFO_TOPIC = "/camera/camera_info"
FRAME_ID = "camera_optical_frame"

_RAW, _CAMERA_INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
FRAME_TOPICS = {IMAGE_TOPIC: _RAW, LABEL_TOPIC: _RAW, CAMERA_INFO_TOPIC: _CAMERA_INFO}
"""Topics of a bag of frames, and their types."""

_FOREVER = QosTime(9223372036, 854775807)  # ROS's value for an infinite duration
_LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    False,
)
_NS = 1_000_000_000


class BagMessage(NamedTuple):
    """A message to record.

    Attributes:
        topic: name of the topic.
        stamp_ns: time of the message and of its recording, in nanoseconds.
        content: the message, of a type of ``STORE``.
    """

    topic: str
    stamp_ns: int
    content: Any


def create_bag(
    frames: Iterable[Frame], path: Path, storage: str = "mcap", horizontal_fov: float = math.radians(60.0)
) -> int:
    """Write a rosbag2 with images (bgr8), labels (mono8) and the intrinsics of a pinhole camera.

    Args:
        frames: frames to write. Their stamps become the stamps and recording times of the messages.
        path: folder to create; it must not exist.
        storage: ``mcap`` or ``sqlite3``.
        horizontal_fov: assumed horizontal field of view of the camera, in radians.

    Returns:
        Number of frames written.

    Raises:
        DatasetError: the folder exists or cannot be written, or a frame cannot be read.
    """
    count = 0

    def messages() -> Iterator[BagMessage]:
        nonlocal count
        for frame in frames:
            matrix = pinhole_matrix(ImageSize(*frame.image.shape[:2]), horizontal_fov)
            camera = CameraModel(ImageSize(*frame.image.shape[:2]), *matrix[[0, 1, 0, 1], [0, 1, 2, 2]].tolist())
            yield from frame_messages(frame, camera)
            count += 1

    write_bag(messages(), path, storage, FRAME_TOPICS)
    return count


def write_bag(
    messages: Iterable[BagMessage], path: Path, storage: str, topics: Mapping[str, str], latched: Sequence[str] = ()
) -> None:
    """Write messages as a rosbag2.

    Args:
        messages: messages in recording order, on topics of ``topics``.
        path: folder to create; it must not exist.
        storage: ``mcap`` or ``sqlite3``.
        topics: message type by topic, such as ``sensor_msgs/msg/Image``.
        latched: topics that late subscribers also receive when the bag is played (reliable, transient local).

    Raises:
        DatasetError: the folder exists or cannot be written, or its path has characters that SQLite cannot take.
    """
    if storage == "sqlite3" and any(char in str(path) for char in "?#%"):
        # rosbags passes it to SQLite as part of a URI, and SQLite would write elsewhere
        raise DatasetError(f"bag {path}: a path for sqlite3 must not contain ?, # or %; use mcap or another path")
    try:
        # The oldest version that rosbags writes: newer ROS reads older bags, but not the other way round.
        with Writer(expand_user(path), version=8, storage_plugin=_plugin(storage)) as writer:
            connections = {
                topic: writer.add_connection(
                    topic, kind, typestore=STORE, offered_qos_profiles=(_LATCHED,) if topic in latched else ()
                )
                for topic, kind in topics.items()
            }
            for topic, stamp_ns, content in messages:
                kind = connections[topic].msgtype
                writer.write(connections[topic], stamp_ns, STORE.serialize_cdr(content, kind))
    except (WriterError, OSError) as error:
        raise DatasetError(f"bag {path}: cannot be written: {error}") from error


def pinhole_matrix(size: ImageSize, horizontal_fov: float) -> np.ndarray:
    """Return the (3, 3) float64 intrinsics of an ideal camera with its principal point at the centre of the image.

    Pixel centres have integer coordinates, as in sensor_msgs/CameraInfo, so the centre is at ``(width - 1) / 2``.

    Args:
        size: size of the image.
        horizontal_fov: angle between the left and the right edge of the image, in radians.
    """
    focal = size.width / 2 / math.tan(horizontal_fov / 2)
    return np.array([[focal, 0, (size.width - 1) / 2], [0, focal, (size.height - 1) / 2], [0, 0, 1]], np.float64)


def frame_messages(frame: Frame, camera: CameraModel) -> Iterator[BagMessage]:
    """Yield one frame's messages for ``FRAME_TOPICS``: intrinsics, image (bgr8) and, if it has any, labels (mono8)."""
    header = stamped_header(frame.stamp_ns, FRAME_ID)
    yield BagMessage(CAMERA_INFO_TOPIC, frame.stamp_ns, _camera_info(camera, header))
    yield BagMessage(IMAGE_TOPIC, frame.stamp_ns, _image(frame.image, "bgr8", header))
    if frame.labels is not None:
        yield BagMessage(LABEL_TOPIC, frame.stamp_ns, _image(frame.labels, "mono8", header))


def stamped_header(stamp_ns: int, frame_id: str) -> Any:
    """Return a std_msgs/Header."""
    seconds, nanoseconds = divmod(stamp_ns, _NS)
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def _image(pixels: np.ndarray, encoding: str, header: Any) -> Any:
    flat = np.ascontiguousarray(pixels).reshape(-1)
    height, width = pixels.shape[:2]
    return STORE.types[_RAW](
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=flat.size // height,
        data=flat,
    )


def _camera_info(camera: CameraModel, header: Any) -> Any:
    types, fields = STORE.types, camera_info_fields(camera)
    region = types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return types[_CAMERA_INFO](
        header=header,
        **{**fields, "d": np.array(fields["d"], np.float64)},
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def _plugin(storage: str) -> StoragePlugin:
    return {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}[storage]
