import math
import re

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag import BagFrames, create_bag, pinhole_matrix
from espnet_ros.evaluation.frames import Frame
from espnet_ros.types import ImageSize

SIZE = (6, 10)
STORE = get_typestore(Stores.ROS2_HUMBLE)
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def _frames(count=3, with_labels=True):
    random = np.random.default_rng(7)
    for index in range(count):
        image = random.integers(0, 256, (*SIZE, 3), np.uint8)
        labels = random.integers(0, 12, SIZE, np.uint8) if with_labels else None
        yield Frame(f"{index}", 2_000_000_000 + index * 66_666_667, image, labels)


def _header(stamp_ns):
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")


def _raw(pixels, encoding, stamp_ns):
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1)
    return STORE.types[IMAGE](
        header=_header(stamp_ns), height=height, width=width, encoding=encoding, is_bigendian=0,
        step=data.size // height, data=data,
    )  # fmt: skip


def _png(pixels, stamp_ns):
    data = cv2.imencode(".png", pixels)[1].reshape(-1)
    return STORE.types[COMPRESSED](header=_header(stamp_ns), format="png", data=data)


def _write(path, messages):
    """``messages``: (topic, type, time of recording in ns, message)."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for topic, kind, time, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], time, STORE.serialize_cdr(message, kind))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_gives_back_what_was_written(tmp_path, storage):
    assert create_bag(_frames(), tmp_path / "bag", storage) == 3
    source = BagFrames(tmp_path / "bag")
    assert source.has_labels
    assert len(source) == 3
    for read, written in zip(source, _frames()):
        assert read.stamp_ns == written.stamp_ns
        np.testing.assert_array_equal(read.image, written.image)
        np.testing.assert_array_equal(read.labels, written.labels)


def test_a_bag_without_labels_has_none(tmp_path):
    create_bag(_frames(with_labels=False), tmp_path / "bag")
    source = BagFrames(tmp_path / "bag")
    assert not source.has_labels
    assert [frame.labels for frame in source] == [None, None, None]


def test_camera_info_goes_with_every_image(tmp_path):
    create_bag(_frames(), tmp_path / "bag", horizontal_fov=math.radians(90))
    with AnyReader([tmp_path / "bag"]) as reader:
        (connection,) = (entry for entry in reader.connections if entry.topic == "/camera/camera_info")
        messages = [reader.deserialize(raw, connection.msgtype) for _, _, raw in reader.messages([connection])]
    assert len(messages) == 3
    assert (messages[0].height, messages[0].width) == SIZE
    # 90 degrees: the focal length is half the width
    assert messages[0].k.tolist() == pytest.approx([5, 0, 4.5, 0, 5, 2.5, 0, 0, 1])
    assert messages[0].p.tolist() == pytest.approx([5, 0, 4.5, 0, 0, 5, 2.5, 0, 0, 0, 1, 0])


def test_the_edges_of_the_image_are_the_field_of_view_apart():
    matrix = pinhole_matrix(ImageSize(480, 640), math.radians(60))
    left = math.atan((matrix[0, 2] + 0.5) / matrix[0, 0])
    right = math.atan((639.5 - matrix[0, 2]) / matrix[0, 0])
    assert math.degrees(left + right) == pytest.approx(60)


def test_an_existing_folder_is_not_overwritten(tmp_path):
    with pytest.raises(DatasetError, match="cannot be written: .* exists already"):
        create_bag(_frames(), tmp_path)


def test_compressed_and_rgb_images_become_bgr(tmp_path):
    (frame,) = _frames(1)
    rgb = cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB)
    messages = [("/a", COMPRESSED, 5, _png(frame.image, 5)), ("/b", IMAGE, 6, _raw(rgb, "rgb8", 6))]
    _write(tmp_path / "bag", messages)
    for topic in ("/a", "/b"):
        (read,) = BagFrames(tmp_path / "bag", image_topic=topic)
        np.testing.assert_array_equal(read.image, frame.image)


def test_labels_are_matched_by_stamp_whatever_the_order_of_recording(tmp_path):
    first, second = _frames(2)
    messages = [
        ("/labels/label_image", IMAGE, 1, _raw(second.labels, "mono8", second.stamp_ns)),
        ("/image", IMAGE, 2, _raw(first.image, "bgr8", first.stamp_ns)),
        ("/image", IMAGE, 3, _raw(second.image, "bgr8", second.stamp_ns)),
        ("/labels/label_image", IMAGE, 4, _raw(first.labels, "mono8", first.stamp_ns)),
    ]
    _write(tmp_path / "bag", messages)
    read = {frame.stamp_ns: frame for frame in BagFrames(tmp_path / "bag")}
    for frame in (first, second):
        np.testing.assert_array_equal(read[frame.stamp_ns].labels, frame.labels)


def test_an_image_without_labels_of_its_stamp_is_named(tmp_path):
    first, second = _frames(2)
    messages = [
        ("/image", IMAGE, 1, _raw(first.image, "bgr8", first.stamp_ns)),
        ("/image", IMAGE, 2, _raw(second.image, "bgr8", second.stamp_ns)),
        ("/label_image", IMAGE, 3, _raw(first.labels, "mono8", first.stamp_ns)),
    ]
    _write(tmp_path / "bag", messages)
    with pytest.raises(
        DatasetError, match=r"label image with the same stamp on /label_image, but 1 have none.*2\.066666667"
    ):
        list(BagFrames(tmp_path / "bag"))


def test_outputs_of_a_node_are_not_taken_for_a_camera(tmp_path):
    (frame,) = _frames(1)
    messages = [
        ("/espnet/overlay", IMAGE, 1, _raw(frame.image, "rgb8", 1)),
        ("/espnet/confidence", IMAGE, 1, _raw(frame.labels, "mono8", 1)),
        ("/front/image", IMAGE, 1, _raw(frame.image, "bgr8", 1)),
    ]
    _write(tmp_path / "bag", messages)
    (read,) = BagFrames(tmp_path / "bag")
    np.testing.assert_array_equal(read.image, frame.image)


def test_compressed_outputs_and_depth_are_not_taken_for_a_camera(tmp_path):
    (frame,) = _frames(1)
    messages = [
        ("/espnet/overlay/compressed", COMPRESSED, 1, _png(frame.image, 1)),
        ("/espnet/label_image/compressed", COMPRESSED, 1, _png(frame.labels, 1)),
        ("/depth/image/compressedDepth", COMPRESSED, 1, _png(frame.labels, 1)),
        ("/front/image/compressed", COMPRESSED, 1, _png(frame.image, 1)),
    ]
    _write(tmp_path / "bag", messages)
    (read,) = BagFrames(tmp_path / "bag")
    np.testing.assert_array_equal(read.image, frame.image)


def test_a_bag_without_images_is_refused_with_the_types_it_has(tmp_path):
    text = STORE.types["std_msgs/msg/String"](data="note")
    _write(tmp_path / "bag", [("/note", "std_msgs/msg/String", 1, text)])
    with pytest.raises(DatasetError, match=r"must have a topic of images .*, has /note \(std_msgs/msg/String\)$"):
        BagFrames(tmp_path / "bag")


def test_a_camera_that_sent_nothing_is_named(tmp_path):
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.add_connection("/front/image", IMAGE, typestore=STORE)
    with pytest.raises(DatasetError, match="its image topics must have messages, have none: /front/image$"):
        BagFrames(tmp_path / "bag")


def test_labels_that_come_too_late_are_refused_with_the_limit(tmp_path):
    (frame,) = _frames(1)
    images = [("/image", IMAGE, stamp, _raw(frame.image, "bgr8", stamp)) for stamp in range(1, 103)]
    labels = [("/x/label_image", IMAGE, 200 + stamp, _raw(frame.labels, "mono8", stamp)) for stamp in range(1, 103)]
    _write(tmp_path / "bag", images + labels)
    with pytest.raises(DatasetError, match="101 have none, .*; a label image must come within 100 images$"):
        list(BagFrames(tmp_path / "bag"))


def test_two_cameras_must_be_chosen_from(tmp_path):
    (frame,) = _frames(1)
    messages = [(topic, IMAGE, 1, _raw(frame.image, "bgr8", 1)) for topic in ("/left/image", "/right/image")]
    _write(tmp_path / "bag", messages)
    with pytest.raises(DatasetError, match="more than one image topic: /left/image, /right/image; .*--image-topic"):
        BagFrames(tmp_path / "bag")
    assert len(BagFrames(tmp_path / "bag", image_topic="/right/image")) == 1


def test_an_unknown_topic_is_refused_with_those_there_are(tmp_path):
    create_bag(_frames(), tmp_path / "bag")
    with pytest.raises(DatasetError, match="topic /x must be one of its image topics: /camera/image_raw"):
        BagFrames(tmp_path / "bag", image_topic="/x")


def test_an_image_that_breaks_a_rule_is_named_by_topic_and_time(tmp_path):
    _write(tmp_path / "bag", [("/image", IMAGE, 1, _raw(np.zeros(SIZE, np.uint8), "strange8", 1_500_000_000))])
    with pytest.raises(DatasetError, match=r"/image at 1\.500000000 s: image encoding must be one of .*'strange8'"):
        list(BagFrames(tmp_path / "bag"))


def test_a_folder_that_is_no_bag_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"bag .*: cannot be read"):
        BagFrames(tmp_path)
    with pytest.raises(DatasetError, match=r"bag .*nowhere: cannot be read"):
        BagFrames(tmp_path / "nowhere")


def test_labels_that_do_not_fit_are_named_by_bag_topic_and_time(tmp_path):
    (frame,) = _frames(1)
    messages = [
        ("/image", IMAGE, 1, _raw(frame.image, "bgr8", 1_500_000_000)),
        ("/label_image", IMAGE, 1, _raw(frame.labels[:3], "mono8", 1_500_000_000)),
    ]
    _write(tmp_path / "bag", messages)
    expected = f"label image /label_image at 1.500 s of {tmp_path / 'bag'}: must have its image's size, 6x10, has 3x10"
    with pytest.raises(DatasetError, match=re.escape(expected)):
        list(BagFrames(tmp_path / "bag"))
