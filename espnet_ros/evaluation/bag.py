"""Reads frames from bags and writes frames to bags, with the rosbags package instead of ROS."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import cv2
import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore

from espnet_ros.costmap.camera import CameraModel, camera_info_fields
from espnet_ros.errors import DatasetError, ImageError
from espnet_ros.evaluation.frames import Frame, check_labels
from espnet_ros.image_encoding import decode, decode_ids
from espnet_ros.types import ImageSize

IMAGE_TOPIC = "/camera/image_raw"
LABEL_TOPIC = "/camera/label_image"
CAMERA_INFO_TOPIC = "/camera/camera_info"
FRAME_ID = "camera_optical_frame"
STORE = get_typestore(Stores.ROS2_HUMBLE)
"""Message types that bags are written with. The types used here have not changed since Humble."""

_RAW, _COMPRESSED, _CAMERA_INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))
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
# Topics that a segmentation node publishes; none of them has camera images.
_OUTPUT_NAMES = ("label_image", "confidence", "overlay")
_MAX_PENDING = 100  # images kept in memory until their labels are read
_NS = 1_000_000_000


class _Topics(NamedTuple):
    images: str
    labels: str  # "" for none
    num_images: int


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


class BagFrames:
    """Frames of a rosbag2 or ROS 1 recording. An image and a label image belong together if their stamps are equal.

    Args:
        path: rosbag2 folder, or ROS 1 ``.bag`` file.
        image_topic: topic of the images, raw or compressed; "" selects the only one.
        label_topic: topic of the true labels, mono8; "" selects the only one that ends in ``/label_image``, if any.

    Raises:
        DatasetError: the bag cannot be read, has no such topic, or has several topics to select from.
    """

    def __init__(self, path: Path, image_topic: str = "", label_topic: str = "") -> None:
        self.name = str(path)
        self._path = path.expanduser()
        with self._open() as reader:
            self._topics = _choose_topics(reader, image_topic, label_topic, self.name)
        self.has_labels = bool(self._topics.labels)

    def __len__(self) -> int:
        return self._topics.num_images

    def __iter__(self) -> Iterator[Frame]:
        """See ``FrameSource``. With labels, a frame is yielded once both of its messages have been read."""
        images: Dict[int, np.ndarray] = {}
        labels: Dict[int, np.ndarray] = {}
        for topic, stamp, message in self._messages():
            try:
                if topic == self._topics.labels:
                    labels[stamp] = decode_ids(message)
                else:
                    images[stamp] = _bgr(message)
            except ImageError as error:
                raise DatasetError(f"bag {self.name}, {topic} at {_seconds(stamp)} s: {error}") from error
            if stamp in images and (not self.has_labels or stamp in labels):
                yield self._frame(stamp, images.pop(stamp), labels.pop(stamp, None))
            if len(images) > _MAX_PENDING:
                break
        if images:
            raise DatasetError(
                f"bag {self.name}: every image of {self._topics.images} needs a label image with the same stamp on "
                f"{self._topics.labels}, but {len(images)} have none, the first at {_seconds(min(images))} s"
            )

    def _frame(self, stamp: int, image: np.ndarray, labels: Optional[np.ndarray]) -> Frame:
        name = f"{stamp / _NS:.3f} s"
        if labels is not None:
            check_labels(labels, image, f"{self._topics.labels} at {name}")
        return Frame(name, stamp, image, labels)

    def _messages(self) -> Iterator[Any]:
        """Yield (topic, stamp in ns, message) in the order of recording."""
        wanted = {self._topics.images, self._topics.labels}
        with self._open() as reader:
            connections = [entry for entry in reader.connections if entry.topic in wanted]
            for connection, _, raw in reader.messages(connections):
                message: Any = reader.deserialize(raw, connection.msgtype)
                stamp = message.header.stamp
                yield connection.topic, stamp.sec * _NS + stamp.nanosec, message

    def _open(self) -> AnyReader:
        # Bags of Humble and older have no message definitions; those of image messages have never changed.
        try:
            reader = AnyReader([self._path], default_typestore=STORE)
            reader.open()
            reader.close()
        except (AnyReaderError, OSError, KeyError, ValueError) as error:
            raise DatasetError(f"bag {self.name}: cannot be read: {error}") from error
        return reader


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
        DatasetError: the folder exists or cannot be written.
    """
    try:
        # The oldest version that rosbags writes: newer ROS reads older bags, but not the other way round.
        with Writer(path.expanduser(), version=8, storage_plugin=_plugin(storage)) as writer:
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


def _choose_topics(reader: AnyReader, image_topic: str, label_topic: str, name: str) -> _Topics:
    kinds = {entry.topic: entry.msgtype for entry in reader.connections if entry.msgtype in (_RAW, _COMPRESSED)}
    counts = {topic: found.msgcount for topic, found in reader.topics.items()}
    for asked in filter(None, (image_topic, label_topic)):
        if asked not in kinds:
            raise DatasetError(f"bag {name}: topic {asked} must be one of its image topics: {_listed(kinds)}")
    label_topics = [topic for topic, kind in kinds.items() if kind == _RAW and topic.endswith("/label_image")]
    labels = label_topic or _only([topic for topic in label_topics if counts[topic]], "label topic", name)
    cameras = [topic for topic in kinds if topic != labels and topic.rsplit("/", 1)[-1] not in _OUTPUT_NAMES]
    images = image_topic or _only([topic for topic in cameras if counts[topic]], "image topic", name)
    if not images:
        raise DatasetError(f"bag {name}: must have a topic of images, has {_listed(counts)}")
    return _Topics(images, labels, counts[images])


def _only(topics: List[str], what: str, name: str) -> str:
    """Return the only topic of a list; "" if the list is empty."""
    if len(topics) > 1:
        option = "--" + what.replace(" ", "-")
        raise DatasetError(f"bag {name}: has more than one {what}: {_listed(topics)}; select one with {option}")
    return topics[0] if topics else ""


def _listed(topics: Iterable[str]) -> str:
    return ", ".join(sorted(topics)) or "none"


def _bgr(message: Any) -> np.ndarray:
    pixels, channel_order = decode(message)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)) if channel_order == "rgb" else pixels


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // _NS}.{stamp_ns % _NS:09d}"


def _plugin(storage: str) -> StoragePlugin:
    return {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}[storage]
