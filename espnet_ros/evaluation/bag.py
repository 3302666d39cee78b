"""Frames of bags. The bag's files are read in ``bag_storage.py``; ``bag_writer.py`` writes bags."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from espnet_ros.errors import DatasetError, ImageError, one_line
from espnet_ros.evaluation.bag_storage import STORE, BagMessages, seconds
from espnet_ros.evaluation.bag_writer import create_bag, pinhole_matrix, write_bag
from espnet_ros.evaluation.frames import Frame, check_labels
from espnet_ros.evaluation.losses import Loss, printable
from espnet_ros.image_encoding import decode, decode_ids
from espnet_ros.resources import expand_user

__all__ = ["STORE", "BagFrames", "create_bag", "pinhole_matrix", "write_bag"]

_RAW, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
# Topics that a segmentation node publishes, and depth; none of them has camera images.
_NO_CAMERAS = {"label_image", "confidence", "overlay", "compressedDepth"}
_MAX_LISTED = 20
_MAX_PENDING = 100  # images kept in memory until their labels are read, and the other way round
_MAX_UNREADABLE = 20  # images at the start of a bag: after so many, none is expected to be readable
_NS = 1_000_000_000


class _Topics(NamedTuple):
    images: str
    labels: str  # "" for none
    num_images: int


class BagFrames:
    """Frames of a rosbag2 or ROS 1 recording. An image and a label image belong together if their stamps are equal.

    What cannot be read of a damaged recording is left out.

    Args:
        path: rosbag2 folder or file, or ROS 1 ``.bag`` file.
        image_topic: topic of the images, raw or compressed; "" selects the only one.
        label_topic: topic of the true labels, mono8; "" selects the only one that ends in ``/label_image``, if any.

    Raises:
        DatasetError: the bag cannot be read, has no such topic, or has several topics to select from.
    """

    def __init__(self, path: Path, image_topic: str = "", label_topic: str = "") -> None:
        self.name = str(path)
        self._messages = BagMessages(expand_user(path), self.name)
        self._topics = self._choose_topics(image_topic, label_topic)
        self.has_labels = bool(self._topics.labels)

    def __len__(self) -> int:
        return self._topics.num_images

    @property
    def losses(self) -> Tuple[Loss, ...]:
        """What could not be read. Complete once all frames have been read."""
        return tuple(self._messages.losses)

    def __iter__(self) -> Iterator[Frame]:
        """See ``FrameSource``. With labels, a frame is yielded once both of its messages have been read."""
        images: Dict[int, np.ndarray] = {}
        labels: Dict[int, np.ndarray] = {}
        count = unlabelled = 0
        for topic, stamp, pixels in self._pixels():
            (labels if topic == self._topics.labels else images)[stamp] = pixels
            if stamp in images and (not self.has_labels or stamp in labels):
                yield self._frame(stamp, images.pop(stamp), labels.pop(stamp, None))
                count += 1
            if len(labels) > _MAX_PENDING:
                del labels[min(labels)]
            if len(images) > _MAX_PENDING:
                if not self._messages.losses:
                    break
                del images[min(images)]
                unlabelled += 1
        self._check_pending(images, unlabelled)
        self._check_count(count)

    def _pixels(self) -> Iterator[Tuple[str, int, np.ndarray]]:
        """Yield topic, stamp in ns and pixels of each image and label image that can be decoded."""
        wanted = {self._topics.images, self._topics.labels} - {""}
        unreadable, is_readable = 0, False
        for topic, _, message in self._messages.messages(wanted):
            stamp = message.header.stamp.sec * _NS + message.header.stamp.nanosec
            try:
                pixels = decode_ids(message) if topic == self._topics.labels else _bgr(message)
            except (ImageError, cv2.error) as error:
                self._messages.losses.add(Loss(f"{topic} at {seconds(stamp)} s", one_line(error), messages=1))
                unreadable += 1
                if unreadable >= _MAX_UNREADABLE and not is_readable:
                    return
                continue
            is_readable = True
            yield topic, stamp, pixels

    def _frame(self, stamp: int, image: np.ndarray, labels: Optional[np.ndarray]) -> Frame:
        name = f"{stamp / _NS:.3f} s"
        if labels is None:
            return Frame(name, stamp, image)
        labels_name = f"{self._topics.labels} at {name} of {self.name}"
        check_labels(labels, image, labels_name)
        return Frame(name, stamp, image, labels, labels_name)

    def _check_pending(self, images: Dict[int, np.ndarray], dropped: int) -> None:
        """Check that no image was left without labels, unless labels were lost."""
        count = len(images) + dropped
        if not count:
            return
        if not self._messages.losses:
            late = f"; a label image must come within {_MAX_PENDING} images" if count > _MAX_PENDING else ""
            raise DatasetError(
                f"bag {self.name}: every image of {self._topics.images} needs a label image with the same stamp on "
                f"{self._topics.labels}, but {count} have none, the first at {seconds(min(images))} s{late}"
            )
        reason = f"no label image on {self._topics.labels} has the same stamp"
        self._messages.losses.add(Loss(self._topics.images, reason, messages=count))

    def _check_count(self, count: int) -> None:
        """Check that a damaged bag has frames left, and compare their number with what metadata.yaml has."""
        losses = self._messages.losses
        if not count:
            nothing = f"no message of {self._topics.images} is an image, though the index counts {len(self)}"
            raise DatasetError(f"bag {self.name}: no frame can be read: {next(iter(losses), nothing)}")
        if not losses:
            return
        expected = self._messages.expected_count(self._topics.images)
        if expected > count:
            reason = f"metadata.yaml counts {expected} images, {count} frames were read"
            losses.add(Loss(self._topics.images, reason, messages=expected - count))

    def _choose_topics(self, image_topic: str, label_topic: str) -> _Topics:
        topics, name = self._messages.topics, self.name
        kinds = {topic: entry.kind for topic, entry in topics.items() if entry.kind in (_RAW, _COMPRESSED)}
        if not kinds and self._messages.losses:
            raise DatasetError(f"bag {name}: cannot be read: {next(iter(self._messages.losses))}")
        for asked in filter(None, (image_topic, label_topic)):
            if asked not in kinds:
                raise DatasetError(f"bag {name}: topic {asked} must be one of its image topics: {_listed(kinds)}")
        label_topics = [topic for topic, kind in kinds.items() if kind == _RAW and topic.endswith("/label_image")]
        labels = label_topic or _only([topic for topic in label_topics if topics[topic].messages], "label topic", name)
        # the last name but one: the output of a node can be compressed by image_transport
        cameras = [topic for topic in kinds if topic != labels and not _NO_CAMERAS & {*topic.split("/")[-2:]}]
        images = image_topic or _only([topic for topic in cameras if topics[topic].messages], "image topic", name)
        if not images and cameras:
            raise DatasetError(f"bag {name}: its image topics must have messages, have none: {_listed(cameras)}")
        if not images:
            has = _listed(f"{topic} ({entry.kind})" for topic, entry in topics.items())
            raise DatasetError(f"bag {name}: must have a topic of images ({_RAW} or {_COMPRESSED}), has {has}")
        return _Topics(images, labels, topics[images].messages)


def _only(topics: List[str], what: str, name: str) -> str:
    """Return the only topic of a list; "" if the list is empty."""
    if len(topics) > 1:
        option = "--" + what.replace(" ", "-")
        raise DatasetError(f"bag {name}: has more than one {what}: {_listed(topics)}; select one with {option}")
    return topics[0] if topics else ""


def _listed(topics: Iterable[str]) -> str:
    found = sorted(topics)
    more = f" and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
    return printable(", ".join(found[:_MAX_LISTED]) + more) or "none"


def _bgr(message: Any) -> np.ndarray:
    pixels, channel_order = decode(message)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)) if channel_order == "rgb" else pixels
