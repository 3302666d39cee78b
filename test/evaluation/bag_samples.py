"""Small bags for tests: written by rosbags in every way it can, and by a writer of our own, with checksums."""

import struct
from typing import NamedTuple
from zlib import crc32

import lz4.frame
import numpy as np
from backports import zstd
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from espnet_ros.evaluation.bag import BagFrames

SIZE = (12, 16)
IMAGE_TOPIC, LABEL_TOPIC, NOTE_TOPIC = "/cam/image_raw", "/cam/label_image", "/note"
RAW, TEXT = "sensor_msgs/msg/Image", "std_msgs/msg/String"
KINDS = {IMAGE_TOPIC: RAW, LABEL_TOPIC: RAW, NOTE_TOPIC: TEXT}
ROS2, ROS1 = get_typestore(Stores.ROS2_HUMBLE), get_typestore(Stores.ROS1_NOETIC)
MAGIC = b"\x89MCAP0\r\n"
_COMPRESSORS = {"": bytes, "zstd": zstd.compress, "lz4": lz4.frame.compress}


class Sample(NamedTuple):
    stamp_ns: int
    image: np.ndarray
    labels: np.ndarray


def samples(count=6, size=SIZE, first=0):
    """Frames with random pixels."""
    random = np.random.default_rng(3)
    drawn = [
        Sample(
            100_000_000_000 + index * 1_000_000_000,
            random.integers(0, 256, (*size, 3), np.uint8),
            random.integers(0, 12, size, np.uint8),
        )
        for index in range(first + count)
    ]
    return drawn[first:]


def image_message(pixels, encoding, stamp_ns, store=ROS2, **changed):
    stamp = store.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    sequence = {"seq": 0} if store is ROS1 else {}
    header = store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera", **sequence)
    height, width = pixels.shape[:2]
    fields = {
        "height": height, "width": width, "encoding": encoding, "is_bigendian": 0, "step": pixels.size // height,
        "data": np.ascontiguousarray(pixels).reshape(-1),
    }  # fmt: skip
    return store.types[RAW](header=header, **{**fields, **changed})


def messages(frames, store=ROS2):
    """(topic, time of recording in ns, message) of frames: an image, its labels and a note each."""
    for frame in frames:
        yield IMAGE_TOPIC, frame.stamp_ns, image_message(frame.image, "bgr8", frame.stamp_ns, store)
        yield LABEL_TOPIC, frame.stamp_ns + 1, image_message(frame.labels, "mono8", frame.stamp_ns, store)
        yield NOTE_TOPIC, frame.stamp_ns + 2, store.types[TEXT](data="note")


def write_ros2(folder, storage, compression=None, frames=None):
    """Write with rosbags; ``compression``: a ``CompressionMode``."""
    writer = Writer(folder, version=8, storage_plugin=StoragePlugin[storage.upper()])
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=ROS2) for topic, kind in KINDS.items()}
        for topic, time, message in messages(samples() if frames is None else frames):
            writer.write(connections[topic], time, ROS2.serialize_cdr(message, KINDS[topic]))
    return folder


def write_ros1(path, compression=None, frames=None):
    """Write with rosbags; ``compression``: BZ2, LZ4 or None. Chunks hold about three frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer1(path)
    writer.chunk_threshold = 2500
    if compression:
        writer.set_compression(Writer1.CompressionFormat[compression])
    with writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=ROS1) for topic, kind in KINDS.items()}
        for topic, time, message in messages(samples() if frames is None else frames, ROS1):
            writer.write(connections[topic], time, ROS1.serialize_ros1(message, KINDS[topic]))
    return path


def write_mcap(
    path,
    compression="",
    chunked=True,
    frames=None,
    with_summary=True,
    with_checksums=True,
    with_message_index=True,
    with_statistics=False,
):
    """Write an mcap file as https://mcap.dev/spec has it: a chunk per frame, or no chunks.

    Returns:
        Byte at which each chunk begins, or each message of a file without chunks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    definitions = b""
    for number, (topic, kind) in enumerate(KINDS.items(), 1):
        definitions += _record(3, struct.pack("<H", number) + _text(kind) + _text("ros2msg") + _text(""))
        definitions += _record(4, struct.pack("<HH", number, number) + _text(topic) + _text("cdr") + _text(""))
    numbers = {topic: number for number, topic in enumerate(KINDS, 1)}
    content = bytearray(MAGIC + _record(1, _text("ros2") + _text("test")))
    if not chunked:
        content += definitions
    starts, index = [], b""
    frames = list(samples() if frames is None else frames)
    for frame in frames:
        records, entries = (definitions if chunked else b""), {}
        for topic, time, message in messages([frame]):
            data = bytes(ROS2.serialize_cdr(message, KINDS[topic]))
            entries[numbers[topic]] = struct.pack("<QQ", time, len(records))
            start = len(records)
            records += _record(5, struct.pack("<HIQQ", numbers[topic], 0, time, time) + data)
            if not chunked:
                starts.append(len(content) + start)
        if not chunked:
            content += records
            continue
        start, span = len(content), (frame.stamp_ns, frame.stamp_ns + 2)
        starts.append(start)
        packed = _COMPRESSORS[compression](records)
        checksum = crc32(records) if with_checksums else 0
        chunk = struct.pack("<QQQI", *span, len(records), checksum) + _text(compression)
        content += _record(6, chunk + struct.pack("<Q", len(packed)) + packed)
        length, offsets = len(content) - start, b""
        for number, entry in entries.items() if with_message_index else ():
            offsets += struct.pack("<HQ", number, len(content))
            content += _record(7, struct.pack("<HI", number, len(entry)) + entry)
        index += _record(
            8,
            struct.pack("<QQQQI", *span, start, length, len(offsets)) + offsets
            + struct.pack("<Q", len(content) - start - length) + _text(compression)
            + struct.pack("<QQ", len(packed), len(records)),
        )  # fmt: skip
    if not with_summary:
        path.write_bytes(content)
        return starts
    content += _record(15, struct.pack("<I", 0))
    summary_start = len(content)
    summary = definitions + index
    if with_statistics:
        counts = b"".join(struct.pack("<HQ", number, len(frames)) for number in numbers.values())
        totals = (len(KINDS) * len(frames), len(KINDS), len(KINDS), 0, 0, len(frames) * chunked)
        span = frames[0].stamp_ns, frames[-1].stamp_ns + 2
        summary += _record(11, struct.pack("<QHIIIIQQI", *totals, *span, len(counts)) + counts)
    footer = struct.pack("<BQQQ", 2, 20, summary_start, 0)
    checksum = crc32(summary + footer) if with_checksums else 0
    path.write_bytes(content + summary + footer + struct.pack("<I", checksum) + MAGIC)
    return starts


def read_checked(path):
    """Numbers of a bag's frames, each compared with ``samples``, and the losses."""
    truth = {sample.stamp_ns: sample for sample in samples(30)}
    source = BagFrames(path)
    frames = list(source)
    for frame in frames:
        np.testing.assert_array_equal(frame.image, truth[frame.stamp_ns].image)
        np.testing.assert_array_equal(frame.labels, truth[frame.stamp_ns].labels)
    return [frame.stamp_ns // 10**9 - 100 for frame in frames], source.losses


def contents(folder):
    """Content of each file of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _record(kind, content):
    return struct.pack("<BQ", kind, len(content)) + content


def _text(text):
    return struct.pack("<I", len(text)) + text.encode()
