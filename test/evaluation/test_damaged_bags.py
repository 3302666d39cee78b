"""What is read of bags that recorders, disks and people damaged, and what is said about the rest."""

import json
import os
import sqlite3
import struct
import tracemalloc

import bag_samples
import pytest
from bag_samples import (
    IMAGE_TOPIC,
    LABEL_TOPIC,
    RAW,
    ROS2,
    contents,
    image_message,
    read_checked,
    samples,
    write_mcap,
    write_ros1,
    write_ros2,
)
from rosbags.rosbag2 import StoragePlugin, Writer

from espnet_ros import cli
from espnet_ros.calibration import calibration_images
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag import BagFrames
from espnet_ros.types import ImageSize

TRUTH = {sample.stamp_ns: sample for sample in samples(30)}


def _overwrite(path, position, content):
    data = bytearray(path.read_bytes())
    data[position : position + len(content)] = content
    path.write_bytes(data)


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_an_mcap_file_of_a_killed_recorder_is_read_up_to_its_end(tmp_path, compression):
    write_mcap(tmp_path / "a.mcap", compression, with_summary=False)
    numbers, losses = read_checked(tmp_path / "a.mcap")
    assert numbers == [0, 1, 2, 3, 4, 5]
    size = (tmp_path / "a.mcap").stat().st_size
    assert [str(loss) for loss in losses] == [
        f"a.mcap at byte {size}: the file ends without an end mark: what was not yet written is missing; lost: 0 bytes"
    ]


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_chunks_before_and_after_a_damaged_one_areread_checked(tmp_path, compression):
    path = tmp_path / "a.mcap"
    starts = write_mcap(path, compression)
    _overwrite(path, (starts[2] + starts[3]) // 2, b"\x55" * 8)
    numbers, (loss,) = read_checked(path)
    assert numbers == [0, 1, 3, 4, 5]
    assert loss.where == f"a.mcap at byte {starts[2]}"
    # the chunk's record without the three indexes of one message each behind it
    assert loss.bytes == starts[3] - starts[2] - 9 - 3 * (9 + 6 + 16)
    assert loss.messages == 3
    assert loss.seconds == pytest.approx(2e-9)


def test_messages_in_front_of_a_cut_within_a_chunk_areread_checked(tmp_path):
    write_ros2(tmp_path / "bag", "mcap")
    path = tmp_path / "bag" / "bag.mcap"
    data = path.read_bytes()
    fourth = data.index(TRUTH[103 * 10**9].image.tobytes())
    path.write_bytes(data[: fourth + 100])
    numbers, losses = read_checked(tmp_path / "bag")
    assert numbers == [0, 1, 2]
    assert losses[0].reason == "a record reaches beyond the end of the file"
    assert 100 < losses[0].bytes < 300
    assert str(losses[1]) == f"{IMAGE_TOPIC}: metadata.yaml counts 6 images, 3 frames were read; lost: 3 messages"


@pytest.mark.parametrize("field", [1, 9 + 16, 9 + 28 + 4 + 4])
def test_no_length_of_a_chunk_is_believed(tmp_path, field):
    """The fields: length of the record, of the decompressed content, of the compressed content."""
    path = tmp_path / "a.mcap"
    starts = write_mcap(path, "zstd")
    _overwrite(path, starts[1] + field, struct.pack("<Q", 1 << 40))
    tracemalloc.start()
    numbers, losses = read_checked(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(numbers) >= {0, 2, 3, 4, 5}
    assert losses or len(numbers) == 6
    assert peak < 20e6


def test_messages_before_and_after_a_wrong_length_are_read(tmp_path):
    path = tmp_path / "a.mcap"
    starts = write_mcap(path, chunked=False)
    _overwrite(path, starts[9] + 1, struct.pack("<Q", 1 << 50))
    numbers, losses = read_checked(path)
    assert numbers == [0, 1, 2, 4, 5]
    assert (losses[0].where, losses[0].bytes) == (f"a.mcap at byte {starts[9]}", starts[10] - starts[9])


def test_chunks_after_a_gap_are_found_without_an_index(tmp_path):
    path = tmp_path / "a.mcap"
    starts = write_mcap(path, "zstd", with_summary=False)
    _overwrite(path, starts[2], b"\x55" * 100)
    numbers, losses = read_checked(path)
    assert numbers == [0, 1, 3, 4, 5]
    # the record in front of the gap, the last index of a message, is not trusted either
    start = starts[2] - (9 + 6 + 16)
    assert (losses[0].where, losses[0].bytes) == (f"a.mcap at byte {start}", starts[3] - start)


def test_an_index_with_a_wrong_checksum_is_not_followed(tmp_path):
    path = tmp_path / "a.mcap"
    starts = write_mcap(path)
    data = path.read_bytes()
    entry = data.rindex(struct.pack("<Q", starts[4]))
    _overwrite(path, entry, struct.pack("<Q", starts[1]))
    assert read_checked(path)[0] == [0, 1, 2, 3, 4, 5]


def test_rows_in_front_of_a_cut_areread_checked(tmp_path):
    path = write_ros2(tmp_path / "bag", "sqlite3", frames=samples(30)) / "bag.db3"
    size = path.stat().st_size
    os.truncate(path, size * 3 // 4 + 1000)
    numbers, losses = read_checked(tmp_path / "bag")
    assert 5 < len(numbers) < 30
    assert numbers == list(range(len(numbers)))
    kept = (size * 3 // 4 + 1000) // 4096 * 4096
    assert str(losses[0]) == f"bag.db3 at byte {kept}: the file is cut; lost: {size - kept} bytes"


def test_rows_before_and_after_a_damaged_page_areread_checked(tmp_path):
    path = write_ros2(tmp_path / "bag", "sqlite3", frames=samples(30)) / "bag.db3"
    page = path.read_bytes().index(TRUTH[115 * 10**9].image.tobytes()) // 4096
    _overwrite(path, page * 4096, bytes(4096))
    numbers, losses = read_checked(tmp_path / "bag")
    assert {0, 1, 2, 27, 28, 29} < set(numbers) < set(range(30))
    assert "bag.db3, row " in str(losses[0]) and losses[0].messages > 0


def test_rows_in_the_journal_of_a_killed_recorder_areread_checked(tmp_path):
    path = write_ros2(tmp_path / "bag", "sqlite3", frames=samples(3)) / "bag.db3"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        for topic, time, message in bag_samples.messages(samples(3, first=3)):
            row = (
                list(bag_samples.KINDS).index(topic) + 1,
                time,
                bytes(ROS2.serialize_cdr(message, bag_samples.KINDS[topic])),
            )
            database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", row)
        database.commit()
        killed = tmp_path / "killed"
        killed.mkdir()
        for name in ("bag.db3", "bag.db3-wal"):
            (killed / name).write_bytes((tmp_path / "bag" / name).read_bytes())
    database.close()
    before = contents(killed)
    assert read_checked(killed) == ([0, 1, 2, 3, 4, 5], ())
    assert contents(killed) == before


def test_half_a_transaction_is_undone(tmp_path):
    path = write_ros2(tmp_path / "bag", "sqlite3", frames=samples(3)) / "bag.db3"
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=DELETE")
    database.execute("PRAGMA cache_size=1")  # so that changed pages are written before the commit
    database.execute("DELETE FROM messages")
    database.execute("INSERT INTO messages SELECT 1, 1, 1, zeroblob(100000)")
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("bag.db3", "bag.db3-journal"):
        (killed / name).write_bytes((tmp_path / "bag" / name).read_bytes())
    database.rollback()
    database.close()
    assert read_checked(killed) == ([0, 1, 2], ())


@pytest.mark.parametrize("compression", [None, "BZ2", "LZ4"])
def test_an_unindexed_ros1_bag_isread_checked(tmp_path, compression):
    path = write_ros1(tmp_path / "a.bag", compression)
    data = path.read_bytes()
    _overwrite(path, data.index(b"index_pos=") + 10, bytes(8))
    path = path.rename(tmp_path / "a.bag.active")
    assert read_checked(path)[0] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("compression", [None, "BZ2", "LZ4"])
def test_a_cut_ros1_bag_is_read_up_to_the_cut(tmp_path, compression):
    path = write_ros1(tmp_path / "a.bag", compression, samples(30))
    os.truncate(path, path.stat().st_size // 2)
    numbers, losses = read_checked(path)
    assert numbers == list(range(len(numbers))) and 2 < len(numbers) < 30
    assert losses[0].where.startswith("a.bag at byte ") and losses[0].bytes > 0


def test_a_cut_zstd_file_is_read_up_to_the_cut(tmp_path):
    write_ros2(tmp_path / "bag", "mcap", "file", samples(30, (120, 160)))
    (path,) = (tmp_path / "bag").glob("*.zstd")
    os.truncate(path, path.stat().st_size * 2 // 3)
    source = BagFrames(tmp_path / "bag")
    assert 10 < len(list(source)) < 30
    assert str(source.losses[0]).startswith(f"{path.name}: its zstd data end early, at byte ")


def _write_messages(folder, contents):
    """``contents``: (topic, type, serialised message); a message each second from 100 s on."""
    with Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for number, (topic, kind, content) in enumerate(contents):
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, kind, typestore=ROS2, msgdef="int32 x", rihs01="RIHS01_0"
                )
            writer.write(connections[topic], (100 + number) * 10**9, content)
    return folder


def _image(number, **changed):
    sample = TRUTH[(100 + number) * 10**9]
    return (
        IMAGE_TOPIC,
        RAW,
        ROS2.serialize_cdr(
            image_message(sample.image, changed.pop("encoding", "bgr8"), sample.stamp_ns, **changed), RAW
        ),
    )


def test_a_message_that_cannot_be_read_is_left_out_and_named(tmp_path):
    cut = (IMAGE_TOPIC, RAW, bytes(_image(1)[2])[:200])
    short = _image(2, height=500)
    folder = _write_messages(tmp_path / "bag", [_image(0), cut, short, _image(3)])
    source = BagFrames(folder)
    assert [frame.stamp_ns // 10**9 for frame in source] == [100, 103]
    first, second, _ = map(str, source.losses)
    assert first.startswith(f"bag.mcap, {IMAGE_TOPIC}, message 2 at 101.000000000 s: cannot be deserialised")
    assert second.startswith(f"{IMAGE_TOPIC} at 102.000000000 s: image data must have at least")


def test_a_bag_without_one_readable_image_is_refused_with_topic_and_time(tmp_path):
    folder = _write_messages(tmp_path / "bag", [_image(number, step=1) for number in range(25)])
    with pytest.raises(
        DatasetError, match=rf"no frame can be read: {IMAGE_TOPIC} at 100\.000000000 s: image step must"
    ):
        list(BagFrames(folder))


def test_topics_of_unknown_types_do_not_matter(tmp_path):
    folder = _write_messages(tmp_path / "bag", [("/x", "acme_msgs/msg/Laser", b"\0\1\2"), _image(1)])
    assert [frame.stamp_ns // 10**9 for frame in BagFrames(folder)] == [101]


def test_control_characters_of_a_bag_do_not_reach_the_terminal(tmp_path):
    folder = _write_messages(tmp_path / "bag", [_image(0, encoding="\x1b[31mred")])
    with pytest.raises(DatasetError, match="red") as caught:
        list(BagFrames(folder))
    assert str(caught.value).isprintable()


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "a.mcap"
    write_mcap(path, with_checksums=False)
    path.write_bytes(path.read_bytes().replace(b"\x03\0\0\0cdr", b"\x03\0\0\0xml").replace(b"ros2\x04", b"ros1\x04"))
    with pytest.raises(DatasetError, match=f"a.mcap, {IMAGE_TOPIC}: messages must be encoded as cdr, are 'xml'"):
        BagFrames(path)


def test_an_older_format_of_ros1_is_named(tmp_path):
    (tmp_path / "a.bag").write_bytes(b"#ROSBAG V1.2\n" + bytes(300))
    with pytest.raises(DatasetError, match=r"format must be 2\.0, is 1\.2"):
        BagFrames(tmp_path / "a.bag")


def test_a_row_with_the_largest_id_is_no_trouble(tmp_path):
    path = write_ros2(tmp_path / "bag", "sqlite3", frames=samples(30)) / "bag.db3"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE messages SET id = 9223372036854775807 WHERE id = 90")
    database.close()
    page = path.read_bytes().index(TRUTH[115 * 10**9].image.tobytes()) // 4096
    _overwrite(path, page * 4096, bytes(4096))
    assert 3 < len(read_checked(tmp_path / "bag")[0]) < 30


def test_a_label_image_that_is_lost_costs_its_image_only(tmp_path):
    path = write_ros2(tmp_path / "bag", "sqlite3") / "bag.db3"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE messages SET data = x'00' WHERE timestamp = ?", (102 * 10**9 + 1,))
    database.close()
    numbers, losses = read_checked(tmp_path / "bag")
    assert numbers == [0, 1, 3, 4, 5]
    assert f"{IMAGE_TOPIC}: no label image on {LABEL_TOPIC} has the same stamp; lost: 1 message" in map(str, losses)


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "a.bag"])
def test_an_empty_folder_of_frames_and_a_file_of_text_are_refused_in_one_line(tmp_path, name):
    (tmp_path / name).write_text("This is not a recording.\n" * 20)
    with pytest.raises(DatasetError, match=f"^bag {tmp_path / name}: cannot be read: {name}") as caught:
        BagFrames(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("with_summary", [True, False], ids=["whole", "damaged"])
def test_memory_does_not_grow_with_the_bag(tmp_path, with_summary):
    peaks = []
    for count in (5, 30):
        path = tmp_path / f"{count}.mcap"
        write_mcap(path, frames=samples(count, (240, 320)), with_summary=with_summary)
        source = BagFrames(path)
        tracemalloc.start()
        assert sum(1 for _ in source) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_evaluate_reports_what_it_could_notread_checked(tmp_path, capsys):
    path = tmp_path / "a.mcap"
    starts = write_mcap(path)
    _overwrite(path, starts[2] + 300, b"\x55" * 8)
    arguments = ["evaluate", "--bag", str(path), "--backend", "fake", "--weights", "camvid"]
    assert cli.main([*arguments, "--json", str(tmp_path / "report.json")]) == 0
    printed = capsys.readouterr().out
    assert "5 images" in printed
    assert (
        f"was read in part:\n  a.mcap at byte {starts[2]}: a chunk is damaged: its checksum is wrong; lost: " in printed
    )
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (loss,) = report["losses"]
    assert (loss["where"], loss["messages"]) == (f"a.mcap at byte {starts[2]}", 3)


def test_calibration_takes_the_readable_images_and_warns(tmp_path, caplog):
    write_mcap(tmp_path / "a.mcap", with_summary=False)
    assert len(calibration_images(str(tmp_path / "a.mcap")).images(ImageSize(12, 16), 10)) == 6
    assert "was read in part: a.mcap at byte" in caplog.text
